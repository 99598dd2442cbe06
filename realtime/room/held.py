"""Frames that came too early: each is kept whole until what it builds on has arrived, and merged then.

Everything about them is here: how much a socket may have held, when it is asked for what is missing, and whose turn it
is. Merging is for realtime/room/edits.py.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from realtime.connection.connection import Connection, Frame

    IsDue = Callable[[Connection, Frame], bool]
    Take = Callable[[Connection, Frame], None]

# What builds on blocks that have not arrived: a page that asks and answers has them within a round trip.
HELD_MAX_BYTES = 1024 * 1024
HELD_MAX_FRAMES = 512
# Frames that are merged behind a held one wait for its acknowledgement.
BEHIND_HELD_MAX_FRAMES = 8 * 1024
# A page that was asked for everything it has this often, and still builds on something else, will not have it.
EARLY_ANSWERS_MAX = 3
ASK_AGAIN_SECONDS = 5


@dataclass(slots=True)
class _Sender:
    frames: deque[Frame] = field(default_factory=deque)
    bytes: int = 0
    # When it was last asked for everything it has; None once it answered and nothing is held.
    asked_at: float | None = None
    # How many of its answers, one after the other, had to be held.
    early_answers: int = 0


class HeldFrames:
    def __init__(self, is_due: IsDue, take: Take) -> None:
        self._is_due = is_due
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._senders: dict[Connection, _Sender] = {}
        # Those that have frames held.
        self._holding: set[Connection] = set()
        self._handle: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        for handle in (self._handle, self._timer):
            if handle is not None:
                handle.cancel()

    @property
    def holding(self) -> Iterable[Connection]:
        return self._holding

    def hold(self, connection: Connection, frame: Frame, update: bytes, waits_for: Mapping[int, int]) -> bool:
        """Keep what the frame brought until so much of each client has arrived. Returns whether it was not held."""
        is_new = not frame.is_held
        if is_new:
            sender = self._sender(connection)
            sender.frames.append(frame)
            sender.bytes += len(update)
            self._holding.add(connection)
        frame.update, frame.waits_for = update, waits_for
        return is_new

    def release(self, connection: Connection, frame: Frame) -> None:
        """The frame was merged."""
        if frame.is_held and (sender := self._senders.get(connection)) is not None:
            sender.frames.remove(frame)
            sender.bytes -= len(frame.update)
            if not sender.frames:
                self._holding.discard(connection)
                sender.early_answers = 0
        frame.update, frame.waits_for = b"", None

    def holds(self, connection: Connection) -> bool:
        return connection in self._holding

    def holds_too_much(self, connection: Connection, unacknowledged: int) -> bool:
        """Whether to give up on a socket that has `unacknowledged` frames waiting, held or behind held ones."""
        if connection not in self._holding:
            return False
        sender = self._senders[connection]
        return (
            sender.bytes > HELD_MAX_BYTES
            or len(sender.frames) > HELD_MAX_FRAMES
            or unacknowledged > BEHIND_HELD_MAX_FRAMES
        )

    def ask(self, connection: Connection) -> bool:
        """Whether to ask the socket for everything it has: not again while it may still be answering."""
        now = time.monotonic()
        sender = self._sender(connection)
        if sender.asked_at is not None and now - sender.asked_at <= ASK_AGAIN_SECONDS:
            return False
        sender.asked_at = now
        return True

    def answered(self, connection: Connection, *, is_early: bool) -> bool:
        """Note an answer: everything that the socket has. Returns False when what it builds on will not come."""
        if (sender := self._senders.get(connection)) is None:
            return True
        if is_early:
            sender.early_answers += 1
            return sender.early_answers < EARLY_ANSWERS_MAX
        sender.early_answers = 0
        if not sender.frames:
            sender.asked_at = None
        return True

    def forget(self, connection: Connection) -> None:
        self._senders.pop(connection, None)
        self._holding.discard(connection)

    def retry_soon(self) -> None:
        """Check in another turn of the loop whether a held frame is due: what becomes of it must not fall on the one
        who let it in."""
        if self._handle is None and self._holding:
            self._handle = self._loop.call_soon(self._retry_one)

    def _retry_one(self) -> None:
        """Merge one held frame that is due; the next one in the next turn."""
        self._handle = None
        # Acknowledgements keep their order, so nothing behind a socket's first held frame is looked at.
        first = [(connection, self._senders[connection].frames[0]) for connection in self._holding]
        due = [(connection, frame) for connection, frame in first if self._is_due(connection, frame)]
        if not due:
            return
        connection, frame = min(due, key=lambda pair: pair[0].pace.pause()[0])
        wait, _ = connection.pace.pause()
        if wait > 0:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_later(wait, self.retry_soon)
            return
        self._take(connection, frame)
        self.retry_soon()

    def _sender(self, connection: Connection) -> _Sender:
        sender = self._senders.get(connection)
        if sender is None:
            sender = self._senders[connection] = _Sender()
        return sender
