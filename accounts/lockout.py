"""Lock out password guessing inside authenticate() (as django-axes' backend), for pages, admin and API alike.

The counting is ours. Axes' own handlers read a counter, try the password and count afterwards, so a burst of guesses
gets through. Here each attempt is counted first, in one atomic step in the cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axes.handlers.base import AbstractAxesHandler, AxesBaseHandler

from web.client import counted_address
from web.throttles import RateLimited, count_or_refuse

if TYPE_CHECKING:
    from django.http import HttpRequest

    from accounts.models import User


class Lockout(AxesBaseHandler, AbstractAxesHandler):
    """AXES_HANDLER. Called once per authenticate(), before any password is checked."""

    def is_allowed(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> bool:
        given = credentials or {}
        try:
            _count_sign_in(given.get("username") or given.get("email") or "", request)
        except RateLimited as refused:
            request.lockout = refused  # type: ignore[attr-defined]
            return False
        return True

    def get_failures(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        return 0

    def user_login_failed(self, sender: Any, credentials: dict[str, Any], request: Any = None, **kwargs: Any) -> None:
        """Do nothing: the attempt was counted when it began."""

    def user_logged_in(self, sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
        """Do nothing: if a success reset the counter, anybody at the same address could reset it between guesses."""

    def user_logged_out(self, sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
        pass


def refuse_locked(request: HttpRequest) -> None:
    """Raise RateLimited (429, with Retry-After) if the lockout made authenticate() refuse. Call it afterwards."""
    refused = getattr(request, "lockout", None)
    if refused is not None:
        raise refused


def _count_sign_in(name: str, request: HttpRequest) -> None:
    """Count one attempt. Raises RateLimited if there were too many.

    The strictest counter is per name and address, so that a stranger's guesses do not lock out the real user
    elsewhere. Attempts that it refuses do not count towards the limit of the name, which takes many addresses to reach.
    The name is what was typed, not the account: a shared counter for username and email address would reveal which
    ones belong together.
    """
    name, address = name.strip().lower(), counted_address(request)
    count_or_refuse("login_address", address)
    # An address holds no newline.
    count_or_refuse("login", f"{address}\n{name}")
    count_or_refuse("login_name", name)


def count_code(user: User, request: HttpRequest) -> None:
    """Count one second-factor code. The caller knows the password, so all addresses together get few attempts."""
    count_or_refuse("login", f"{counted_address(request)}\ncode:{user.pk}")
    count_or_refuse("login_code", str(user.pk))
