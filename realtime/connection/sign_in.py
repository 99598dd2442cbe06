"""How long the sign-in of one socket lasts: a warning before its token ends, another token in its place, or the end."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from accounts.models import User
from accounts.socket_auth import authenticate_token
from realtime.wire import close_codes
from web.times import moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime.connection.connection import Connection

    # Closes a connection with a code and a reason.
    Expel = Callable[[Connection, int, str], None]

logger = logging.getLogger(__name__)
WARNING_SECONDS = 60


class SignInWatch:
    def __init__(self, connection: Connection, expel: Expel) -> None:
        self._connection = connection
        self._expel = expel
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

    def renew(self, access: str) -> None:
        """Go on with another access token of the same person. The answer follows once it was checked."""
        if not self._connection.sign_in.is_renewable:
            self._refuse("token_not_needed", "This socket lasts as long as the cookie or the token that opened it.")
        elif self._renewal is not None and not self._renewal.done():
            self._refuse("rate_limited", "Another token is still being checked.")
        else:
            self._renewal = self._loop.create_task(self._check(access))

    async def _check(self, access: str) -> None:
        connection = self._connection
        try:
            found = await authenticate_token(access)
        except Exception:
            logger.exception("a token of user %s could not be checked", connection.user_id)
            self._refuse("internal_error", "The token could not be checked. Send it again.")
            return
        # Somebody else's good token is as useless here as a wrong one, and looks the same.
        if found is None or not isinstance(found.user, User) or str(found.user.pk) != connection.user_id:
            self._refuse("token_refused", "This token cannot be used to renew this connection.")
            return
        connection.sign_in = replace(
            connection.sign_in,
            session_hash=found.user.get_session_auth_hash(),
            session_key="",
            family=found.family,
            expires_at=found.expires_at,
        )
        for timer in self._timers:
            timer.cancel()
        self._set_timers()
        connection.tell({"type": "token", "expires_at": _shown(found.expires_at or 0)})

    def _set_timers(self) -> None:
        if (ends := self._connection.sign_in.expires_at) is None:
            return
        left = ends - time.time()
        self._timers = [
            self._loop.call_later(max(0, left - WARNING_SECONDS), self._warn, ends),
            self._loop.call_later(
                max(0, left), self._expel, self._connection, close_codes.SIGNED_OUT, "the sign-in has expired"
            ),
        ]

    def _warn(self, ends: float) -> None:
        if self._connection.sign_in.is_renewable:
            self._connection.tell({"type": "token_expiring", "expires_at": _shown(ends)})

    def _refuse(self, code: str, detail: str) -> None:
        self._connection.tell_error(code, detail)


def _shown(seconds: float) -> str:
    return moment(datetime.fromtimestamp(int(seconds), UTC))
