"""What a room has not saved yet: the changes that wait for their commit, and the frames that wait for those changes.

The committer takes the changes; acknowledgements are given here and nowhere else.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from realtime import metrics
from realtime.connection.connection import Frame

if TYPE_CHECKING:
    from uuid import UUID

    from realtime.connection.connection import Connection
    from realtime.room.gate import Gate


@dataclass(slots=True)
class Change:
    """A change that is relayed and not committed yet."""

    payload: bytes
    # None for what the server does itself.
    user_id: UUID | None


class Unsaved:
    def __init__(self, gate: Gate) -> None:
        # Counts of changes: those taken, and those of them that are committed.
        self.taken = 0
        self.committed = 0
        self._gate = gate
        self._queue: list[Change] = []
        self._in_flight: list[Change] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._in_flight) + len(self._queue)

    @property
    def is_queued(self) -> bool:
        """Whether something waits for the next commit."""
        return bool(self._queue)

    def changes(self) -> list[Change]:
        return [*self._in_flight, *self._queue]

    def add(self, change: Change) -> None:
        self._queue.append(change)
        self.taken += 1
        self._bytes += len(change.payload)
        self._gate.note_unsaved(self._bytes)

    def send(self) -> None:
        """Begin a commit of everything that is queued."""
        self._in_flight, self._queue = self._queue, []

    @property
    def in_flight(self) -> list[Change]:
        """The changes of the commit that has begun."""
        return self._in_flight

    def note_committed(self) -> None:
        self.committed += len(self._in_flight)
        self._in_flight = []
        self._bytes = sum(len(change.payload) for change in self._queue)
        self._gate.note_unsaved(self._bytes)

    def put_back(self) -> None:
        """Nothing of the commit was written: it is tried again, before what came later."""
        self._queue[:0] = self._in_flight
        self._in_flight = []

    def drop(self) -> None:
        """The session is gone, and the changes in flight with it."""
        self._in_flight = []


@dataclass(slots=True, eq=False)
class _Sender:
    connection: Connection
    received: int = 0
    frames: deque[Frame] = field(default_factory=deque)


class Acknowledgements:
    """A frame is acknowledged once everything it brought, and every frame before it, is committed."""

    def __init__(self, unsaved: Unsaved) -> None:
        self._unsaved = unsaved
        self._senders: dict[Connection, _Sender] = {}
        # Of a hundred sockets mostly one or two.
        self._waiting: set[_Sender] = set()

    @property
    def are_due(self) -> bool:
        """Whether a frame waits for a commit."""
        return bool(self._waiting)

    def arrived(self, connection: Connection) -> Frame:
        """Count a step 2 or update frame."""
        sender = self._sender(connection)
        sender.received += 1
        frame = Frame(sender.received, time.monotonic())
        sender.frames.append(frame)
        self._waiting.add(sender)
        return frame

    def made(self, connection: Connection, version: int, ref: str | None, seq: int) -> None:
        """Expect the commit of everything taken so far, for a change of a plain client that led to this version."""
        sender = self._sender(connection)
        sender.frames.append(Frame(version, time.monotonic(), self._unsaved.taken, ref))
        self._acknowledge(sender, seq)

    def await_commit(self, connection: Connection, frame: Frame, seq: int) -> None:
        """Expect the commit of everything taken so far, for a frame that is merged."""
        frame.needs = self._unsaved.taken
        if (sender := self._senders.get(connection)) is not None:
            self._acknowledge(sender, seq)

    def committed(self, seq: int) -> None:
        """Acknowledge what was committed, up to row `seq` of the log."""
        for sender in tuple(self._waiting):
            self._acknowledge(sender, seq)

    def count(self, connection: Connection) -> int:
        """How many frames of this socket are not acknowledged yet."""
        sender = self._senders.get(connection)
        return 0 if sender is None else len(sender.frames)

    def forget(self, connection: Connection) -> None:
        if (sender := self._senders.pop(connection, None)) is not None:
            self._waiting.discard(sender)

    def _sender(self, connection: Connection) -> _Sender:
        sender = self._senders.get(connection)
        if sender is None:
            sender = self._senders[connection] = _Sender(connection)
        return sender

    def _acknowledge(self, sender: _Sender, seq: int) -> None:
        waiting, committed = sender.frames, self._unsaved.committed
        settled: list[Frame] = []
        while waiting and (needs := waiting[0].needs) is not None and needs <= committed:
            frame = waiting.popleft()
            settled.append(frame)
            metrics.ACK_SECONDS.observe(time.monotonic() - frame.taken_at)
        if settled:
            sender.connection.acknowledge(settled, seq)
        if waiting:
            self._waiting.add(sender)
        else:
            self._waiting.discard(sender)
