"""Who points where in one room: the table of awareness states. The server owns the identity and the clock in each.

A client's own clock is not used: after a quick reconnect it announces itself with a clock that the others already
saw leave, and stays invisible (y-websocket issue 122); and one at the top of the range would leave here as a number
that no client reads. Of a state only the cursor is taken: what other pages draw must not make them fail.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from realtime.protocol import MAX_NUMBER, Awareness, AwarenessEntry, decode, encode_awareness
from sessions_app.crdt import is_file_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from realtime.connections import Connection

# A page has one client id; a few more allow for one that reloads its document on the same socket.
MAX_CLIENT_IDS = 4
# Stock clients say again what they hear, in one frame, and no frame with more than protocol.MAX_AWARENESS_ENTRIES is
# taken.
ENTRIES_PER_FRAME = 100
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
    # Whose it is, also after it left; empty when nobody said.
    user_id: str
    # When its socket broke, while it may still come back.
    broke_at: float | None = None


class AwarenessTable:
    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}

    def take(self, connection: Connection, entries: Iterable[AwarenessEntry], now: float) -> set[int]:
        """States that a socket announced; returns the client ids whose state changed.

        Stock clients echo what they heard of others: entries of ids bound to someone else are passed over.
        """
        changed: set[int] = set()
        for entry in entries:
            if not self.bind(connection, entry):
                continue
            state = None
            if entry.state is not None:
                state = {"cursor": _cursor(entry.state.get("cursor")), "user": connection.identity()}
            clock = _next_clock(self._known.get(entry.client_id))
            self._known[entry.client_id] = _Known(clock, state, now, connection, "", connection.user_id)
            changed.add(entry.client_id)
        return changed

    def bind(self, connection: Connection, entry: AwarenessEntry) -> bool:
        """Whether the entry's client is one of this socket's, from now on if nobody else's."""
        if entry.client_id in connection.client_ids:
            return True
        if entry.state is None or len(connection.client_ids) >= MAX_CLIENT_IDS:
            return False
        if (known := self._known.get(entry.client_id)) is not None:
            # Also of one that has just left: an echo on its way would take the id from its owner who comes back.
            if known.user_id not in ("", connection.user_id):
                return False
            if known.connection is not None:
                known.connection.client_ids.discard(entry.client_id)
        connection.client_ids.add(entry.client_id)
        return True

    def take_remote(self, process: str, frame: bytes, now: float) -> set[int]:
        """States from another process of the same site, which has checked them."""
        changed: set[int] = set()
        for message in decode(frame):
            for entry in message.entries if isinstance(message, Awareness) else ():
                known = self._known.get(entry.client_id)
                owner = entry.state["user"]["id"] if entry.state else known.user_id if known else ""
                if known is not None and known.connection is not None:
                    if entry.state is None and entry.clock >= known.clock:
                        # Over there it seems to have left after it came here: say again that it is here.
                        known.clock = entry.clock + 1
                        changed.add(entry.client_id)
                    if entry.state is None or entry.clock <= known.clock or owner != known.user_id:
                        continue
                    # It moved there, and its socket here is not known to be dead yet.
                    known.connection.client_ids.discard(entry.client_id)
                elif known is not None and known.clock >= entry.clock:
                    continue
                self._known[entry.client_id] = _Known(entry.clock, entry.state, now, None, process, owner)
                changed.add(entry.client_id)
        return changed

    def refresh(self, connection: Connection, now: float) -> set[int]:
        """Show the connection's changed permission."""
        return self._rewrite(connection.client_ids, connection, now, leaves=False)

    def leave(self, connection: Connection, now: float) -> set[int]:
        changed = self._rewrite(connection.client_ids, None, now, leaves=True)
        connection.client_ids.clear()
        return changed

    def linger(self, connection: Connection, now: float) -> None:
        """The socket broke: its states stay for a while, for a page that comes back."""
        for client_id in connection.client_ids:
            known = self._known.get(client_id)
            if known is not None and known.connection is connection:
                known.connection, known.broke_at = None, now
        connection.client_ids.clear()

    def let_go(self, broken_by: float, now: float) -> set[int]:
        """Remove those whose socket broke by then and that did not come back."""
        gone = [k for k, known in self._known.items() if known.broke_at is not None and known.broke_at <= broken_by]
        return self._rewrite(gone, None, now, leaves=True)

    def _rewrite(self, ids: Iterable[int], connection: Connection | None, now: float, *, leaves: bool) -> set[int]:
        changed: set[int] = set()
        for client_id in ids:
            known = self._known.get(client_id)
            if known is None or known.state is None:
                continue
            state = None if leaves or connection is None else {**known.state, "user": connection.identity()}
            self._known[client_id] = _Known(_next_clock(known), state, now, connection, "", known.user_id)
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
                self._known[client_id] = _Known(_next_clock(known), None, now, None, known.process, known.user_id)
                changed.add(client_id)
        return changed

    def encode(self, ids: Iterable[int]) -> list[bytes]:
        """Frames about these clients, none too long to be said again; none at all about nobody."""
        entries = [
            AwarenessEntry(client_id, known.clock, known.state)
            for client_id in sorted(ids)
            if (known := self._known.get(client_id)) is not None
        ]
        starts = range(0, len(entries), ENTRIES_PER_FRAME)
        return [encode_awareness(entries[start : start + ENTRIES_PER_FRAME]) for start in starts]

    def present(self) -> set[int]:
        return {client_id for client_id, known in self._known.items() if known.state is not None}

    def states(self, ids: Iterable[int]) -> dict[int, dict[str, Any] | None]:
        return {client_id: self._known[client_id].state for client_id in ids if client_id in self._known}

    def local(self, ids: Iterable[int] | None = None) -> set[int]:
        """Those of `ids` (or of all present) that other processes hear of from this one."""
        chosen = self.present() if ids is None else ids
        return {client_id for client_id in chosen if (known := self._known.get(client_id)) and not known.process}


def _next_clock(known: _Known | None) -> int:
    """Above every clock that this client was shown with, also by a process or a room that is gone: pages remember it.

    No client changes its state a thousand times a second for long.
    """
    return max(time.time_ns() // 1_000_000, known.clock + 1 if known else 0)


def _cursor(value: Any) -> dict[str, Any] | None:
    """A selection as Yjs writes it, both ends relative to the text; None for anything else."""
    if not isinstance(value, dict):
        return None
    anchor, head = _position(value.get("anchor")), _position(value.get("head"))
    return None if anchor is None or head is None else {"anchor": anchor, "head": head}


def _position(value: Any) -> dict[str, Any] | None:
    """A Y.RelativePosition: beside an item, or at an end of a type. A key may be null instead of absent."""
    if not isinstance(value, dict):
        return None
    found: dict[str, Any] = {}
    for key in ("type", "item"):
        if (identity := value.get(key)) is not None:
            if not isinstance(identity, dict) or not all(_is_number(identity.get(k)) for k in ("client", "clock")):
                return None
            found[key] = {"client": identity["client"], "clock": identity["clock"]}
    if (name := value.get("tname")) is not None:
        if not isinstance(name, str) or not is_file_id(name):
            return None
        found["tname"] = name
    if not found:
        return None
    if (side := value.get("assoc")) is not None:
        if type(side) is not int or side not in (-1, 0, 1):
            return None
        found["assoc"] = side
    return found


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_NUMBER
