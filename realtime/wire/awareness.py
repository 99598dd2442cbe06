"""Who points where in one room: the table of awareness states. The server owns the identity and the clock in each.

A client's own clock is not used: after a quick reconnect it announces itself with a clock that the others already
saw leave, and stays invisible (y-websocket issue 122); and one at the top of the range would leave here as a number
that no client reads. Of a state only the cursor is taken: what other pages draw must not make them fail.

Stock clients repeat what they hear, also about themselves, and renew what they said. Neither is news, so neither
changes a state, and no socket is told of its own clients: what it heard would replace what it last said.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from realtime.wire.protocol import (
    MAX_NUMBER,
    Awareness,
    AwarenessEntry,
    awareness_of,
    decode,
    encode_awareness_entry,
)
from sessions_app.document.texts import is_file_id

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

# A page has one client id; a few more allow for one that reloads its document on the same socket.
MAX_CLIENT_IDS = 4
# Stock clients repeat what they hear, in one frame, and no frame with more than protocol.MAX_AWARENESS_ENTRIES is
# taken.
ENTRIES_PER_FRAME = 100
# Stock clients renew every 15 s and take a state for outdated after 30 s.
REMOTE_SECONDS = 30
GONE_SECONDS = 120
# Of one person's selections besides the main one.
OTHERS_MAX = 12
# The newest clocks given to each client; an echo arrives within a round trip.
GIVEN_MAX = 32


class Holder(Protocol):
    """What the table asks of a socket, and the client ids that it keeps there."""

    client_ids: set[int]

    @property
    def user_id(self) -> str: ...

    def shown_identity(self) -> dict[str, object]: ...


@dataclass(slots=True)
class _Known:
    clock: int
    state: dict[str, Any] | None
    heard_at: float
    # In this process; None for a client on another process, or one that left.
    connection: Holder | None
    process: str
    # Whose it is, also after it left; empty when nobody said.
    user_id: str
    # The client's own clock, as it last said it.
    said: int = -1
    # Clocks that sockets were told, the newest last.
    given: deque[int] = field(default_factory=lambda: deque(maxlen=GIVEN_MAX))
    told_at: float = 0.0
    # When its socket broke, while it may still come back.
    broke_at: float | None = None
    _encoded: bytes | None = None

    def change(self, clock: int, state: dict[str, Any] | None, now: float) -> None:
        self.clock, self.state, self.heard_at, self.told_at = clock, state, now, now
        self.given.append(clock)
        self._encoded = None

    def next_clock(self, now: float) -> None:
        """Let clients that drop what was not renewed hear of this state again."""
        self.change(_next_clock(self), self.state, now)

    def is_echo(self, clock: int, *, is_introduction: bool) -> bool:
        """Whether a socket that does not hold this client repeats what it heard of it, from the server or, in another
        tab of the same browser, from the client itself. The first thing that a socket announces is its own."""
        if clock in self.given and clock != self.said:
            return True
        return self.connection is not None and clock <= self.said and not is_introduction

    def encoded(self, client_id: int) -> bytes:
        if self._encoded is None:
            self._encoded = encode_awareness_entry(AwarenessEntry(client_id, self.clock, self.state))
        return self._encoded


class AwarenessTable:
    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}

    def take(self, connection: Holder, entries: Iterable[AwarenessEntry], now: float) -> set[int]:
        """Take the states that a socket announced; returns the client ids whose state changed."""
        changed: set[int] = set()
        for entry in entries:
            if not self.bind(connection, entry):
                continue
            state = None
            if entry.state is not None:
                state = {"cursor": _cursor(entry.state.get("cursor")), "user": connection.shown_identity()}
            known = self._known.get(entry.client_id)
            if known is None:
                known = self._known[entry.client_id] = _Known(-1, None, now, connection, "", "", entry.clock)
            # The process that it came from is told that it is here now.
            is_news = state != known.state or bool(known.process)
            known.connection, known.process, known.user_id = connection, "", connection.user_id
            known.said, known.heard_at, known.broke_at = entry.clock, now, None
            if is_news:
                known.change(_next_clock(known), state, now)
                changed.add(entry.client_id)
        return changed

    def bind(self, connection: Holder, entry: AwarenessEntry) -> bool:
        """Whether the entry comes from a client of this socket; the socket holds that client from now on."""
        known = self._known.get(entry.client_id)
        if entry.client_id in connection.client_ids:
            if known is not None:
                known.said = entry.clock
            return True
        if entry.state is None or len(connection.client_ids) >= MAX_CLIENT_IDS:
            return False
        if known is not None:
            # Also one that has just left: it may come back.
            if known.user_id not in ("", connection.user_id):
                return False
            if known.is_echo(entry.clock, is_introduction=not connection.client_ids):
                return False
            if known.connection is not None:
                known.connection.client_ids.discard(entry.client_id)
        connection.client_ids.add(entry.client_id)
        return True

    def take_remote(self, process: str, frame: bytes, now: float) -> set[int]:
        """Take states from another process of the same site, which has checked them."""
        changed: set[int] = set()
        for message in decode(frame):
            for entry in message.entries if isinstance(message, Awareness) else ():
                known = self._known.get(entry.client_id)
                owner = entry.state["user"]["id"] if entry.state else known.user_id if known else ""
                if known is None:
                    known = self._known[entry.client_id] = _Known(-1, None, now, None, process, owner)
                elif known.connection is not None:
                    if entry.state is None and entry.clock >= known.clock:
                        # Over there it seems to have left after it came here: say again that it is here.
                        known.change(entry.clock + 1, known.state, now)
                        changed.add(entry.client_id)
                    if entry.state is None or entry.clock <= known.clock or owner != known.user_id:
                        continue
                    # It moved there, and its socket here is not known to be dead yet.
                    known.connection.client_ids.discard(entry.client_id)
                elif entry.clock < known.clock or (entry.clock == known.clock and entry.state != known.state):
                    continue
                known.connection, known.process, known.user_id, known.broke_at = None, process, owner, None
                known.heard_at = now
                if entry.state != known.state:
                    known.change(entry.clock, entry.state, now)
                    changed.add(entry.client_id)
                elif entry.clock > known.clock:
                    # To be told with the next renewal.
                    known.clock, known._encoded = entry.clock, None
        return changed

    def refresh(self, connection: Holder, now: float) -> set[int]:
        """Show the connection's changed permission, name or hue."""
        return self._rewrite(connection.client_ids, connection, now)

    def leave(self, connection: Holder, now: float) -> set[int]:
        changed = self._rewrite(connection.client_ids, None, now)
        connection.client_ids.clear()
        return changed

    def linger(self, connection: Holder, now: float) -> None:
        """The socket broke: its states stay for a while, for a page that comes back."""
        for client_id in connection.client_ids:
            known = self._known.get(client_id)
            if known is not None and known.connection is connection:
                known.connection, known.broke_at = None, now
        connection.client_ids.clear()

    def let_go(self, broken_by: float, now: float) -> set[int]:
        """Remove those whose socket broke by then and that did not come back."""
        gone = [k for k, known in self._known.items() if known.broke_at is not None and known.broke_at <= broken_by]
        return self._rewrite(gone, None, now)

    def _rewrite(self, ids: Iterable[int], connection: Holder | None, now: float) -> set[int]:
        """Give the clients' states the identity of this connection; without one, they leave."""
        changed: set[int] = set()
        for client_id in ids:
            known = self._known.get(client_id)
            if known is None:
                continue
            known.connection, known.process, known.broke_at = connection, "", None
            if known.state is None:
                continue
            state = None if connection is None else {**known.state, "user": connection.shown_identity()}
            if state != known.state:
                known.change(_next_clock(known), state, now)
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
                known.change(_next_clock(known), None, now)
                changed.add(client_id)
        return changed

    def renew(self, untold_since: float, others_since: float, now: float) -> set[int]:
        """Give new clocks to states, for clients that drop a state 30 s after its last clock; returns the ids.

        Once any was last told before `untold_since`, all that were last told before `others_since` are renewed, so
        that they keep step.
        """
        present = [(client_id, known) for client_id, known in self._known.items() if known.state is not None]
        if not any(known.told_at <= untold_since for _, known in present):
            return set()
        renewed = {client_id: known for client_id, known in present if known.told_at <= others_since}
        for known in renewed.values():
            if known.process:
                known.told_at = now
                known.given.append(known.clock)
            else:
                known.next_clock(now)
        return set(renewed)

    def vouch(self, now: float) -> list[bytes]:
        """Encode this process' clients with new clocks, for other processes to renew them with."""
        local = self.local(self.present())
        for client_id in local:
            known = self._known[client_id]
            told_at = known.told_at
            known.next_clock(now)
            known.told_at = told_at
        return self.encode(local)

    def encode(self, ids: Iterable[int]) -> list[bytes]:
        """Encode frames about these clients, none too long to be repeated; no frame for no clients."""
        entries = [
            known.encoded(client_id) for client_id in sorted(ids) if (known := self._known.get(client_id)) is not None
        ]
        starts = range(0, len(entries), ENTRIES_PER_FRAME)
        return [awareness_of(entries[start : start + ENTRIES_PER_FRAME]) for start in starts]

    def present(self) -> set[int]:
        return {client_id for client_id, known in self._known.items() if known.state is not None}

    def shown_to(self, connection: Holder) -> set[int]:
        """Return the present clients except the socket's own; before it has introduced any, except its person's."""
        if connection.client_ids:
            return self.present() - connection.client_ids
        return self.present() - self.of_person(connection.user_id)

    def of_person(self, user_id: str) -> set[int]:
        return {client_id for client_id in self.present() if self._known[client_id].user_id == user_id}

    def states(self, ids: Iterable[int]) -> dict[int, dict[str, Any] | None]:
        return {client_id: self._known[client_id].state for client_id in ids if client_id in self._known}

    def local(self, ids: Collection[int]) -> set[int]:
        """Return those of `ids` that other processes hear of from this one."""
        return {client_id for client_id in ids if (known := self._known.get(client_id)) and not known.process}


def _next_clock(known: _Known | None) -> int:
    """Return a clock above all that this client was shown with, also by a process that is gone: pages remember it.

    No client changes its state a thousand times a second for long.
    """
    return max(time.time_ns() // 1_000_000, known.clock + 1 if known else 0)


def _cursor(value: Any) -> dict[str, Any] | None:
    """Read a selection as Yjs writes it, with the `others` of somebody who has several; None for anything else."""
    if (found := _selection(value)) is None:
        return None
    others = value.get("others")
    if isinstance(others, list) and (kept := [ends for other in others[:OTHERS_MAX] if (ends := _selection(other))]):
        found["others"] = kept
    return found


def _selection(value: Any) -> dict[str, Any] | None:
    """Read both ends of a selection, relative to the text."""
    if not isinstance(value, dict):
        return None
    anchor, head = _position(value.get("anchor")), _position(value.get("head"))
    return None if anchor is None or head is None else {"anchor": anchor, "head": head}


def _position(value: Any) -> dict[str, Any] | None:
    """Read a Y.RelativePosition: next to an item, or at an end of a type. A key may be null instead of absent."""
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
