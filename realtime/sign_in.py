"""How long the sign-in of one socket lasts: a word before its token ends, another token in its place, or the end."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from accounts.models import User
from accounts.socket_auth import authenticate_token
from realtime.wire import close_codes
from web.times import moment

if TYPE_CHECKING:
    from realtime.connections import Connection
    from realtime.room import Room

logger = logging.getLogger(__name__)
WARNING_SECONDS = 60


class SignIn:
    def __init__(self, room: Room, connection: Connection) -> None:
        self._room = room
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._timers: list[asyncio.TimerHandle] = []
        self._renewal: asyncio.Task[None] | None = None
        self._set_timers()

    def cancel(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self._renewal is not None:
            self._renewal.cancel()

    def renew(self, access: object) -> None:
        """A {"type": "token", "access"} of the socket."""
        if self._connection.expires_at is None or self._connection.token_id is not None:
            self._refuse("token_not_needed", "This socket lasts as long as the cookie or the token that opened it.")
        elif self._renewal is not None and not self._renewal.done():
            self._refuse("rate_limited", "A token is being looked at already.")
        elif not isinstance(access, str):
            self._refuse("bad_frame", "A token message needs an access token.")
        else:
            self._renewal = self._loop.create_task(self._take(access))

    async def _take(self, access: str) -> None:
        try:
            identity = await authenticate_token(access)
        except Exception:
            logger.exception("a token of user %s could not be looked at", self._connection.user_id)
            self._refuse("internal_error", "The token could not be looked at. Send it again.")
            return
        # Somebody else's good token is as useless here as a wrong one, and looks the same.
        if identity is None or not isinstance(identity.user, User) or str(identity.user.pk) != self._connection.user_id:
            self._refuse("token_refused", "This is no token that this socket can be renewed with.")
            return
        connection = self._connection
        connection.expires_at, connection.family = identity.expires_at, identity.family
        connection.session_key, connection.password_mark = "", identity.user.get_session_auth_hash()
        for timer in self._timers:
            timer.cancel()
        self._set_timers()
        connection.tell({"type": "token", "expires_at": _shown(connection.expires_at or 0)})

    def _set_timers(self) -> None:
        if (ends := self._connection.expires_at) is None:
            return
        left = ends - time.time()
        self._timers = [
            self._loop.call_later(max(0, left - WARNING_SECONDS), self._warn, ends),
            self._loop.call_later(
                max(0, left), self._room.expel, self._connection, close_codes.SIGNED_OUT, "the sign-in has expired"
            ),
        ]

    def _warn(self, ends: float) -> None:
        if self._connection.token_id is not None:
            return
        self._connection.tell({"type": "token_expiring", "expires_at": _shown(ends)})

    def _refuse(self, code: str, detail: str) -> None:
        self._connection.tell_error(code, detail)


def _shown(seconds: float) -> str:
    return moment(datetime.fromtimestamp(int(seconds), UTC))
