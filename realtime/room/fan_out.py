"""Tells the sockets of one room what changed: encoded once, put to every outbox, merged while the room is busy."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from realtime.connection.outbox import Shared
from realtime.wire import protocol
from realtime.wire.text import encode_text
from sessions_app.document import updates
from sessions_app.document.updates import EMPTY_STATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime.connection.outbox import Outbox
    from realtime.room.gate import Gate
    from realtime.wire.text import AnyMessage

# The first change of a quiet room is relayed at once; while a room is busy, one frame per window.
WINDOW_SECONDS = 0.02
BASE_SECONDS = 1


class FanOut:
    def __init__(self, read_state: Callable[[], bytes], gate: Gate) -> None:
        """`read_state` gives the state vector of the replica, which can be read while the gate says it is whole."""
        self._outboxes: dict[Outbox, None] = {}
        self._read_state = read_state
        self._gate = gate
        self._loop = asyncio.get_running_loop()
        self._changes: list[bytes] = []
        self._sources: set[Outbox | None] = set()
        # A state vector that the next flush leads on from, and the loop's time when it was read. Everybody was put
        # what came up to it, so an older one makes what a slow reader is sent a little longer, not wrong.
        self._base, self._base_at = read_state(), 0.0
        self._handle: asyncio.TimerHandle | None = None
        self._flushed_at = 0.0

    def add(self, outbox: Outbox) -> None:
        self._outboxes[outbox] = None

    def remove(self, outbox: Outbox) -> None:
        self._outboxes.pop(outbox, None)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def relay(self, change: bytes, source: Outbox | None) -> None:
        """Tell everybody of a change but its source, with others of the same window."""
        self._changes.append(change)
        self._sources.add(source)
        if self._handle is None:
            wait = self._flushed_at + WINDOW_SECONDS - self._loop.time()
            self._handle = self._loop.call_later(max(wait, 0), self.flush)

    def flush(self) -> None:
        """Encode once what changed since the last flush and put it to every socket."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._flushed_at = self._loop.time()
        if not self._changes:
            return
        frame = Shared(protocol.encode_update(updates.merge(self._changes)))
        source = next(iter(self._sources)) if len(self._sources) == 1 else None
        self._changes.clear()
        self._sources.clear()
        base = self._base
        for outbox in self._outboxes:
            if outbox is not source:
                outbox.put_update(frame, base)
        # A replica that broke is asked nothing more.
        if self._flushed_at - self._base_at > BASE_SECONDS and self._gate.is_whole:
            self._base, self._base_at = self._read_state(), self._flushed_at

    def flush_waiting(self) -> None:
        """Flush, if there is anything: what follows must come after the text."""
        if self._changes:
            self.flush()

    def start_over(self, document: bytes) -> None:
        """Tell everybody the whole document, after it was loaded again."""
        self._base = self._read_state()
        frame = Shared(protocol.encode_update(document))
        for outbox in self._outboxes:
            outbox.put_update(frame, EMPTY_STATE)

    def tell(self, frame: AnyMessage, *, may_be_lost: bool = False) -> None:
        shared = Shared(encode_text(frame))
        for outbox in self._outboxes:
            outbox.put_text(shared, may_be_lost=may_be_lost)

    def keep_alive(self, older_than: float) -> None:
        frame = Shared(protocol.KEEP_ALIVE)
        for outbox in self._outboxes:
            if outbox.last_sent <= older_than:
                outbox.put_awareness(frame)
