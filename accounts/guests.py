"""Guests: people without an account, in the one session where they gave a name. sessions_app decides who may join.

A guest is a User row without password or address, because authors of text, runs and messages are Users everywhere. It
is signed in by a cookie like any user, and the middleware makes it anonymous at every view that is not marked as open
to guests. Those views ask the access table, which admits a guest to one session only.
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
    """Mark a page or an API view as open to guests."""
    view.is_open_to_guests = True  # type: ignore[attr-defined]
    return view


class NobodyElsewhere:
    """Middleware. Makes guests anonymous at views that are not open to them."""

    async_capable = True
    sync_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.process_view: Callable[..., Any] = self._look
        if iscoroutinefunction(get_response):
            # Otherwise Django would use a thread for a check that does not block.
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
    """Return the name as it is stored. Raises GuestNameRefused."""
    name = " ".join(unicodedata.normalize("NFC", name).split())
    if len(name) > NAME_MAX_CHARACTERS or not _NAME.fullmatch(name):
        raise GuestNameRefused(errors={"name": [GuestNameRefused.detail]})
    return name


def make_guest(name: str) -> User:
    """Create a guest with this name and a suffix that no account or other guest can have."""
    key = uuid.uuid4()
    username = f"{clean_name(name)} (guest {secrets.token_hex(2)})"
    guest = User(pk=key, username=username, email=f"{key.hex}@{GUEST_DOMAIN}", is_guest=True)
    guest.set_unusable_password()
    guest.save(force_insert=True)
    return guest


def rename_guest(guest: User, name: str) -> str:
    """Rename a guest, keeping the suffix. Returns the full new name. Raises GuestNameRefused."""
    username = f"{clean_name(name)} {guest.username[guest.username.rindex('(guest ') :]}"
    User.objects.filter(pk=guest.pk).update(username=username, version=F("version") + 1)
    return username


def sign_guest_in(request: HttpRequest, guest: User, until: datetime) -> None:
    """Sign the guest in to this browser, replacing any other user."""
    login(request, guest, backend="accounts.backends.NameOrEmailBackend")
    request.session.set_expiry(until)
