"""The one lockout. It stands in authenticate() itself (django-axes' backend), so pages, admin and API all meet it.

What counts an attempt and when it is refused is ours: axes' own handlers look at a counter, try the password and count
afterwards, so that a volley of guesses at one moment passes; here the count, one atomic step in the cache, is first.
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
    """AXES_HANDLER. Asked once for each authenticate(), before any password is looked at."""

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
        """Nothing: the attempt was counted when it began."""

    def user_logged_in(self, sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
        """Nothing: a counter that a success empties would be emptied between guesses by whoever shares an address."""

    def user_logged_out(self, sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
        pass


def refuse_locked(request: HttpRequest) -> None:
    """After authenticate(): raise RateLimited (429, with Retry-After) when it was the lockout that refused."""
    refused = getattr(request, "lockout", None)
    if refused is not None:
        raise refused


def _count_sign_in(name: str, request: HttpRequest) -> None:
    """Count one attempt; raise RateLimited when it is one too many.

    The small counter is of a name from one address, so that a stranger's guesses do not lock the right person out
    elsewhere. What it refuses is not counted for the name as a whole: filling that counter takes many addresses.
    The name is what was typed, not whom it means: one counter for a person's user name and e-mail address together
    would tell which belongs to which.
    """
    name, address = name.strip().lower(), counted_address(request)
    count_or_refuse("login_address", address)
    # An address holds no newline.
    count_or_refuse("login", f"{address}\n{name}")
    count_or_refuse("login_name", name)


def count_code(user: User, request: HttpRequest) -> None:
    """The same for one second factor. Whoever gets here knows the password, so all addresses together get few tries."""
    count_or_refuse("login", f"{counted_address(request)}\ncode:{user.pk}")
    count_or_refuse("login_code", str(user.pk))
