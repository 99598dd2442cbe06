"""Stores what one socket says in the chat, in the order it was said, then shows it to the room.

Storing takes a database call; the socket's edits do not wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from realtime.wire import protocol
from web.problems import DomainError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from realtime.connection.connection import Connection
    from sessions_app.events import Chat

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
        self._waiting: deque[tuple[str, str | None]] = deque()
        self._task: asyncio.Task[None] | None = None

    def take(self, message: dict[str, Any]) -> None:
        """One {"type": "chat", "text", "ref"?} of the socket."""
        text, ref = message.get("text"), message.get("ref")
        if ref is not None and not protocol.is_ref(ref):
            self._connection.tell_error("bad_frame", protocol.NO_REF)
        elif not isinstance(text, str):
            self._connection.tell_error("bad_frame", "A chat message needs a text.", ref)
        elif len(self._waiting) >= WAITING_MAX:
            self._connection.tell_error("rate_limited", "Too many messages at once.", ref)
        else:
            self._waiting.append((text, ref))
            if self._task is None or self._task.done():
                self._task = asyncio.get_running_loop().create_task(self._store())

    async def _store(self) -> None:
        while self._waiting:
            text, ref = self._waiting.popleft()
            try:
                # Shown at once here; the announcement reaches the other processes, and this one again.
                self._show(await self._say(text, ref))
            except DomainError as error:
                self._connection.tell_error(error.code, error.detail, ref)
            except Exception:
                logger.exception("a chat message of user %s could not be stored", self._connection.user_id)
                self._connection.tell_error("internal_error", "The message could not be stored. Send it again.", ref)
