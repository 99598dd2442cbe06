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

from django.conf import settings

from realtime import connections, metrics
from realtime.connections import Frame, Shared
from realtime.hues import Hues
from realtime.plain_clients import PlainClients
from realtime.wire import close_codes, protocol
from realtime.wire.awareness import AwarenessTable
from sessions_app import crdt, documents, events
from sessions_app.access import can_edit
from sessions_app.models import CHAT_MAX_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from realtime.connections import Connection

logger = logging.getLogger(__name__)

# The first change of a quiet room is relayed at once; while a room is busy, one frame per window.
MERGE_SECONDS = 0.02
BASE_SECONDS = 1
REMOTE_PEOPLE_SECONDS = 30
ANNOUNCE_SECONDS = 10
ASK_AGAIN_SECONDS = 5
# Ids of chat messages that are remembered as shown.
SHOWN_CHAT_MAX = 200
# Frames about cursors that are known again when a client repeats them.
TOLD_CURSORS_MAX = 16


class Host(Protocol):
    """What a room asks of the process that it lives in (rooms.Rooms)."""

    process: str

    @property
    def is_alone(self) -> bool: ...

    @property
    def is_degraded(self) -> bool: ...

    def commit_soon(self, room: Room) -> None: ...

    def repair_soon(self, room: Room, cause: str) -> None: ...

    def rebuild_soon(self, room: Room) -> None: ...

    def check_soon(self, room: Room) -> None: ...

    def broke(self, room: Room, user_id: str, update: bytes, error: Exception) -> None: ...

    def left(self, connection: Connection) -> None: ...

    async def slice(self, update: bytes) -> crdt.Sliced: ...

    async def try_out(self, document: bytes, sliced: crdt.Sliced, limits: crdt.Limits) -> crdt.Sliced: ...


def _limits() -> crdt.Limits:
    return crdt.Limits(settings.TEXT_MAX_BYTES, settings.DOCUMENT_MAX_BYTES)


@dataclass(slots=True)
class Change:
    """A change that is relayed and not committed yet."""

    payload: bytes
    # None for what the server does itself.
    user_id: UUID | None


@dataclass(slots=True)
class _RemotePeople:
    people: list[protocol.Present]
    heard_at: float


class Room:
    def __init__(self, host: Host, session_id: UUID, loaded: documents.Loaded, opened: crdt.Opened) -> None:
        self.session_id = session_id
        self.epoch = loaded.epoch
        # The newest seq of the log up to which this replica holds everything.
        self.head = loaded.head
        self.connections: dict[str, Connection] = {}
        # Those with frames that are not acknowledged yet: of a hundred sockets mostly one or two.
        self._unsettled: set[Connection] = set()
        # Those of them that hold frames.
        self._holding: set[Connection] = set()
        self._held_handle: asyncio.Handle | None = None
        self._held_timer: asyncio.TimerHandle | None = None
        self.queue: list[Change] = []
        # Cleared while too much waits for the database; then nothing more is read from sockets.
        self.has_space = asyncio.Event()
        self.has_space.set()
        self._unsaved_bytes = 0
        # How many rows a load of this document would merge into its snapshot, as far as this process added them.
        self.tail_rows = loaded.tail_rows
        self.in_flight: list[Change] = []
        # Cleared while the replica is loaded again; frames wait for it.
        self.ready = asyncio.Event()
        self.ready.set()
        self.idle_since = time.monotonic()
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._replica = crdt.Replica(opened, _limits())
        self._full: bytes | None = None
        self._awareness = AwarenessTable()
        self._hues = Hues()
        self._remote: dict[str, _RemotePeople] = {}
        # When each other process that has this room open was last heard of.
        self._heard: dict[str, float] = {}
        self._shown_people: list[protocol.Present] = []
        self._shown_chat: deque[str] = deque(maxlen=SHOWN_CHAT_MAX)
        self._plain: PlainClients | None = None
        # Counts of changes taken from sockets, and of those committed: what acknowledgements wait for.
        self._taken = 0
        self._committed = 0
        self._touched = 0
        self._outgoing: list[bytes] = []
        # A state vector that the next flush leads on from, and the loop's time when it was read. Everybody was put
        # what came up to it, so an older one makes what a slow reader is sent a little longer, not wrong.
        self._outgoing_base, self._outgoing_base_at = self._replica.state(), 0.0
        self._outgoing_from: set[Connection | None] = set()
        self._moved: set[int] = set()
        # The newest frames about cursors that sockets were told alike.
        self._told_cursors: deque[bytes | str] = deque(maxlen=TOLD_CURSORS_MAX)
        self._moved_handle: asyncio.TimerHandle | None = None
        self._moved_told_at = 0.0
        self._flush_handle: asyncio.Handle | None = None
        self._flushed_at = 0.0
        self._announced_at = 0.0

    @property
    def document_bytes(self) -> int:
        """About what it takes in memory."""
        return self._replica.size_bound

    @property
    def is_saved(self) -> bool:
        return not self.queue and not self.in_flight

    def close(self) -> None:
        """Free the replica on this thread and break the references that keep it."""
        if self._flush_handle is not None:
            self._flush_handle.cancel()
        if self._moved_handle is not None:
            self._moved_handle.cancel()
        for handle in (self._held_handle, self._held_timer):
            if handle is not None:
                handle.cancel()
        self._replica.close()
        for connection in list(self.connections.values()):
            self._forget(connection)

    # Sockets

    def join(self, connection: Connection, measure: str) -> None:
        """`measure` is what a moderator's lock or freeze means here; empty without one."""
        present = [person["id"] for person in self.people()]
        connection.hue = self._hues.give(connection.user_id, connection.hue, present)
        self.connections[connection.id] = connection
        metrics.CONNECTIONS.inc()
        metrics.BY_PERMISSION.labels(connection.permission).inc()
        connection.tell(
            {
                "type": "hello",
                "connection_id": connection.id,
                "user": {"id": connection.user_id, "username": connection.username, "hue": connection.hue},
                "permission": connection.permission,
                "measure": measure,
                "epoch": str(self.epoch),
                "head": self.head,
                "is_degraded": self._host.is_degraded,
                "limits": {
                    "frame_bytes": settings.SOCKET_MAX_BYTES,
                    "text_bytes": settings.TEXT_MAX_BYTES,
                    "updates_per_second": settings.SOCKET_UPDATES_PER_SECOND,
                    "chat_characters": CHAT_MAX_CHARACTERS,
                },
            }
        )
        people = self.people()
        connection.tell({"type": "presence", "people": people})
        self._put_cursors(connection, self._awareness.shown_to(connection))
        self._show_people()

    def leave(self, connection: Connection, *, comes_back: bool = True) -> None:
        if connection.id not in self.connections:
            return
        self._forget(connection)
        self.idle_since = time.monotonic()
        if self._plain is not None:
            self._plain.leave(connection)
        if comes_back:
            broke_at = time.monotonic()
            self._awareness.linger(connection, broke_at)
            self._loop.call_later(settings.SOCKET_GRACE_SECONDS, self._let_go, broke_at)
        else:
            self._note_moved(self._awareness.leave(connection, time.monotonic()))
        self._show_people()

    def _let_go(self, broke_at: float) -> None:
        """Take away the cursors of those whose sockets broke by then and that did not come back."""
        self._note_moved(self._awareness.let_go(broke_at, time.monotonic()))

    def _forget(self, connection: Connection) -> None:
        del self.connections[connection.id]
        self._unsettled.discard(connection)
        self._holding.discard(connection)
        metrics.CONNECTIONS.dec()
        metrics.BY_PERMISSION.labels(connection.permission).dec()
        self._host.left(connection)

    def expel(self, connection: Connection, code: int, reason: str) -> None:
        """Close a socket from here: it hears nothing more, and nothing more of it is taken."""
        self.leave(connection, comes_back=False)
        connection.close(code, reason)

    def expel_all(self, code: int, reason: str) -> None:
        for connection in list(self.connections.values()):
            self.expel(connection, code, reason)

    def set_permission(self, connection: Connection, permission: str) -> None:
        if permission == connection.permission:
            return
        metrics.BY_PERMISSION.labels(connection.permission).dec()
        metrics.BY_PERMISSION.labels(permission).inc()
        connection.permission = permission
        connection.tell({"type": "access", "permission": permission})
        self._note_moved(self._awareness.refresh(connection, time.monotonic()))
        self._show_people()
        # What was held of somebody who may not edit any more is refused.
        self.take_held_soon()

    def rename(self, connection: Connection, username: str) -> None:
        if username == connection.username:
            return
        connection.username = username
        self._note_moved(self._awareness.refresh(connection, time.monotonic()))
        self._show_people()

    async def receive(self, connection: Connection, frame: bytes) -> None:
        """Take one binary frame of a socket; the next one comes when this is done. Raises ProtocolError."""
        # Stock clients repeat every frame about cursors, mostly to the byte: reading it again would tell nothing.
        if connection.client_ids and frame in self._told_cursors:
            return
        for message in protocol.decode(frame, state_bytes=settings.SOCKET_AWARENESS_MAX_BYTES):
            if connection.closing is not None:
                return
            if isinstance(message, protocol.SyncUpdate | protocol.SyncStep2) and (
                sliced := await self._sliced(connection, message.update)
            ):
                await self._take_slices(connection, sliced)
            elif isinstance(message, protocol.SyncUpdate):
                self._take_update(connection, message.update)
            elif isinstance(message, protocol.Awareness):
                self._take_states(connection, message.entries)
            elif isinstance(message, protocol.SyncStep1):
                self._answer_step1(connection, message.state)
            elif isinstance(message, protocol.SyncStep2):
                self._take_answer(connection, message.update)
            else:
                shown = self._awareness.shown_to(connection)
                for answer in self._awareness.encode(shown) or [protocol.KEEP_ALIVE]:
                    connection.pace.spend("updates", len(answer))
                    connection.put_answer(answer)

    def _take_states(self, connection: Connection, entries: Iterable[protocol.AwarenessEntry]) -> None:
        """At most so many times a second; of what comes in between the newest counts."""
        waiting = connection.waiting_states
        was_waiting, was_introduced = bool(waiting), bool(connection.client_ids)
        waiting.update({entry.client_id: entry for entry in entries if self._awareness.bind(connection, entry)})
        if connection.client_ids and not was_introduced:
            self._put_cursors(connection, self._awareness.of_person(connection.user_id) - connection.client_ids)
        if waiting and not was_waiting:
            wait = connection.states_at - self._loop.time() if settings.RATE_LIMITS else 0
            if wait > 0:
                self._loop.call_later(wait, self._show_states, connection)
            else:
                self._show_states(connection)

    def _show_states(self, connection: Connection) -> None:
        entries = list(connection.waiting_states.values())
        connection.waiting_states.clear()
        connection.states_at = self._loop.time() + 1 / settings.SOCKET_AWARENESS_IN_PER_SECOND
        if connection.id in self.connections:
            self._note_moved(self._awareness.take(connection, entries, time.monotonic()))

    def _put_cursors(self, connection: Connection, client_ids: set[int]) -> None:
        for frame in self._awareness.encode(client_ids):
            connection.put_awareness(Shared(frame))

    async def catch_up(self, connection: Connection, state: bytes | None) -> list[bytes]:
        """The table of cursors, after the text since `state` when one is given."""
        await self.ready.wait()
        frames = [] if state is None else [protocol.encode_update(self._replica.diff(state))]
        return frames + self._awareness.encode(self._awareness.shown_to(connection))

    def renew_cursors(self, now: float, interval: float) -> None:
        """Tell clients that drop a cursor which was not renewed for 30 s of those that did not move, all at once."""
        renewed = self._awareness.renew(now - interval, now - interval / 4, now)
        self._tell_cursors(renewed, [member for member in self.connections.values() if not member.keeps_cursors])

    def keep_alive(self, older_than: float) -> None:
        frame = Shared(protocol.KEEP_ALIVE)
        for connection in self.connections.values():
            if connection.last_sent <= older_than:
                connection.put_awareness(frame)

    def _answer_step1(self, connection: Connection, state: bytes) -> None:
        try:
            update = self._everything() if state == crdt.EMPTY_STATE else self._replica.diff(state)
        except crdt.Malformed as error:
            raise protocol.ProtocolError("the state vector cannot be read") from error
        connection.pace.spend("updates", len(update))
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

    def _take_update(self, connection: Connection, update: bytes) -> Frame:
        frame = connection.arrived()
        self._merge(connection, frame, update)
        if connection.holds_too_much:
            self.expel(connection, close_codes.TRY_AGAIN, "updates are missing")
        return frame

    def _take_answer(self, connection: Connection, update: bytes) -> None:
        """Everything that the socket has. What it builds on itself is among it, or this server will not get it."""
        frame = self._take_update(connection, update)
        connection.early_answers = connection.early_answers + 1 if frame.waits_for is not None else 0
        if connection.early_answers >= connections.EARLY_ANSWERS_MAX:
            self._refuse(connection, frame, "invalid", "The text builds on changes that are not here.")
            self.expel(connection, close_codes.BAD_FRAME, "updates are missing")
        elif connection.first_held is None:
            connection.asked_at = None

    async def _sliced(self, connection: Connection, update: bytes) -> crdt.Sliced | None:
        """A long update is read in a thread, and comes in slices if it is more than one may be."""
        if len(update) <= crdt.SLICED_BYTES:
            return None
        try:
            sliced = await self._host.slice(update)
        except crdt.Malformed:
            # What is wrong with it is told where any other update is read.
            return None
        await self.ready.wait()
        return sliced if len(sliced.slices) > 1 and connection.id in self.connections else None

    async def _take_slices(self, connection: Connection, sliced: crdt.Sliced) -> None:
        """Merge a large update slice by slice; the loop has as much time for others in between."""
        frame = connection.arrived()
        connection.asked_at = None
        if can_edit(connection.permission):
            try:
                if not self._replica.has_room(sliced):
                    document = self._everything()
                    connection.pace.spend("updates", len(document))
                    sliced = await self._host.try_out(document, sliced, _limits())
                    await self.ready.wait()
                    if connection.id not in self.connections:
                        return
            except (crdt.Malformed, crdt.TooLarge) as error:
                self._turn_away(connection, frame, error)
                return
            except crdt.Early:
                metrics.RESYNCS.labels("missing").inc()
                self.expel(connection, close_codes.TRY_AGAIN, "updates are missing")
                return
        for number, part in enumerate(sliced.slices, 1):
            started = self._loop.time()
            self._merge(connection, frame, part, is_last=number == len(sliced.slices))
            await asyncio.sleep(self._loop.time() - started)
            await self.ready.wait()
            await self.has_space.wait()
            if connection.id not in self.connections or frame.is_refused:
                return
            if frame.waits_for is not None:
                # Held without those behind it, it would be acknowledged for all of them.
                self.expel(connection, close_codes.TRY_AGAIN, "updates are missing")
                return

    def _merge(self, connection: Connection, frame: Frame, update: bytes, *, is_last: bool = True) -> None:
        """Take what the frame brought, hold it until what it builds on has arrived, or refuse it."""
        connection.pace.spend("updates", len(update))
        if self._plain is not None:
            # What changed is looked for along the whole text.
            connection.pace.spend_parts(self._replica.blocks_bound() // crdt.STEPS_PER_PART)
        # What waited may get in with it, which its sender has not seen either.
        source = None if self._replica.waits else connection
        may_edit = can_edit(connection.permission)
        try:
            if may_edit:
                change = self._apply(update, connection)
            else:
                change = None
                if self._replica.has_news(update, connection.pace.spend_parts):
                    self._refuse(connection, frame, "read_only", "You can read this session, but not change its text.")
        except (crdt.Malformed, crdt.TooLarge) as error:
            self._turn_away(connection, frame, error)
        except crdt.Broken as error:
            self._refuse(connection, frame, "invalid", "The update cannot be merged.")
            self.expel(connection, close_codes.BAD_FRAME, "update cannot be merged")
            self._host.broke(self, connection.user_id, update, error)
            self._host.rebuild_soon(self)
        except crdt.Early as early:
            is_new = frame.waits_for is None
            connection.hold(frame, update, early.needs)
            self._unsettled.add(connection)
            self._holding.add(connection)
            if is_new:
                metrics.RESYNCS.labels("missing").inc()
                self._ask(connection)
        else:
            if may_edit:
                metrics.UPDATES.inc()
                self._accept(change, connection, source)
            if not is_last:
                return
            connection.expect(frame, self._taken)
            if connection.first_held is None:
                self._holding.discard(connection)
            self.settle(connection)

    def _apply(self, update: bytes, connection: Connection) -> bytes | None:
        """Merge an update; what stands in its way is changed first. Raises as Replica.apply does."""
        try:
            return self._replica.apply(update, connection.pace.spend_parts)
        except crdt.HalfCharacter as error:
            if not error.parted:
                raise
            # Told and stored by itself: see Replica.take_out.
            self._flush()
            self._queue(self._replica.take_out(error.parted), None, None)
            self._flush()
            return self._apply(update, connection)
        except crdt.TooLong:
            self._queue(self._replica.part_blocks(), None, None)
            return self._replica.apply(update, may_copy=True)

    def _turn_away(self, connection: Connection, frame: Frame, error: Exception) -> None:
        if isinstance(error, crdt.TooLarge):
            self._refuse(connection, frame, "too_large", self.limit_words(error))
            self.expel(connection, close_codes.TOO_LARGE, "too large")
        elif isinstance(error, crdt.NoFile):
            self._refuse(connection, frame, "invalid", "The text belongs to no file, so nobody could read it.")
            self.expel(connection, close_codes.BAD_FRAME, "text of no file")
        elif isinstance(error, crdt.NotPlain):
            self._refuse(connection, frame, "invalid", "The update holds something other than text.")
            self.expel(connection, close_codes.BAD_FRAME, "not text")
        elif isinstance(error, crdt.HalfCharacter):
            self._refuse(connection, frame, "invalid", "The update cuts a character in two.")
            self.expel(connection, close_codes.BAD_FRAME, "half a character")
        else:
            self._refuse(connection, frame, "invalid", "The update cannot be read.")
            self.expel(connection, close_codes.BAD_FRAME, "corrupt update")

    def take_held_soon(self) -> None:
        """Look in another turn of the loop whether the turn of a held frame has come: whoever let it in is done then,
        and has nothing to do with what comes of it."""
        if self._held_handle is None and self._holding:
            self._held_handle = self._loop.call_soon(self._take_held)

    def _take_held(self) -> None:
        """Merge one held frame whose turn has come; the next one in the next turn."""
        self._held_handle = None
        if not self.ready.is_set():
            return
        due = [(connection, frame) for connection in self._holding if (frame := self._due_frame(connection))]
        if not due:
            return
        connection, frame = min(due, key=lambda pair: pair[0].pace.pause()[0])
        wait, _ = connection.pace.pause()
        if wait > 0:
            if self._held_timer is not None:
                self._held_timer.cancel()
            self._held_timer = self._loop.call_later(wait, self.take_held_soon)
            return
        try:
            self._merge(connection, frame, frame.update)
        except Exception:
            logger.exception("a held frame of user %s failed in %s", connection.user_id, self.session_id)
            self.expel(connection, close_codes.FAILED, "internal error")
        self.take_held_soon()

    def _due_frame(self, connection: Connection) -> Frame | None:
        frame = connection.first_held
        if frame is None or frame.waits_for is None:
            return None
        is_due = not can_edit(connection.permission) or self._replica.meets(frame.waits_for)
        return frame if is_due else None

    def settle(self, connection: Connection, seq: int | None = None) -> None:
        """Acknowledge what is committed, up to `seq` or the head; the rest follows its commit."""
        connection.settle(self._committed, self.head if seq is None else seq)
        if connection.is_settled:
            self._unsettled.discard(connection)
        else:
            self._unsettled.add(connection)

    def _accept(self, change: bytes | None, connection: Connection, source: Connection | None) -> None:
        """Queue the change for the log, and tell it to everybody but its source."""
        self._queue(change, connection.author, source)

    def _queue(self, change: bytes | None, author: UUID | None, source: Connection | None) -> None:
        if change is not None:
            self.queue.append(Change(change, author))
            self._taken += 1
            self._unsaved_bytes += len(change)
            if self._unsaved_bytes > settings.ROOM_UNSAVED_MAX_BYTES:
                self.has_space.clear()
            self._relay(change, source, str(author) if author is not None else None)
            self._host.commit_soon(self)

    def _refuse(self, connection: Connection, frame: Frame, code: Any, detail: str) -> None:
        frame.is_refused = True
        metrics.REFUSED.labels(code).inc()
        connection.tell({"type": "refused", "received": frame.number, "code": code, "detail": detail})
        connection.put_denied(detail)

    @staticmethod
    def limit_words(error: crdt.TooLarge) -> str:
        """Which limit a change would pass, and how much it is."""
        if error.args == ("document",):
            most = f"{settings.DOCUMENT_MAX_BYTES // 1024:,} KB"
            return f"The files of a session, with what was deleted from them lately, may take {most} together."
        return f"A file may hold {settings.TEXT_MAX_BYTES // 1024:,} KB of text, and this one would hold more."

    # Clients without a replica of their own (plain_clients.py)

    @property
    def plain(self) -> PlainClients:
        if self._plain is None:
            self._plain = PlainClients(self)
        return self._plain

    @property
    def taken(self) -> int:
        return self._taken

    def watch_text(self) -> str:
        """The entry file's text; from now on `plain` is told how it changes."""
        self._replica.watch()
        self._replica.take_deltas()
        return self._replica.text()

    def edit_text(self, connection: Connection, edits: Sequence[crdt.Edit]) -> None:
        """Change the entry file's text for this client. Raises TooLarge before anything changed, or Broken."""
        metrics.UPDATES.inc()
        self._accept(self._replica.edit(edits, connection.pace.spend_parts), connection, connection)

    def rebuild(self) -> None:
        self._host.rebuild_soon(self)

    def point(self, connection: Connection, client_id: int, places: Sequence[int] | None, text: str) -> None:
        """Show where a client points in the entry file's text, which is `text`: anchor and head in code points."""
        cursor = None
        if places is not None:
            anchor, head = (self._replica.position_at(place, text) for place in places)
            cursor = {"anchor": anchor, "head": head}
        self._take_states(connection, [protocol.AwarenessEntry(client_id, 0, {"cursor": cursor})])

    def cursors(self) -> dict[int, dict[str, Any] | None]:
        return self._awareness.states(self._awareness.present())

    def index_of(self, position: dict[str, Any], text: str) -> int | None:
        return self._replica.index_of(position, text)

    def person(self, user_id: str | None) -> protocol.Person | None:
        """Somebody who is here."""
        for person in self.people():
            if person["id"] == user_id:
                return {"id": person["id"], "username": person["username"]}
        return None

    # The log

    def committed(self, count: int, appended: documents.Appended, rows: Sequence[documents.Entry]) -> None:
        """The oldest `count` changes are on disk, as these rows with these numbers."""
        self.in_flight.clear()
        self._committed += count
        self._unsaved_bytes = sum(len(change.payload) for change in self.queue)
        if self._unsaved_bytes <= settings.ROOM_UNSAVED_MAX_BYTES:
            self.has_space.set()
        self.tail_rows += appended.last_seq - appended.first_seq + 1
        if appended.first_seq == self.head + 1:
            self.head = appended.last_seq
        elif appended.last_seq > self.head:
            self._host.repair_soon(self, "gap")
        for connection in tuple(self._unsettled):
            self.settle(connection, appended.last_seq)
        if self.is_heard:
            self.ring(documents.bell(self.epoch, appended.first_seq, appended.last_seq, rows, self._host.process))

    def worked_in(self) -> bool:
        """Whether anything was committed since the last time this was asked."""
        was, self._touched = self._touched, self._committed
        return self._committed > was

    def not_committed(self) -> None:
        self.queue[:0] = self.in_flight
        self.in_flight.clear()

    def absorb(self, updates: Sequence[bytes], last_seq: int, users: Sequence[str | None] = ()) -> None:
        """Merge what the log holds up to `last_seq`; `users` made the updates, when that is known."""
        for update, user_id in zip(updates, users or [None] * len(updates), strict=True):
            try:
                change = self._replica.absorb(update)
            except (crdt.Malformed, crdt.Broken):
                logger.exception("the log of %s holds an update that cannot be merged", self.session_id)
                self._host.rebuild_soon(self)
                return
            if change is None:
                continue
            if user_id is None:
                self._relay_apart(change)
            else:
                self._relay(change, None, user_id)
        self.head = max(self.head, last_seq)

    def replace(self, loaded: documents.Loaded, opened: crdt.Opened) -> None:
        """Start over from the log, which is read up to the head, keeping what is not committed yet. Raises Malformed or
        Broken."""
        replica = crdt.Replica(opened, _limits())
        for change in [*self.in_flight, *self.queue]:
            replica.absorb(change.payload)
        self._replica.close()
        self._replica, self._full = replica, None
        self._outgoing_base = replica.state()
        if self._plain is not None:
            self._plain.follow()
        self.head = loaded.head
        frame = Shared(protocol.encode_update(replica.diff()))
        for connection in self.connections.values():
            connection.put_update(frame, crdt.EMPTY_STATE)

    def tell_degraded(self, is_degraded: bool) -> None:
        frame = Shared(protocol.encode_text({"type": "degraded", "is_degraded": is_degraded}))
        for connection in self.connections.values():
            connection.put_text(frame)

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
        if self._plain is not None:
            self._plain.hear(event)
        text = Shared(protocol.encode_text(event))
        for connection in self.connections.values():
            connection.put_text(text, may_be_lost=event["type"] == "run.output")

    def _hear_bell(self, message: dict[str, Any]) -> None:
        if message.get("epoch") != self.epoch.hex:
            return
        now = time.monotonic()
        process = str(message["process"])
        # Whoever is new here may have missed what was committed before it was known.
        is_new = bool(process) and process not in self._heard
        if process:
            self._heard[process] = now
        if message.get("head", 0) > self.head:
            self._host.repair_soon(self, "gap")
        if "last" in message and message["last"] > self.head:
            if message["first"] == self.head + 1 and message["updates"] is not None and self.ready.is_set():
                self.absorb(message["updates"], message["last"], message.get("users", ()))
            else:
                self._host.repair_soon(self, "gap")
        if "awareness" in message:
            for frame in message["awareness"]:
                self._note_moved(self._awareness.take_remote(process, frame, now))
        if "people" in message:
            if message["people"]:
                self._remote[process] = _RemotePeople(message["people"], now)
            else:
                self._remote.pop(process, None)
            self._show_people(is_local=self._settle_hues(message.get("hues", {})))
        if message.get("asks") or is_new:
            self.announce_here()

    @property
    def is_heard(self) -> bool:
        """Whether another process is known to have this room open."""
        return bool(self._heard) and not self._host.is_alone

    def ring(self, message: dict[str, Any], *, to_strangers: bool = False) -> None:
        """Tell the other processes; nobody while none is known to have this room open.

        One that opens it reads the log and announces itself, and both then say how far they know the log to go.
        """
        if not (self.is_heard or (to_strangers and not self._host.is_alone)):
            return
        events.ring_document(self.session_id, {"process": self._host.process, "epoch": self.epoch.hex, **message})

    def announce_here(self, *, asks: bool = False) -> None:
        """Tell the other processes who is here; with `asks`, have them tell the same."""
        self._announced_at = time.monotonic()
        message: dict[str, Any] = {**self._told_people(), "asks": asks, "head": self.head}
        if frames := self._awareness.vouch(self._announced_at):
            message["awareness"] = frames
        self.ring(message, to_strangers=True)

    def renew(self, now: float) -> None:
        """Tell other processes again who is here, forget people and cursors of those that fell silent, and ask again
        for what held frames lack: a socket may have answered before it had it."""
        for connection in self._holding:
            self._ask(connection)
        if now - self._announced_at > ANNOUNCE_SECONDS:
            self.announce_here()
        self._heard = {name: at for name, at in self._heard.items() if now - at <= REMOTE_PEOPLE_SECONDS}
        self._note_moved(self._awareness.expire(now))
        if self._plain is not None and self._plain.is_over(now):
            self._plain = None
            self._replica.watch(is_watched=False)
        silent = [name for name, remote in self._remote.items() if now - remote.heard_at > REMOTE_PEOPLE_SECONDS]
        for name in silent:
            del self._remote[name]
        if silent:
            self._show_people(is_local=False)

    # Telling the sockets

    def _relay(self, change: bytes, source: Connection | None, user_id: str | None) -> None:
        self._full = None
        if self._plain is not None:
            self._plain.note(self._replica.take_deltas(), self._replica.text_bytes(), user_id)
        self._outgoing.append(change)
        self._outgoing_from.add(source)
        self._flush_soon()
        self.take_held_soon()

    def _relay_apart(self, change: bytes) -> None:
        """Tell of a change that is nobody's, such as a character that was taken out, in a frame of its own: see
        Replica.take_out."""
        self._flush()
        self._relay(change, None, None)
        self._flush()

    def _note_moved(self, client_ids: set[int]) -> None:
        if client_ids:
            self._moved |= client_ids
            if self._moved_handle is None:
                wait = self._moved_told_at + 1 / settings.SOCKET_AWARENESS_OUT_PER_SECOND - self._loop.time()
                self._moved_handle = self._loop.call_later(max(wait, 0), self.tell_moved)

    def tell_moved(self) -> None:
        """Tell every socket, and the other processes, of the cursors that moved; after the text they point into."""
        if self._moved_handle is not None:
            self._moved_handle.cancel()
            self._moved_handle = None
        self._moved_told_at = self._loop.time()
        if self._outgoing:
            self._flush()
        moved, self._moved = self._moved, set()
        if self._plain is not None:
            self._plain.moved(self._awareness.states(moved))
        self._tell_cursors(moved, self.connections.values())
        if local := self._awareness.local(moved):
            self.ring({"awareness": self._awareness.encode(local)})

    def _tell_cursors(self, client_ids: set[int], members: Iterable[Connection]) -> None:
        """Tell these sockets of these clients, nobody of their own."""
        frames = [Shared(frame) for frame in self._awareness.encode(client_ids)]
        self._told_cursors.extend(frame.payload for frame in frames)
        for connection in members:
            if client_ids.isdisjoint(connection.client_ids):
                for frame in frames:
                    connection.put_awareness(frame)
            else:
                self._put_cursors(connection, client_ids - connection.client_ids)

    def _flush_soon(self) -> None:
        if self._flush_handle is None:
            wait = self._flushed_at + MERGE_SECONDS - self._loop.time()
            self._flush_handle = self._loop.call_later(max(wait, 0), self._flush)

    def _flush(self) -> None:
        """Encode once what changed since the last flush and put it to every socket."""
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        self._flushed_at = self._loop.time()
        if self._outgoing:
            frame = Shared(protocol.encode_update(crdt.merge(self._outgoing)))
            only = self._outgoing_from.copy().pop() if len(self._outgoing_from) == 1 else None
            self._outgoing.clear()
            self._outgoing_from.clear()
            for connection in self.connections.values():
                if connection is not only:
                    connection.put_update(frame, self._outgoing_base)
            # Of a replica that broke nothing more is asked.
            if self._flushed_at - self._outgoing_base_at > BASE_SECONDS and self.ready.is_set():
                self._outgoing_base, self._outgoing_base_at = self._replica.state(), self._flushed_at

    # Who is here

    def _local_people(self) -> list[protocol.Present]:
        people: dict[str, protocol.Present] = {}
        for connection in self.connections.values():
            person = people[connection.user_id] = protocol.Present(
                id=connection.user_id,
                username=connection.username,
                hue=connection.hue,
                permission=connection.permission,
            )
            if connection.is_bot:
                person["is_bot"] = True
            if connection.is_guest:
                person["is_guest"] = True
        return list(people.values())

    def _told_people(self) -> dict[str, Any]:
        """What other processes are told of who is here."""
        people = self._local_people()
        return {"people": people, "hues": self._hues.claims(person["id"] for person in people)}

    def _settle_hues(self, told: dict[str, Sequence[int]]) -> bool:
        """Give way to people of another process who had a hue before. Whether anybody here has another one now."""
        mine = {connection.user_id for connection in self.connections.values()}
        self._hues.hear(told, mine)
        hues = self._hues.settle(mine, [person["id"] for person in self.people()])
        changed = [member for member in self.connections.values() if member.hue != hues[member.user_id]]
        for connection in changed:
            connection.hue = hues[connection.user_id]
            self._note_moved(self._awareness.refresh(connection, time.monotonic()))
        return bool(changed)

    def people(self) -> list[protocol.Present]:
        people = {person["id"]: person for remote in self._remote.values() for person in remote.people}
        people |= {person["id"]: person for person in self._local_people()}
        return sorted(people.values(), key=lambda person: (person["username"].lower(), person["id"]))

    def _show_people(self, *, is_local: bool = True) -> None:
        people = self.people()
        if people == self._shown_people:
            return
        self._shown_people = people
        text = Shared(protocol.encode_text({"type": "presence", "people": people}))
        for connection in self.connections.values():
            connection.put_text(text)
        if is_local:
            self.ring(self._told_people())
