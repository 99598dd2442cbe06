"""Which connections this server keeps: a cap for all of them, and one for those of each address.

A connection is waiting until the head of a request is whole, and busy until that request is answered, or for as long
as it is a socket. Three quarters of a cap may be busy; past it, requests are refused. The rest is for those that wait,
and when it is full the oldest of them makes room. So a newcomer is always heard, however many others say nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client import Counter
from uvicorn.server import ServerState

if TYPE_CHECKING:
    import asyncio

TURNED_AWAY = Counter(
    "http_turned_away", "Connections and requests that ended before the application was asked, by reason.", ["reason"]
)


@dataclass
class Places:
    """The connections of one address, or of all."""

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
    """uvicorn's state of a server, which all its connections share. An address is "" while it is not known, which is
    so behind proxies until a request says whom it is from."""

    def __init__(self, connections: int, connections_per_address: int, body_bytes: int) -> None:
        super().__init__()
        self._everyone = Places(connections, body_bytes)
        self._per_address = (min(connections_per_address, connections // 2), body_bytes // 2)
        self._addresses: dict[str, Places] = {}
        self._inside: dict[asyncio.Transport, _Connection] = {}

    def enter(self, transport: asyncio.Transport, address: str) -> bool:
        """Take a new connection in, in place of one that waits if need be. False if there is none."""
        connection = _Connection(address)
        # The address first: what goes of its own makes room among all.
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
        # Anew: the eviction may have left nothing of the address.
        for places in self._places_of(connection):
            places.waiting[transport] = None
        return True

    def begin(self, transport: asyncio.Transport, address: str) -> bool:
        """Note that a request is to be answered. False when its address, or the server, has too many already."""
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
        """Count bytes of a body that has to be kept until its request is answered; False past the limit."""
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
        """Note that every request of the connection is answered; `address` is what it entered with."""
        if self.leave(transport):
            connection = self._inside[transport] = _Connection(address)
            for places in self._places_of(connection):
                places.waiting[transport] = None

    def leave(self, transport: asyncio.Transport) -> bool:
        """Forget a connection; False if that was done before."""
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
