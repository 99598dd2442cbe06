"""Checks the access of open sockets again: whenever something changed, and every ROOM_TICK_SECONDS at the latest.

One check at a time, so that an answer that took long never overrides a newer one.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from django.conf import settings

from accounts.models import User, able
from accounts.socket_auth import open_sessions, open_tokens
from accounts.tokens import live_families
from realtime.wire import close_codes
from sessions_app.access import permissions_in, within_scopes
from sessions_app.models import GuestPass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from uuid import UUID

    from realtime.connection.connection import Connection
    from realtime.connection.identity import SignIn

    Pairs = set[tuple[UUID, UUID]]
    Read = Callable[..., Awaitable[Any]]

logger = logging.getLogger(__name__)


class GuardedRoom(Protocol):
    """What the guard asks of a room."""

    session_id: UUID
    connections: dict[str, Connection]

    def expel(self, connection: Connection, code: int, reason: str) -> None: ...

    def rename(self, connection: Connection, username: str) -> None: ...

    def set_permission(self, connection: Connection, permission: str) -> None: ...


class Guard:
    def __init__(self, read: Read, all_rooms: Callable[[], Collection[GuardedRoom]]) -> None:
        # How often a check was asked for: a permission that was read before the last one may be out of date.
        self.asked = 0
        self._read = read
        self._all_rooms = all_rooms
        self._waiting: set[GuardedRoom] = set()
        self._wake = asyncio.Event()

    def check_soon(self, *rooms: GuardedRoom) -> None:
        self.asked += 1
        self._waiting.update(rooms)
        self._wake.set()

    async def run(self) -> None:
        due = 0.0
        while True:
            if (now := time.monotonic()) >= due:
                # The jitter keeps processes out of step; the rest of the time is for the check itself.
                due = now + settings.ROOM_TICK_SECONDS * random.uniform(0.7, 0.9)  # noqa: S311
                checked = set(self._all_rooms())
            else:
                try:
                    async with asyncio.timeout(due - now):
                        await self._wake.wait()
                except TimeoutError:
                    continue
                checked = self._waiting
            self._waiting = set()
            self._wake.clear()
            try:
                await self._check(checked)
            except Exception:
                logger.exception("the access of open sockets could not be read; the next check tries again")

    async def _check(self, checked: set[GuardedRoom]) -> None:
        members = [(room, member, member.sign_in) for room in checked for member in room.connections.values()]
        if not members:
            return
        pairs = {(room.session_id, member.identity.author) for room, member, _ in members}
        keys = {sign_in.session_key for _, _, sign_in in members if sign_in.session_key}
        by_token = {member.identity.author for _, member, sign_in in members if sign_in.family}
        token_ids = {sign_in.token_id for _, _, sign_in in members if sign_in.token_id is not None}
        users, permissions, live = await self._read(_ask, pairs, keys, by_token, token_ids)
        for room, member, sign_in in members:
            if member.id not in room.connections:
                continue
            if member.sign_in is not sign_in:
                # Renewed meanwhile, with a sign-in that may be younger than this check.
                self.check_soon(room)
                continue
            if (user := users.get(member.identity.author)) is None:
                room.expel(member, close_codes.SIGNED_OUT, "the account is not active")
            elif not _holds(sign_in, user.get_session_auth_hash(), live):
                # Signing in again and changing the password give the browser a new cookie: it may come back with that
                # one, and is told that it is signed out when it has none.
                code = close_codes.SIGN_IN_CHANGED if sign_in.comes_by_cookie else close_codes.SIGNED_OUT
                room.expel(member, code, "the sign-in has changed")
            elif (permission := permissions[room.session_id, member.identity.author]) is None:
                room.expel(member, close_codes.LOST_ACCESS, "no access any more")
            else:
                room.rename(member, user.username)
                room.set_permission(member, str(within_scopes(permission, sign_in.scopes)))


def _holds(sign_in: SignIn, session_hash: str, live: _LiveSignIns) -> bool:
    return (
        sign_in.matches(session_hash)
        and (not sign_in.session_key or sign_in.session_key in live.sessions)
        and (not sign_in.family or sign_in.family in live.families)
        and (sign_in.token_id is None or sign_in.token_id in live.tokens)
        and (sign_in.expires_at is None or sign_in.expires_at > time.time())
    )


class _LiveSignIns(NamedTuple):
    """The sign-ins that have not ended."""

    sessions: set[str]
    families: set[str]
    tokens: set[UUID]


def _ask(
    pairs: Pairs, keys: set[str], by_token: set[UUID], token_ids: set[UUID]
) -> tuple[dict[UUID, User], dict[tuple[UUID, UUID], str | None], _LiveSignIns]:
    """Read which people are active, what each may do in which session, and which sign-ins have not ended."""
    users = {user.pk: user for user in User.objects.filter(able(), pk__in={user_id for _, user_id in pairs})}
    families = live_families(by_token) if by_token else set()
    sessions = open_sessions(keys) if keys else set()
    permissions = permissions_in([(session_id, users[user_id]) for session_id, user_id in pairs if user_id in users])
    if guests := [user.pk for user in users.values() if user.is_guest]:
        GuestPass.objects.note_seen(guests)
    return users, permissions, _LiveSignIns(sessions, families, open_tokens(token_ids))
