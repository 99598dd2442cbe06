"""Brings the replicas of rooms back in line with the log: what they missed is read, what broke is loaded again."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from realtime import database, metrics
from realtime.committer import RETRY_SECONDS
from realtime.wire import close_codes
from sessions_app.document import opening, quarantine, update_log
from sessions_app.document.errors import Broken, Malformed
from sessions_app.document.opening import SLICED_BYTES
from sessions_app.document.update_log import LogDamaged
from sessions_app.errors import SessionNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from uuid import UUID

    from realtime.database import Database
    from realtime.room.room import Room

logger = logging.getLogger(__name__)


class Repairs:
    def __init__(self, rooms: Mapping[UUID, Room], threads: Database, forget: Callable[[Room], None]) -> None:
        self._rooms = rooms
        self._database = threads
        self._forget = forget
        self._repairing: set[UUID] = set()
        self._running: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        for task in self._running:
            task.cancel()

    def repair_soon(self, room: Room, cause: str) -> None:
        """Read what the log has beyond the room's head."""
        if room.session_id not in self._repairing:
            self._repairing.add(room.session_id)
            metrics.RESYNCS.labels(cause).inc()
            self._spawn(self._repair(room))

    def rebuild_soon(self, room: Room) -> None:
        """Load the document again; the room takes no edits meanwhile."""
        if room.gate.is_whole:
            room.gate.close()
            metrics.RESYNCS.labels("rebuild").inc()
            self._spawn(self._rebuild(room))

    def quarantine_soon(self, session_id: UUID, user_id: UUID, update: bytes, error: str) -> None:
        """Keep an update that broke a replica, for whoever looks into it."""
        self._spawn(self._quarantine(session_id, user_id, update, error))

    def _is_live(self, room: Room) -> bool:
        return self._rooms.get(room.session_id) is room

    async def _repair(self, room: Room) -> None:
        edits = room.edits
        try:
            is_read = False
            while not is_read:
                await room.gate.wait_until_whole()
                since = edits.head
                updates, last_seq = await self._database.read(update_log.updates_after, room.session_id, since)
                # A room that was loaded again meanwhile may have gone back behind these.
                is_read = edits.is_whole and edits.head >= since
            self._repairing.discard(room.session_id)
            for update in updates:
                is_long = len(update) > SLICED_BYTES
                # A long one leaves the loop a turn after each slice.
                for piece in await self._database.read(opening.pieces, update) if is_long else [update]:
                    if self._is_live(room) and edits.is_whole:
                        edits.absorb([piece], since)
                        await asyncio.sleep(0)
            if self._is_live(room) and edits.is_whole and edits.head >= since:
                edits.absorb([], last_seq)
        except Exception:
            logger.exception("the log of %s could not be read; the next tick tries again", room.session_id)
        finally:
            self._repairing.discard(room.session_id)

    async def _rebuild(self, room: Room) -> None:
        delay = RETRY_SECONDS[0]
        while self._is_live(room):
            try:
                loaded, opened = await self._database.read(database.load_and_open, room.session_id)
                if not self._is_live(room):
                    return
                if loaded.head < room.edits.head:
                    # What was committed while the log was read is neither in it nor waits in the room any more.
                    continue
                room.edits.replace(loaded, opened)
                room.gate.open()
                room.edits.held.retry_soon()
                return
            except (Malformed, Broken, LogDamaged, SessionNotFound):
                logger.exception("the document of %s cannot be rebuilt", room.session_id)
                room.expel_all(close_codes.UNAVAILABLE, "the document cannot be opened")
                self._forget(room)
                # A repair that waits for this room's gate must not keep the session's next room from its own.
                self._repairing.discard(room.session_id)
                return
            except Exception:
                logger.exception("the document of %s could not be read again", room.session_id)
                await asyncio.sleep(delay)
                delay = min(2 * delay, RETRY_SECONDS[1])

    async def _quarantine(self, session_id: UUID, user_id: UUID, update: bytes, error: str) -> None:
        try:
            await self._database.read(quarantine.quarantine, session_id, user_id, update, error)
        except Exception:
            logger.exception("an update that broke the replica of %s could not be kept", session_id)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
