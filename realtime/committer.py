"""Writes what rooms have queued: one group commit for all rooms of a process, tried again until it is written.

Commits to PostgreSQL need a thread only when log_writer.py fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

import psycopg
from django.db import InterfaceError, OperationalError, connection

from realtime import database, metrics
from realtime.log_writer import LogWriter
from realtime.wire import close_codes
from sessions_app.document import updates
from sessions_app.document.update_log import Appended, Entry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from realtime.room.room import Room
    from realtime.room.unsaved import Change

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.001
COMMIT_SECONDS = 0.04
# While another process has the room open, which hears of a change after its commit.
HEARD_COMMIT_SECONDS = 0.02
# After a failed write of the log writer, wait this long before trying it again.
LOG_WRITER_REST_SECONDS = 30
RETRY_SECONDS = (0.1, 5.0)


class Committer:
    def __init__(self, threads: database.Database) -> None:
        self._database = threads
        self._log_writer = LogWriter() if connection.vendor == "postgresql" else None
        self._log_writer_rests_until = 0.0
        self._loop = asyncio.get_running_loop()
        self._dirty: set[Room] = set()
        # Rooms whose rows could not be written: how long each waits next time, and what ends its wait now.
        self._delays: dict[Room, float] = {}
        self._resting: dict[Room, asyncio.TimerHandle] = {}
        self._work = asyncio.Event()
        # Sets _work when it is time for the next commit; None while nothing waits for that.
        self._timer: asyncio.TimerHandle | None = None
        # In the loop's time.
        self._next_at = 0.0
        self._saved = asyncio.Event()
        self._saved.set()

    def commit_soon(self, room: Room) -> None:
        self._dirty.add(room)
        self._saved.clear()
        if self._timer is None:
            # The relay goes first; a thread that commits at once would hold the interpreter while the sockets wait.
            wait = max(0 if self._log_writer else GATHER_SECONDS, self._next_at - self._loop.time())
            self._timer = self._loop.call_later(wait, self._begin)

    def forget(self, room: Room) -> None:
        """Leave the room alone, which leaves memory."""
        self._dirty.discard(room)
        self._delays.pop(room, None)
        if (waiting := self._resting.pop(room, None)) is not None:
            waiting.cancel()

    async def flush(self, seconds: float) -> None:
        """Try at once what waits to be tried again, and wait for everything to be saved, but not longer than this."""
        for room, waiting in list(self._resting.items()):
            waiting.cancel()
            self._wake(room)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._saved.wait(), seconds)

    def close(self) -> None:
        if self._log_writer is not None:
            self._log_writer.close()

    async def run(self) -> None:
        while True:
            await self._work.wait()
            if (wait := self._next_at - self._loop.time()) > GATHER_SECONDS:
                await asyncio.sleep(wait)
            self._work.clear()
            waiting, self._dirty = self._dirty, set()
            rooms = [room for room in waiting if room.edits.unsaved.is_queued and room not in self._resting]
            if rooms:
                is_heard = any(room.doorbell.is_heard for room in rooms)
                self._next_at = self._loop.time() + (HEARD_COMMIT_SECONDS if is_heard else COMMIT_SECONDS)
                for room in rooms:
                    room.edits.unsaved.send()
                if not await self._commit(rooms):
                    # Whether the database is away or one room's rows are at fault: the others lose no more than this.
                    self._next_at = self._loop.time() + RETRY_SECONDS[0]
            if not self._dirty and not self._resting:
                self._saved.set()

    def _begin(self) -> None:
        self._timer = None
        self._work.set()

    def _rest(self, room: Room) -> None:
        """Try the room again later, each time twice as late. What it queues meanwhile waits with it."""
        room.edits.unsaved.put_back()
        delay = self._delays.get(room, RETRY_SECONDS[0])
        self._delays[room] = min(2 * delay, RETRY_SECONDS[1])
        self._resting[room] = self._loop.call_later(delay, self._wake, room)

    def _wake(self, room: Room) -> None:
        if self._resting.pop(room, None) is not None:
            self.commit_soon(room)

    async def _commit(self, rooms: list[Room]) -> bool:
        """Commit what these rooms have in flight. Returns whether anything was written."""
        entries = {room.session_id: _rows(room.edits.unsaved.in_flight) for room in rooms}
        started = time.monotonic()
        try:
            appended = await self._append(entries)
        except Exception as error:
            if len(rooms) > 1:
                return await self._commit_each(rooms, may_be_away=isinstance(error, OperationalError | InterfaceError))
            # Nothing is acknowledged, everything stays here and in the pages, and is tried again.
            logger.exception("the room of %s could not be committed", rooms[0].session_id)
            metrics.COMMIT_FAILURES.inc()
            self._rest(rooms[0])
            return False
        metrics.COMMIT_SECONDS.observe(time.monotonic() - started)
        for room in rooms:
            self._delays.pop(room, None)
            given = appended.get(room.session_id)
            if given is None:
                room.edits.unsaved.drop()
                room.expel_all(close_codes.ABSENT, "the session is gone")
                continue
            rows = entries[room.session_id]
            metrics.COMMITTED.inc(len(rows))
            room.edits.committed(given, rows)
            if room.edits.unsaved.is_queued:
                self.commit_soon(room)
        return True

    async def _append(self, entries: dict[UUID, list[Entry]]) -> dict[UUID, Appended]:
        """Append through the log writer or, where that fails, in a thread; writing the same twice changes nothing."""
        if self._log_writer is not None and self._loop.time() >= self._log_writer_rests_until:
            try:
                return await self._log_writer.append(entries)
            except (psycopg.Error, TimeoutError) as error:
                logger.warning("commits go through a thread for %d s: %s", LOG_WRITER_REST_SECONDS, error)
                self._log_writer_rests_until = self._loop.time() + LOG_WRITER_REST_SECONDS
        return await self._database.write(database.append, entries)

    async def _commit_each(self, rooms: list[Room], *, may_be_away: bool) -> bool:
        """Commit each by itself: one room's rows may be at fault, and the others must not wait for it."""
        is_written = False
        for index, room in enumerate(rooms):
            if may_be_away and index == 2 and not is_written:
                # Two of two failed: the database does not answer, and asking for every room takes long.
                for other in rooms[index:]:
                    self._rest(other)
                break
            is_written |= await self._commit([room])
        return is_written


def _rows(changes: Sequence[Change]) -> list[Entry]:
    """One row per run of changes by the same person: what was typed within one commit window is one step of history."""
    entries: list[Entry] = []
    run: list[bytes] = []
    for index, change in enumerate(changes):
        run.append(change.payload)
        if index + 1 == len(changes) or changes[index + 1].user_id != change.user_id:
            entries.append(Entry(updates.merge(run), change.user_id, "socket" if change.user_id else "server"))
            run = []
    return entries
