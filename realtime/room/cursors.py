"""Who points where in one room: takes cursors from sockets and other processes, and tells everybody which moved."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from django.conf import settings

from realtime.connection.outbox import Shared
from realtime.wire import protocol
from realtime.wire.awareness import AwarenessTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from realtime.connection.connection import Connection
    from realtime.room.doorbell import Doorbell
    from realtime.room.fan_out import FanOut

# Frames about cursors that are known again when a client repeats them.
TOLD_MAX = 16

States = dict[int, dict[str, Any] | None]


class CursorListener(Protocol):
    def moved(self, states: States) -> None: ...


@dataclass(slots=True)
class _Said:
    """Cursors that came too soon after a socket's last, and the loop's time from when on the next are taken."""

    states: dict[int, protocol.AwarenessEntry] = field(default_factory=dict)
    next_at: float = 0.0


class Cursors:
    def __init__(self, connections: Mapping[str, Connection], fan_out: FanOut, doorbell: Doorbell) -> None:
        # Told of what moved besides the sockets.
        self.listener: CursorListener | None = None
        self._connections = connections
        self._fan_out = fan_out
        self._doorbell = doorbell
        self._loop = asyncio.get_running_loop()
        self._table = AwarenessTable()
        self._said: dict[Connection, _Said] = {}
        self._moved: set[int] = set()
        # The newest frames about cursors that sockets were told alike.
        self._told: deque[bytes | str] = deque(maxlen=TOLD_MAX)
        self._handle: asyncio.TimerHandle | None = None
        self._told_at = 0.0

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    # What sockets say

    def repeats(self, connection: Connection, frame: bytes) -> bool:
        """Whether a socket repeats to the byte what it was told, as stock clients do: reading it would tell nothing."""
        return bool(connection.client_ids) and frame in self._told

    def take(self, connection: Connection, entries: Iterable[protocol.AwarenessEntry]) -> None:
        """Take cursors at most so many times a second; of what comes in between the newest counts."""
        said = self._said.get(connection)
        if said is None:
            said = self._said[connection] = _Said()
        was_waiting, was_introduced = bool(said.states), bool(connection.client_ids)
        said.states.update({entry.client_id: entry for entry in entries if self._table.bind(connection, entry)})
        if connection.client_ids and not was_introduced:
            self._put(connection, self._table.of_person(connection.user_id) - connection.client_ids)
        if said.states and not was_waiting:
            wait = said.next_at - self._loop.time() if settings.RATE_LIMITS else 0
            if wait > 0:
                self._loop.call_later(wait, self._show, connection, said)
            else:
                self._show(connection, said)

    def _show(self, connection: Connection, said: _Said) -> None:
        entries = list(said.states.values())
        said.states.clear()
        said.next_at = self._loop.time() + 1 / settings.SOCKET_AWARENESS_IN_PER_SECOND
        if connection.id in self._connections:
            self._note(self._table.take(connection, entries, time.monotonic()))

    def answer_query(self, connection: Connection) -> None:
        for answer in self._table.encode(self._table.shown_to(connection)) or [protocol.KEEP_ALIVE]:
            connection.pace.spend("updates", len(answer))
            connection.outbox.put_answer(answer)

    # Who comes and goes

    def greet(self, connection: Connection) -> None:
        self._put(connection, self._table.shown_to(connection))

    def shown_to(self, connection: Connection) -> list[bytes]:
        """The whole table, for a socket that could not keep up."""
        return self._table.encode(self._table.shown_to(connection))

    def refresh(self, connection: Connection) -> None:
        """Show the connection's changed permission, name or hue."""
        self._note(self._table.refresh(connection, time.monotonic()))

    def leave(self, connection: Connection, *, comes_back: bool) -> None:
        self._said.pop(connection, None)
        now = time.monotonic()
        if comes_back:
            self._table.linger(connection, now)
            self._loop.call_later(settings.SOCKET_GRACE_SECONDS, self._let_go, now)
        else:
            self._note(self._table.leave(connection, now))

    def _let_go(self, broke_at: float) -> None:
        """Take away the cursors of those whose sockets broke by then and that did not come back."""
        self._note(self._table.let_go(broke_at, time.monotonic()))

    # Other processes

    def take_remote(self, process: str, frame: bytes, now: float) -> None:
        self._note(self._table.take_remote(process, frame, now))

    def vouch(self, now: float) -> list[bytes]:
        return self._table.vouch(now)

    def expire(self, now: float) -> None:
        self._note(self._table.expire(now))

    # Telling

    def states(self) -> States:
        return self._table.states(self._table.present())

    def renew(self, now: float, interval: float) -> None:
        """Renew the cursors that did not move, all at once, for clients that drop a cursor after 30 s without news."""
        renewed = self._table.renew(now - interval, now - interval / 4, now)
        self._tell(renewed, [member for member in self._connections.values() if not member.keeps_cursors])

    def tell_moved(self) -> None:
        """Tell every socket, and the other processes, of the cursors that moved; after the text they point into."""
        self.close()
        self._handle = None
        self._told_at = self._loop.time()
        self._fan_out.flush_waiting()
        moved, self._moved = self._moved, set()
        if self.listener is not None:
            self.listener.moved(self._table.states(moved))
        self._tell(moved, self._connections.values())
        if local := self._table.local(moved):
            self._doorbell.ring({"awareness": self._table.encode(local)})

    def _note(self, client_ids: set[int]) -> None:
        if client_ids:
            self._moved |= client_ids
            if self._handle is None:
                wait = self._told_at + 1 / settings.SOCKET_AWARENESS_OUT_PER_SECOND - self._loop.time()
                self._handle = self._loop.call_later(max(wait, 0), self.tell_moved)

    def _tell(self, client_ids: set[int], members: Iterable[Connection]) -> None:
        """Tell these sockets of these clients, none of its own."""
        frames = [Shared(frame) for frame in self._table.encode(client_ids)]
        self._told.extend(frame.payload for frame in frames)
        for connection in members:
            if client_ids.isdisjoint(connection.client_ids):
                for frame in frames:
                    connection.outbox.put_awareness(frame)
            else:
                self._put(connection, client_ids - connection.client_ids)

    def _put(self, connection: Connection, client_ids: set[int]) -> None:
        for frame in self._table.encode(client_ids):
            connection.outbox.put_awareness(Shared(frame))
