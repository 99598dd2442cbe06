"""Sign-in by username or email address, for pages, API and admin."""

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
        """Return the active user or None. Every path hashes one password, so timing reveals nothing."""
        name = username or email
        if not name or password is None:
            return None
        person = find_for_sign_in(name)
        if person is None:
            make_password(password)
            return None
        matches = person.check_password(password)
        if matches and person.is_suspended and request is not None:
            # Told only to somebody who knows the password; callers raise it (errors.refuse_suspended).
            request.suspension = suspension_of(person)  # type: ignore[attr-defined]
        # Bots sign in with tokens only, even if one has a password.
        return person if matches and self.user_can_authenticate(person) and not person.is_bot else None

    def user_can_authenticate(self, user: Any) -> bool:
        """Return whether the user may act now. Also called for every request with a session cookie."""
        return bool(getattr(user, "is_able", False))
