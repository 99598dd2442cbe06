"""Who points where in one room: the table of awareness states. The server owns the identity and the clock in each.

A client's own clock is not enough: after a quick reconnect it announces itself with a clock that the others already
saw leave, and stays invisible (y-websocket issue 122). So every change leaves here with a clock that only grows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from realtime.protocol import Awareness, AwarenessEntry, decode, encode_awareness

if TYPE_CHECKING:
    from collections.abc import Iterable

    from realtime.connections import Connection

# A page has one client id; a few more allow for one that reloads its document on the same socket.
MAX_CLIENT_IDS = 4
# Stock clients renew every 15 s and take a state for outdated after 30 s.
REMOTE_SECONDS = 30
GONE_SECONDS = 120


@dataclass(slots=True)
class _Known:
    clock: int
    state: dict[str, Any] | None
    heard_at: float
    # Of this process; None for a client on another process, or one that left.
    connection: Connection | None
    process: str


class AwarenessTable:
    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}

    def take(self, connection: Connection, entries: Iterable[AwarenessEntry], now: float) -> set[int]:
        """States that a socket announced; returns the client ids whose state changed.

        Stock clients echo what they heard of others: entries of ids bound to someone else are passed over.
        """
        changed: set[int] = set()
        for entry in entries:
            if not self._bind(connection, entry):
                continue
            known = self._known.get(entry.client_id)
            state = None if entry.state is None else {**entry.state, "user": connection.identity()}
            clock = max(entry.clock + 1, known.clock + 1 if known else 0)
            self._known[entry.client_id] = _Known(clock, state, now, connection, "")
            changed.add(entry.client_id)
        return changed

    def _bind(self, connection: Connection, entry: AwarenessEntry) -> bool:
        if entry.client_id in connection.client_ids:
            return True
        if entry.state is None or len(connection.client_ids) >= MAX_CLIENT_IDS:
            return False
        known = self._known.get(entry.client_id)
        if known is not None and known.state is not None:
            other = known.connection
            holder = other.user_id if other else (known.state.get("user") or {}).get("id")
            if holder != connection.user_id:
                return False
            if other is not None:
                other.client_ids.discard(entry.client_id)
        connection.client_ids.add(entry.client_id)
        return True

    def take_remote(self, process: str, frame: bytes, now: float) -> set[int]:
        """States from another process of the same site, which has checked them."""
        changed: set[int] = set()
        for message in decode(frame):
            for entry in message.entries if isinstance(message, Awareness) else ():
                known = self._known.get(entry.client_id)
                if known is not None and (known.clock >= entry.clock or known.connection is not None):
                    continue
                self._known[entry.client_id] = _Known(entry.clock, entry.state, now, None, process)
                changed.add(entry.client_id)
        return changed

    def refresh(self, connection: Connection, now: float) -> set[int]:
        """Show the connection's changed permission."""
        return self._rewrite(connection.client_ids, connection, now, leaves=False)

    def leave(self, connection: Connection, now: float) -> set[int]:
        changed = self._rewrite(connection.client_ids, None, now, leaves=True)
        connection.client_ids.clear()
        return changed

    def _rewrite(self, ids: Iterable[int], connection: Connection | None, now: float, *, leaves: bool) -> set[int]:
        changed: set[int] = set()
        for client_id in ids:
            known = self._known.get(client_id)
            if known is None or known.state is None:
                continue
            state = None if leaves or connection is None else {**known.state, "user": connection.identity()}
            self._known[client_id] = _Known(known.clock + 1, state, now, connection, "")
            changed.add(client_id)
        return changed

    def expire(self, now: float) -> set[int]:
        """Remove clients of processes that fell silent, and forget those that left long ago."""
        changed: set[int] = set()
        for client_id, known in list(self._known.items()):
            age = now - known.heard_at
            if known.state is None and age > GONE_SECONDS and known.connection is None:
                del self._known[client_id]
            elif known.state is not None and known.connection is None and age > REMOTE_SECONDS:
                self._known[client_id] = _Known(known.clock + 1, None, now, None, known.process)
                changed.add(client_id)
        return changed

    def encode(self, ids: Iterable[int]) -> bytes:
        return encode_awareness(
            AwarenessEntry(client_id, known.clock, known.state)
            for client_id in sorted(ids)
            if (known := self._known.get(client_id)) is not None
        )

    def present(self) -> set[int]:
        return {client_id for client_id, known in self._known.items() if known.state is not None}

    def local(self, ids: Iterable[int] | None = None) -> set[int]:
        """Those of `ids` (or of all present) that other processes hear of from this one."""
        chosen = self.present() if ids is None else ids
        return {client_id for client_id in chosen if (known := self._known.get(client_id)) and not known.process}
