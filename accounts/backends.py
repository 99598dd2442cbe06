"""Sign-in by user name or e-mail address, for pages, API and admin alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import make_password

from accounts.access import find_for_sign_in, suspension_of

if TYPE_CHECKING:
    from django.http import HttpRequest

    from accounts.models import User


class NameOrEmailBackend(ModelBackend):
    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        email: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        """The active person, or None. Every path costs one password hash, so the time says nothing."""
        name = username or email
        if not name or password is None:
            return None
        person = find_for_sign_in(name)
        if person is None:
            make_password(password)
            return None
        matches = person.check_password(password)
        if matches and person.is_suspended and request is not None:
            # Told to nobody but who knows the password; the doors raise it (errors.refuse_suspended).
            request.suspension = suspension_of(person)  # type: ignore[attr-defined]
        # A bot signs in by its tokens, whatever became of its password.
        return person if matches and self.user_can_authenticate(person) and not person.is_bot else None

    def user_can_authenticate(self, user: Any) -> bool:
        """Asked for every request with a cookie too."""
        return bool(getattr(user, "is_able", False))
