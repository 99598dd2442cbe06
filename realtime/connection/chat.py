"""Stores what one socket says in the chat, in the order it was said, then shows it to the room.

Storing takes a database call; the socket's edits do not wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from web.problems import DomainError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from realtime.connection.connection import Connection
    from sessions_app import messages
    from sessions_app.messages import Chat

    Say = Callable[[str, str | None], Awaitable[Chat]]
    Show = Callable[[Chat], None]

logger = logging.getLogger(__name__)

WAITING_MAX = 8


class Sayings:
    def __init__(self, connection: Connection, say: Say, show: Show) -> None:
        """`say` stores a message, `show` passes it on to the room."""
        self._connection = connection
        self._say = say
        self._show = show
        self._waiting: deque[messages.Say] = deque()
        self._task: asyncio.Task[None] | None = None

    def take(self, said: messages.Say) -> None:
        if len(self._waiting) >= WAITING_MAX:
            self._connection.tell_error("rate_limited", "Too many messages at once.", said.ref)
        else:
            self._waiting.append(said)
            if self._task is None or self._task.done():
                self._task = asyncio.get_running_loop().create_task(self._store())

    async def _store(self) -> None:
        while self._waiting:
            said = self._waiting.popleft()
            try:
                # Shown at once here; the announcement reaches the other processes, and this one again.
                self._show(await self._say(said.text, said.ref))
            except DomainError as error:
                self._connection.tell_error(error.code, error.detail, said.ref)
            except Exception:
                logger.exception("a chat message of user %s could not be stored", self._connection.user_id)
                self._connection.tell_error(
                    "internal_error", "The message could not be stored. Send it again.", said.ref
                )
