"""One live document in this process: its replica, its sockets, what they are told, and what waits for a commit.

Everything here runs on one event loop and never waits for the database: rooms.py does, and tells the outcome.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from realtime import connections, metrics, protocol
from realtime.awareness import AwarenessTable
from realtime.connections import Shared
from sessions_app import crdt, documents, events
from sessions_app.access import can_edit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from realtime.connections import Connection

logger = logging.getLogger(__name__)

LIMITS = crdt.Limits(documents.TEXT_MAX_BYTES, documents.DOCUMENT_MAX_BYTES)
# The first change of a quiet room is relayed at once; while a room is busy, one frame per window.
MERGE_SECONDS = 0.02
REMOTE_PEOPLE_SECONDS = 30
ANNOUNCE_SECONDS = 10
ASK_AGAIN_SECONDS = 5
# Ids of chat messages that are remembered as shown.
SHOWN_CHAT_MAX = 200


class Host(Protocol):
    """What a room asks of the process that it lives in (rooms.Rooms)."""

    process: str

    @property
    def is_alone(self) -> bool: ...

    def commit_soon(self, room: Room) -> None: ...

    def repair_soon(self, room: Room, cause: str) -> None: ...

    def rebuild_soon(self, room: Room) -> None: ...

    def check_soon(self, room: Room) -> None: ...


@dataclass(slots=True)
class Change:
    """A change that is relayed and not committed yet."""

    payload: bytes
    user_id: UUID


@dataclass(slots=True)
class _RemotePeople:
    people: list[protocol.Present]
    heard_at: float


class Room:
    def __init__(self, host: Host, session_id: UUID, loaded: documents.Loaded) -> None:
        self.session_id = session_id
        self.epoch = loaded.epoch
        # The newest seq of the log up to which this replica holds everything.
        self.head = loaded.head
        self.connections: dict[str, Connection] = {}
        self.queue: list[Change] = []
        self.in_flight: list[Change] = []
        # Cleared while the replica is loaded again; frames wait for it.
        self.ready = asyncio.Event()
        self.ready.set()
        self.idle_since = time.monotonic()
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._replica = crdt.Replica(loaded.update, LIMITS)
        self._full: bytes | None = None
        self._awareness = AwarenessTable()
        self._remote: dict[str, _RemotePeople] = {}
        self._shown_people: list[protocol.Present] = []
        self._shown_chat: deque[str] = deque(maxlen=SHOWN_CHAT_MAX)
        # Counts of changes taken from sockets, and of those committed: what acknowledgements wait for.
        self._taken = 0
        self._committed = 0
        self._touched = 0
        self._outgoing: list[bytes] = []
        self._outgoing_base = b""
        self._outgoing_from: set[Connection | None] = set()
        self._moved: set[int] = set()
        self._moved_by: set[Connection | None] = set()
        self._flush_handle: asyncio.Handle | None = None
        self._flushed_at = 0.0
        self._announced_at = 0.0

    @property
    def is_saved(self) -> bool:
        return not self.queue and not self.in_flight

    def close(self) -> None:
        """Free the replica on this thread and break the references that keep it."""
        if self._flush_handle is not None:
            self._flush_handle.cancel()
        self._replica.close()
        metrics.CONNECTIONS.dec(len(self.connections))
        self.connections.clear()

    # Sockets

    def join(self, connection: Connection) -> None:
        self.connections[connection.id] = connection
        metrics.CONNECTIONS.inc()
        connection.tell(
            {
                "type": "hello",
                "connection_id": connection.id,
                "user": {"id": connection.user_id, "username": connection.username},
                "permission": connection.permission,
                "epoch": str(self.epoch),
                "head": self.head,
            }
        )
        people = self._people()
        connection.tell({"type": "presence", "people": people})
        if present := self._awareness.present():
            connection.put_awareness(Shared(self._awareness.encode(present)))
        self._show_people()

    def leave(self, connection: Connection) -> None:
        if self.connections.pop(connection.id, None) is None:
            return
        metrics.CONNECTIONS.dec()
        self.idle_since = time.monotonic()
        self._note_moved(self._awareness.leave(connection, time.monotonic()), None)
        self._show_people()

    def expel(self, connection: Connection, code: int, reason: str) -> None:
        """Close a socket from here: it hears nothing more, and nothing more of it is taken."""
        self.leave(connection)
        connection.close(code, reason)

    def expel_all(self, code: int, reason: str) -> None:
        for connection in list(self.connections.values()):
            self.expel(connection, code, reason)

    def set_permission(self, connection: Connection, permission: str) -> None:
        if permission == connection.permission:
            return
        connection.permission = permission
        connection.tell({"type": "access", "permission": permission})
        self._note_moved(self._awareness.refresh(connection, time.monotonic()), None)
        self._show_people()

    def receive(self, connection: Connection, frame: bytes) -> None:
        """Take one binary frame of a socket. Raises ProtocolError."""
        for message in protocol.decode(frame):
            if connection.closing is not None:
                return
            if isinstance(message, protocol.SyncUpdate):
                self._take_update(connection, message.update)
            elif isinstance(message, protocol.Awareness):
                changed = self._awareness.take(connection, message.entries, time.monotonic())
                self._note_moved(changed, connection)
            elif isinstance(message, protocol.SyncStep1):
                self._answer_step1(connection, message.state)
            elif isinstance(message, protocol.SyncStep2):
                connection.asked_at = None
                self._take_update(connection, message.update)
            else:
                connection.put_answer(self._awareness.encode(self._awareness.present()))

    async def catch_up(self, state: bytes) -> list[bytes]:
        await self.ready.wait()
        frames = [protocol.encode_update(self._replica.diff(state))]
        if present := self._awareness.present():
            frames.append(self._awareness.encode(present))
        return frames

    def keep_alive(self, older_than: float) -> None:
        for connection in self.connections.values():
            if connection.last_sent <= older_than:
                connection.put_awareness(connections.KEEP_ALIVE)

    def _answer_step1(self, connection: Connection, state: bytes) -> None:
        try:
            update = self._everything() if state == b"\x00" else self._replica.diff(state)
        except crdt.Malformed as error:
            raise protocol.ProtocolError("the state vector cannot be read") from error
        connection.put_answer(protocol.encode_step2(update))
        self._ask(connection)

    def _everything(self) -> bytes:
        """The whole document, kept until it changes: many newcomers ask for it at once after a restart."""
        if self._full is None:
            self._full = self._replica.diff()
        return self._full

    def _ask(self, connection: Connection) -> None:
        """Ask the socket for everything it has; not again while it may still be answering."""
        now = time.monotonic()
        if connection.asked_at is None or now - connection.asked_at > ASK_AGAIN_SECONDS:
            connection.asked_at = now
            connection.put_answer(protocol.encode_step1(self._replica.state()))

    def _take_update(self, connection: Connection, update: bytes) -> None:
        connection.received += 1
        number = connection.received
        try:
            if not can_edit(connection.permission):
                if self._replica.has_news(update):
                    self._refuse(connection, "read_only", "You can read this session, but not change its text.")
                connection.expect(number, self._taken)
                connection.settle(self._committed, self.head)
                return
            applied = self._replica.apply(update)
        except crdt.NotPlain:
            self._refuse(connection, "invalid", "The update holds something other than text.")
            self.expel(connection, connections.BAD_FRAME, "not text")
            return
        except crdt.Malformed:
            self._refuse(connection, "invalid", "The update cannot be read.")
            self.expel(connection, connections.BAD_FRAME, "corrupt update")
            return
        except crdt.TooLarge:
            self._refuse(connection, "too_large", "The text would be larger than a session may hold.")
            self.expel(connection, connections.TOO_LARGE, "too large")
            return
        except crdt.Broken:
            logger.exception("an update of user %s broke the replica of %s", connection.user_id, self.session_id)
            self._refuse(connection, "invalid", "The update cannot be merged.")
            self.expel(connection, connections.BAD_FRAME, "update cannot be merged")
            self._host.rebuild_soon(self)
            return
        metrics.UPDATES.inc()
        if applied.change is not None:
            self.queue.append(Change(applied.change, UUID(connection.user_id)))
            self._taken += 1
            self._relay(applied.change, applied.before, connection)
            self._host.commit_soon(self)
        if applied.is_missing:
            metrics.RESYNCS.labels("missing").inc()
            if connection.hold(number, update):
                self._ask(connection)
            else:
                self.expel(connection, connections.TRY_AGAIN, "updates are missing")
            return
        connection.expect(number, self._taken)
        connection.settle(self._committed, self.head)

    def _refuse(self, connection: Connection, code: Any, detail: str) -> None:
        metrics.REFUSED.labels(code).inc()
        connection.tell({"type": "refused", "received": connection.received, "code": code, "detail": detail})
        connection.put_denied(detail)

    # The log

    def committed(self, count: int, appended: documents.Appended) -> None:
        """The oldest `count` changes are on disk; their rows have these numbers."""
        self.in_flight.clear()
        self._committed += count
        if appended.first_seq == self.head + 1:
            self.head = appended.last_seq
        elif appended.last_seq > self.head:
            self._host.repair_soon(self, "gap")
        for connection in self.connections.values():
            connection.settle(self._committed, appended.last_seq)

    def worked_in(self) -> bool:
        """Whether anything was committed since the last time this was asked."""
        was, self._touched = self._touched, self._committed
        return self._committed > was

    def not_committed(self) -> None:
        self.queue[:0] = self.in_flight
        self.in_flight.clear()

    def absorb(self, updates: Iterable[bytes], last_seq: int) -> None:
        """Merge what the log holds up to `last_seq`."""
        for update in updates:
            try:
                applied = self._replica.apply(update, is_checked=False)
            except (crdt.Malformed, crdt.Broken):
                logger.exception("the log of %s holds an update that cannot be merged", self.session_id)
                self._host.rebuild_soon(self)
                return
            if applied.change is not None:
                self._relay(applied.change, applied.before, None)
        self.head = max(self.head, last_seq)

    def replace(self, loaded: documents.Loaded) -> None:
        """Start over from the log, keeping what is not committed yet. Raises Malformed or Broken."""
        replica = crdt.Replica(loaded.update, LIMITS)
        for change in [*self.in_flight, *self.queue]:
            replica.apply(change.payload, is_checked=False)
        self._replica.close()
        self._replica, self._full = replica, None
        self.head = max(self.head, loaded.head)
        base = b"\x00"
        frame = Shared(protocol.encode_update(replica.diff()))
        for connection in self.connections.values():
            connection.put_update(frame, base)

    def hear(self, message: dict[str, Any]) -> None:
        """A message of the channel layer: an event for the page, a changed permission, or the doorbell."""
        kind = message.get("type")
        if kind == "room.event":
            self.show_event(message["event"])
        elif kind == "room.check":
            self._host.check_soon(self)
        elif kind == "room.bell" and message.get("process") != self._host.process:
            self._hear_bell(message)

    def show_event(self, event: dict[str, Any] | events.Chat) -> None:
        """Pass an event on to every socket; a chat message once, however often it is heard."""
        if event["type"] == "chat":
            if event["id"] in self._shown_chat:
                return
            self._shown_chat.append(event["id"])
        text = Shared(protocol.encode_text(event))
        for connection in self.connections.values():
            connection.put_text(text, may_be_lost=event["type"] == "run.output")

    def _hear_bell(self, message: dict[str, Any]) -> None:
        if message.get("epoch") != self.epoch.hex:
            return
        now = time.monotonic()
        process = str(message["process"])
        if "last" in message and message["last"] > self.head:
            if message["first"] == self.head + 1 and message["updates"] is not None and self.ready.is_set():
                self.absorb(message["updates"], message["last"])
            else:
                self._host.repair_soon(self, "gap")
        if "awareness" in message:
            self._note_moved(self._awareness.take_remote(process, message["awareness"], now), None)
        if "people" in message:
            if message["people"]:
                self._remote[process] = _RemotePeople(message["people"], now)
            else:
                self._remote.pop(process, None)
            self._show_people(is_local=False)
        if message.get("asks"):
            self.announce_here()

    def ring(self, message: dict[str, Any]) -> None:
        if self._host.is_alone:
            return
        events.ring_document(self.session_id, {"process": self._host.process, "epoch": self.epoch.hex, **message})

    def announce_here(self, *, asks: bool = False) -> None:
        """Tell the other processes who is here; with `asks`, have them tell the same."""
        self._announced_at = time.monotonic()
        message: dict[str, Any] = {"people": self._local_people(), "asks": asks}
        if local := self._awareness.local(self._awareness.present()):
            message["awareness"] = self._awareness.encode(local)
        self.ring(message)

    def renew(self, now: float) -> None:
        """Tell other processes again who is here, and forget people and cursors of those that fell silent."""
        if self.connections and now - self._announced_at > ANNOUNCE_SECONDS:
            self.announce_here()
        self._note_moved(self._awareness.expire(now), None)
        silent = [name for name, remote in self._remote.items() if now - remote.heard_at > REMOTE_PEOPLE_SECONDS]
        for name in silent:
            del self._remote[name]
        if silent:
            self._show_people(is_local=False)

    # Telling the sockets

    def _relay(self, change: bytes, before: bytes, source: Connection | None) -> None:
        self._full = None
        if not self._outgoing:
            self._outgoing_base = before
        self._outgoing.append(change)
        self._outgoing_from.add(source)
        for connection in self.connections.values():
            if connection.holds_frames:
                connection.release(self._replica.lacks, self._taken)
                connection.settle(self._committed, self.head)
        self._flush_soon()

    def _note_moved(self, client_ids: set[int], source: Connection | None) -> None:
        if client_ids:
            self._moved |= client_ids
            self._moved_by.add(source)
            self._flush_soon()

    def _flush_soon(self) -> None:
        if self._flush_handle is None:
            wait = self._flushed_at + MERGE_SECONDS - self._loop.time()
            self._flush_handle = self._loop.call_later(max(wait, 0), self._flush)

    def _flush(self) -> None:
        """Encode once what changed since the last flush and put it to every socket; cursors follow their text."""
        self._flush_handle = None
        self._flushed_at = self._loop.time()
        if self._outgoing:
            frame = Shared(protocol.encode_update(crdt.merge(self._outgoing)))
            only = self._outgoing_from.copy().pop() if len(self._outgoing_from) == 1 else None
            self._outgoing.clear()
            self._outgoing_from.clear()
            self._tell_others(only, lambda connection: connection.put_update(frame, self._outgoing_base))
        if self._moved:
            frame = Shared(self._awareness.encode(self._moved))
            only = self._moved_by.copy().pop() if len(self._moved_by) == 1 else None
            local = self._awareness.local(self._moved)
            self._moved.clear()
            self._moved_by.clear()
            self._tell_others(only, lambda connection: connection.put_awareness(frame))
            if local:
                self.ring({"awareness": self._awareness.encode(local)})

    def _tell_others(self, only_source: Connection | None, put: Callable[[Connection], None]) -> None:
        for connection in self.connections.values():
            if connection is not only_source:
                put(connection)

    # Who is here

    def _local_people(self) -> list[protocol.Present]:
        people = {
            connection.user_id: protocol.Present(
                id=connection.user_id, username=connection.username, permission=connection.permission
            )
            for connection in self.connections.values()
        }
        return list(people.values())

    def _people(self) -> list[protocol.Present]:
        people = {person["id"]: person for remote in self._remote.values() for person in remote.people}
        people |= {person["id"]: person for person in self._local_people()}
        return sorted(people.values(), key=lambda person: (person["username"].lower(), person["id"]))

    def _show_people(self, *, is_local: bool = True) -> None:
        people = self._people()
        if people == self._shown_people:
            return
        self._shown_people = people
        text = Shared(protocol.encode_text({"type": "presence", "people": people}))
        for connection in self.connections.values():
            connection.put_text(text)
        if is_local:
            self.ring({"people": self._local_people()})
