"""Admit connections within a limit for the whole server and one for each address.

A connection is waiting until the head of a request is complete, and busy until that request is answered, or for as
long as it is a socket. Up to three quarters of a limit may be busy; beyond that, requests are rejected. The rest is
for waiting connections, and when it is full, the oldest of them is dropped. So a new connection always gets a chance,
however many others are idle.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client import Counter
from uvicorn.server import ServerState

if TYPE_CHECKING:
    import asyncio

TURNED_AWAY = Counter(
    "http_turned_away", "Connections and requests rejected before they reached the application, by reason.", ["reason"]
)


@dataclass
class Places:
    """The connections of one address, or of the whole server."""

    limit: int
    body_bytes_limit: int
    # Oldest first.
    waiting: dict[asyncio.Transport, None] = field(default_factory=dict)
    busy: set[asyncio.Transport] = field(default_factory=set)
    body_bytes: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.waiting) + len(self.busy) >= self.limit

    @property
    def is_saturated(self) -> bool:
        return len(self.busy) >= self.limit - max(1, self.limit // 4)


@dataclass
class _Connection:
    address: str
    body_bytes: int = 0


class Admission(ServerState):
    """uvicorn's server state, which all connections share. An address is "" while unknown: behind proxies, until the
    first request names it."""

    def __init__(self, connections: int, connections_per_address: int, body_bytes: int) -> None:
        super().__init__()
        self._everyone = Places(connections, body_bytes)
        self._per_address = (min(connections_per_address, connections // 2), body_bytes // 2)
        self._addresses: dict[str, Places] = {}
        self._inside: dict[asyncio.Transport, _Connection] = {}

    def enter(self, transport: asyncio.Transport, address: str) -> bool:
        """Admit a connection, if necessary in place of a waiting one. Returns False if there is no room."""
        connection = _Connection(address)
        # The address first: evicting one of its connections makes room on the server too.
        for places in reversed(self._places_of(connection)):
            if places.is_full:
                if not places.waiting:
                    TURNED_AWAY.labels("full").inc()
                    return False
                oldest = next(iter(places.waiting))
                self.leave(oldest)
                oldest.abort()
                TURNED_AWAY.labels("evicted").inc()
        self._inside[transport] = connection
        # Looked up again, because the eviction may have removed the address.
        for places in self._places_of(connection):
            places.waiting[transport] = None
        return True

    def begin(self, transport: asyncio.Transport, address: str) -> bool:
        """Mark the connection as busy. Returns False if its address, or the server, has too many busy ones."""
        connection = self._inside.get(transport)
        if connection is None:
            return False
        if transport in self._everyone.busy:
            return True
        entered_as, connection.address = connection.address, address
        places = self._places_of(connection)
        if any(each.is_saturated for each in places):
            connection.address = entered_as
            self._forget(address)
            TURNED_AWAY.labels("full").inc()
            return False
        for each in places:
            each.waiting.pop(transport, None)
            each.busy.add(transport)
        return True

    def hold(self, transport: asyncio.Transport, size: int) -> bool:
        """Count bytes of a body, which are kept until the request is answered. Returns False past the limit."""
        connection = self._inside.get(transport)
        if connection is None:
            return False
        connection.body_bytes += size
        is_within = True
        for places in self._places_of(connection):
            places.body_bytes += size
            is_within = is_within and places.body_bytes <= places.body_bytes_limit
        return is_within

    def end(self, transport: asyncio.Transport, address: str) -> None:
        """Mark the connection as waiting again, under the `address` that it entered with."""
        if self.leave(transport):
            connection = self._inside[transport] = _Connection(address)
            for places in self._places_of(connection):
                places.waiting[transport] = None

    def leave(self, transport: asyncio.Transport) -> bool:
        """Remove a connection. Returns False if it was already gone."""
        connection = self._inside.pop(transport, None)
        if connection is None:
            return False
        for places in self._places_of(connection):
            places.waiting.pop(transport, None)
            places.busy.discard(transport)
            places.body_bytes -= connection.body_bytes
        self._forget(connection.address)
        return True

    def _places_of(self, connection: _Connection) -> list[Places]:
        if not connection.address:
            return [self._everyone]
        if connection.address not in self._addresses:
            self._addresses[connection.address] = Places(*self._per_address)
        return [self._everyone, self._addresses[connection.address]]

    def _forget(self, address: str) -> None:
        places = self._addresses.get(address)
        if places and not places.waiting and not places.busy:
            del self._addresses[address]
