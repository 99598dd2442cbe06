"""Open sockets and the access table: asked again whenever something changed, and every ROOM_TICK_SECONDS at the latest.

One look at a time, so that an answer that took long never overrides a newer one.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, Any, NamedTuple

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

    from realtime.connections import Connection
    from realtime.room import Room

    Pairs = set[tuple[UUID, UUID]]
    Read = Callable[..., Awaitable[Any]]

logger = logging.getLogger(__name__)


class Guard:
    def __init__(self, read: Read, all_rooms: Callable[[], Collection[Room]]) -> None:
        # How often a look was asked for: whoever reads a permission sees from it that the answer may be old already.
        self.asked = 0
        self._read = read
        self._all_rooms = all_rooms
        self._waiting: set[Room] = set()
        self._wake = asyncio.Event()

    def check_soon(self, *rooms: Room) -> None:
        self.asked += 1
        self._waiting.update(rooms)
        self._wake.set()

    async def run(self) -> None:
        due = 0.0
        while True:
            if (now := time.monotonic()) >= due:
                # The jitter keeps processes out of step; the rest of the time is for the look itself.
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
                logger.exception("the access of open sockets could not be read; the next look tries again")

    async def _check(self, checked: set[Room]) -> None:
        members = [(room, member, member.sign_in) for room in checked for member in room.connections.values()]
        if not members:
            return
        pairs = {(room.session_id, member.author) for room, member, _ in members}
        keys = {member.session_key for _, member, _ in members if member.session_key}
        by_token = {member.author for _, member, _ in members if member.family}
        token_ids = {member.token_id for _, member, _ in members if member.token_id is not None}
        users, permissions, sign_ins = await self._read(_look, pairs, keys, by_token, token_ids)
        for room, member, sign_in in members:
            if member.id not in room.connections:
                continue
            if member.sign_in != sign_in:
                # Renewed meanwhile, with a sign-in that may be younger than this look.
                self.check_soon(room)
                continue
            if (user := users.get(member.author)) is None:
                room.expel(member, close_codes.SIGNED_OUT, "the account is not active")
            elif not _is_signed_in(member, user.get_session_auth_hash(), sign_ins):
                # Signing in again and changing the password give the browser a new cookie: it may come back with that
                # one, and is told that it is signed out when it has none.
                code = close_codes.SIGN_IN_CHANGED if member.comes_by_cookie else close_codes.SIGNED_OUT
                room.expel(member, code, "the sign-in has changed")
            elif (permission := permissions[room.session_id, member.author]) is None:
                room.expel(member, close_codes.LOST_ACCESS, "no access any more")
            else:
                room.rename(member, user.username)
                room.set_permission(member, str(within_scopes(permission, member.scopes)))


def _is_signed_in(member: Connection, password_mark: str, sign_ins: _SignIns) -> bool:
    return (
        member.is_signed_in_with(password_mark)
        and (not member.session_key or member.session_key in sign_ins.sessions)
        and (not member.family or member.family in sign_ins.families)
        and (member.token_id is None or member.token_id in sign_ins.tokens)
        and (member.expires_at is None or member.expires_at > time.time())
    )


class _SignIns(NamedTuple):
    """Those that have not ended."""

    sessions: set[str]
    families: set[str]
    tokens: set[UUID]


def _look(
    pairs: Pairs, keys: set[str], by_token: set[UUID], token_ids: set[UUID]
) -> tuple[dict[UUID, User], dict[tuple[UUID, UUID], str | None], _SignIns]:
    """The people who are active, what each may in which session, and the sign-ins that hold."""
    users = {user.pk: user for user in User.objects.filter(able(), pk__in={user_id for _, user_id in pairs})}
    families = live_families(by_token) if by_token else set()
    sessions = open_sessions(keys) if keys else set()
    permissions = permissions_in([(session_id, users[user_id]) for session_id, user_id in pairs if user_id in users])
    if guests := [user.pk for user in users.values() if user.is_guest]:
        GuestPass.objects.note_seen(guests)
    return users, permissions, _SignIns(sessions, families, open_tokens(token_ids))
