"""Decides when something of a socket is taken: the socket reads what it asked for, the document is whole, and what
waits to be saved leaves room. Until then the socket is not read, which pushes back to its sender.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from django.conf import settings

from realtime import metrics

if TYPE_CHECKING:
    from realtime.connection.connection import Connection

# How long a socket is left unread while its room cannot save: shorter than the server's own time-out for pings.
SPACE_SECONDS = 15


class Gate:
    def __init__(self) -> None:
        # Cleared while the replica is loaded again.
        self._whole = asyncio.Event()
        self._whole.set()
        # Cleared while too much waits for the database.
        self._space = asyncio.Event()
        self._space.set()

    @property
    def is_whole(self) -> bool:
        return self._whole.is_set()

    @property
    def is_open(self) -> bool:
        """Whether an edit is taken at once."""
        return self._whole.is_set() and self._space.is_set()

    def close(self) -> None:
        self._whole.clear()

    def open(self) -> None:
        self._whole.set()

    def note_unsaved(self, size: int) -> None:
        if size > settings.ROOM_UNSAVED_MAX_BYTES:
            self._space.clear()
        else:
            self._space.set()

    async def wait_to_read(self, connection: Connection) -> None:
        """Wait until the socket may say something: what it asks for is not heaped up."""
        if connection.outbox.is_full:
            await connection.outbox.has_room()

    async def wait_until_whole(self) -> None:
        await self._whole.wait()

    async def is_whole_in_time(self) -> bool:
        return await _is_set_in_time(self._whole)

    async def wait_to_edit(self, connection: Connection) -> bool:
        """Wait until the room takes an edit; returns False when that takes too long."""
        await self._whole.wait()
        if self._space.is_set():
            return True
        metrics.LIMITED.labels("unsaved").inc()
        connection.tell_error("not_saving", "The server cannot save at the moment and takes no more text for now.")
        if not await _is_set_in_time(self._space):
            return False
        return self.is_open or await self.wait_to_edit(connection)


async def _is_set_in_time(event: asyncio.Event) -> bool:
    try:
        await asyncio.wait_for(event.wait(), SPACE_SECONDS)
    except TimeoutError:
        return False
    return True
