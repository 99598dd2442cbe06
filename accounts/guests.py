"""Guests: people without an account, in the one session that they gave a name in. Who may come is sessions_app's.

A guest is a User row, because whoever writes, runs or speaks is one everywhere in this project; it has no password and
no address. It is signed in by a cookie like everybody, and the middleware makes it nobody at every view that is not
marked as open to guests. Those views ask the access table, which knows a guest in one session only.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
import uuid
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.contrib.auth import login
from django.contrib.auth.models import AnonymousUser
from django.db.models import F
from django.utils.functional import SimpleLazyObject

from accounts.errors import GuestNameRefused
from accounts.models import GUEST_DOMAIN, User

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.http import HttpRequest

NAME_MAX_CHARACTERS = 15
_NAME = re.compile(r"\w[\w .-]*")
V = TypeVar("V")


def open_to_guests(view: V) -> V:
    """Marks a page, or a class of the API, that a guest may come to as such."""
    view.is_open_to_guests = True  # type: ignore[attr-defined]
    return view


class NobodyElsewhere:
    """Middleware. At a view that is not open to guests, a guest has not signed in."""

    async_capable = True
    sync_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.process_view: Callable[..., Any] = self._look
        if iscoroutinefunction(get_response):
            # Otherwise Django would take another thread for a look that waits for nothing.
            markcoroutinefunction(self)
            self.process_view = self._look_at_once

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request)

    async def _look_at_once(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        self._look(request, view, args, kwargs)

    def _look(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        if not getattr(getattr(view, "cls", view), "is_open_to_guests", False):
            known = request.user
            request.user = SimpleLazyObject(lambda: AnonymousUser() if is_guest(known) else known)  # type: ignore[assignment]


def is_guest(user: Any) -> bool:
    return bool(getattr(user, "is_guest", False))


def clean_name(name: str) -> str:
    """Raises GuestNameRefused."""
    name = " ".join(unicodedata.normalize("NFC", name).split())
    if len(name) > NAME_MAX_CHARACTERS or not _NAME.fullmatch(name):
        raise GuestNameRefused(errors={"name": [GuestNameRefused.detail]})
    return name


def make_guest(name: str) -> User:
    """A guest of this name, with an addition that no account and no other guest can have."""
    key = uuid.uuid4()
    username = f"{clean_name(name)} (guest {secrets.token_hex(2)})"
    guest = User(pk=key, username=username, email=f"{key.hex}@{GUEST_DOMAIN}", is_guest=True)
    guest.set_unusable_password()
    guest.save(force_insert=True)
    return guest


def rename_guest(guest: User, name: str) -> str:
    """Give a guest another name, with the addition that they had. Returns the whole of it. Raises GuestNameRefused."""
    username = f"{clean_name(name)} {guest.username[guest.username.rindex('(guest ') :]}"
    User.objects.filter(pk=guest.pk).update(username=username, version=F("version") + 1)
    return username


def sign_guest_in(request: HttpRequest, guest: User, until: datetime) -> None:
    """In this browser, in the place of whoever was."""
    login(request, guest, backend="accounts.backends.NameOrEmailBackend")
    request.session.set_expiry(until)
