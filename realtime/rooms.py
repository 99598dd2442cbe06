"""The live rooms of one event loop: opening, group commit, doorbell, access checks, the slow tick, drain.

Every database call of the live part is made here, in threads of our own: Channels' shared thread would make all
typing wait for the slowest page. Commits to PostgreSQL need one only when log_writer.py fails. The channel layer may
lose what it likes: the tick finds it in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import psycopg
from channels.layers import InMemoryChannelLayer, get_channel_layer
from django.conf import settings
from django.db import IntegrityError, InterfaceError, OperationalError, connection

from accounts.models import User, able
from realtime import connections, limits, metrics
from realtime.guard import Guard
from realtime.layer_watch import LayerWatch
from realtime.limits import Pace
from realtime.log_writer import LogWriter
from realtime.room import Room
from realtime.wire import close_codes, protocol
from sessions_app import actions, crdt, documents, events, tasks
from sessions_app.access import can_edit, standing_in
from sessions_app.errors import SessionNotFound
from sessions_app.models import CodeSession
from sessions_app.moderation import standing_measure

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from realtime.connections import Connection
    from realtime.room import Change

logger = logging.getLogger(__name__)
T = TypeVar("T")

GATHER_SECONDS = 0.001
COMMIT_SECONDS = 0.04
# While another process has the room open, which hears of a change after its commit.
HEARD_COMMIT_SECONDS = 0.02
LAST_COMMIT_SECONDS = 5
# Whatever kept it from writing, a connection that was not to be had above all, keeps nobody waiting again at once.
LOG_WRITER_REST_SECONDS = 30
# How many sessions the log names that could not be saved at the end.
NAMED_UNSAVED = 20
# An update that breaks a replica has the document loaded again for everybody in the room. Of one person's, the first is
# written down, and after so many the person stays outside until these seconds have passed.
BROKE_SECONDS = 60
BROKE_MAX = 3
# A room that leaves memory has its log compacted when it is so long, as a share of COMPACT_TAIL_ROWS.
COMPACT_AT_UNLOAD = 0.1
# What rooms that nobody is in may take together.
IDLE_MAX_BYTES = 64 * 1024 * 1024
RETRY_SECONDS = (0.1, 5.0)
SUBSCRIBE_SECONDS = 2
# While no bell rings, the log is asked this often.
DEGRADED_TICK_SECONDS = 1

_open: dict[asyncio.AbstractEventLoop, Rooms] = {}


class Unavailable(Exception):
    """The room cannot be opened now: the database or the log failed, or the process is going down."""


class Full(Exception):
    """The room takes no more sockets, or no more that may edit."""


def rooms() -> Rooms:
    """The rooms of the running loop."""
    loop = asyncio.get_running_loop()
    found = _open.get(loop)
    if found is None:
        for stale in [known for known in _open if known.is_closed()]:
            del _open[stale]
        found = _open[loop] = Rooms()
    return found


def is_degraded() -> bool:
    """Whether any loop of this process goes without its channel layer; for any thread."""
    return any(found.is_degraded for found in list(_open.values()))


def take_no_more() -> None:
    """From now on no socket is opened; those that are there go on."""
    rooms().is_draining = True


async def drain(spread_seconds: float = 2.0) -> None:
    """Before the process ends: take no new socket, commit, acknowledge, and send everybody to reconnect."""
    found = _open.get(asyncio.get_running_loop())
    if found is not None:
        await found.drain(spread_seconds)


class Rooms:
    def __init__(self) -> None:
        self.process = uuid.uuid4().hex
        self.is_draining = False
        self._rooms: dict[UUID, Room] = {}
        # Of each person with sockets here, every one and its room.
        self._sockets: dict[str, dict[Connection, Room]] = {}
        self._opening: dict[UUID, asyncio.Task[Room]] = {}
        self._listeners: dict[UUID, asyncio.Task[None]] = {}
        self._hears: dict[UUID, list[Callable[[dict[str, Any]], None]]] = {}
        self._dirty: set[Room] = set()
        # Rooms whose rows could not be written: how long each waits next time, and what ends its wait now.
        self._resting: dict[Room, float] = {}
        self._waiting: dict[Room, asyncio.TimerHandle] = {}
        self._work = asyncio.Event()
        # Sets _work when it is time for the next commit; None while nothing waits for that.
        self._work_timer: asyncio.TimerHandle | None = None
        # In the loop's time.
        self._next_commit_at = 0.0
        self._saved = asyncio.Event()
        self._saved.set()
        self._running: set[asyncio.Task[Any]] = set()
        self._repairing: set[UUID] = set()
        self._paces: dict[str, Pace] = {}
        # When updates of each user broke a replica, lately.
        self._broke: dict[str, list[float]] = {}
        # One thread writes, so that commits never queue behind loads; its connection stays open.
        self._writer = ThreadPoolExecutor(1, "room-commit")
        self._log_writer = LogWriter() if connection.vendor == "postgresql" else None
        self._log_writer_rests_until = 0.0
        self._readers = ThreadPoolExecutor(4, "room-read")
        self._loop = asyncio.get_running_loop()
        self._layer_watch = LayerWatch(self.process, self._layer_changed, self._listen_again)
        self.guard = Guard(self._read, self._rooms.values)
        self._people_listener = self._listen_for_people()
        self._main = self._loop.create_task(self._run(), name="rooms")

    @property
    def is_alone(self) -> bool:
        """Whether nobody else can hear our bells: the layer stays in this process, and so does every room."""
        return len(_open) == 1 and isinstance(get_channel_layer(), InMemoryChannelLayer)

    @property
    def is_degraded(self) -> bool:
        """Whether the channel layer is silent: other processes' text then arrives with the tick, which comes sooner."""
        return self._layer_watch.is_degraded

    async def open(self, session_id: UUID) -> Room:
        """The room of a session, loaded once however many ask. Raises Unavailable, never opens it empty."""
        if self.is_draining:
            raise Unavailable
        room = self._rooms.get(session_id)
        if room is not None:
            room.idle_since = time.monotonic()
            return room
        task = self._opening.get(session_id)
        if task is None:
            task = self._opening[session_id] = self._loop.create_task(self._load(session_id))
            task.add_done_callback(lambda _: self._opening.pop(session_id, None))
        try:
            room = await asyncio.shield(task)
            # It may have been found idle and closed while this waited for its turn.
            return room if self._rooms.get(session_id) is room else await self.open(session_id)
        except asyncio.CancelledError:
            raise
        except SessionNotFound:
            raise
        except Exception as error:
            raise Unavailable from error

    async def access(self, user: User, session_id: UUID) -> tuple[str, str]:
        """What a socket of this person may do, and what it is told of a lock or of full storage.

        Raises SessionNotFound, or Unavailable when the database does not answer.
        """
        try:
            return await self._read(_access, user, session_id)
        except SessionNotFound:
            raise
        except Exception as error:
            logger.exception("the access of a socket could not be read")
            raise Unavailable from error

    async def say(self, user_id: str, session_id: UUID, text: str, ref: str | None) -> events.Chat:
        """Store a chat message, which every process is told of. Raises DomainError."""
        return await self._read(_say, user_id, session_id, text, ref)

    def is_loaded(self, session_id: UUID) -> bool:
        return session_id in self._rooms

    def make_place(self, room: Room, comes: Connection) -> None:
        """Count a socket that joins the room next. Raises Full.

        Of one person's sockets the quietest gives way: most likely its page is gone and TCP has not noticed.
        """
        mine = self._sockets.get(comes.user_id, {})
        if settings.RATE_LIMITS:
            self._forget_broken()
            if len(self._broke.get(comes.user_id, ())) >= BROKE_MAX:
                metrics.LIMITED.labels("broken").inc()
                raise Full("too many of your updates could not be merged")
            here = [socket for socket, its_room in mine.items() if its_room is room]
            if len(here) >= settings.SOCKET_MAX_PER_USER_AND_ROOM:
                self._give_way(here, "user_and_room")
            if len(mine) >= settings.SOCKET_MAX_PER_USER:
                self._give_way(list(mine), "user")
            if len(room.connections) >= settings.ROOM_MAX_SOCKETS:
                metrics.LIMITED.labels("room").inc()
                raise Full("the session is full")
            writers = sum(can_edit(member.permission) for member in room.connections.values())
            if can_edit(comes.permission) and writers >= settings.ROOM_MAX_WRITERS:
                metrics.LIMITED.labels("writers").inc()
                raise Full("too many people edit this session")
        self._sockets.setdefault(comes.user_id, {})[comes] = room

    def _give_way(self, sockets: list[Connection], limit: str) -> None:
        metrics.LIMITED.labels(limit).inc()
        quietest = min(sockets, key=lambda socket: socket.last_heard)
        self._sockets[quietest.user_id][quietest].expel(quietest, close_codes.TOO_MANY, "open too many times")

    async def slice(self, update: bytes) -> crdt.Sliced:
        """Read a long update. Raises Malformed."""
        return await self._read(crdt.sliced, update)

    async def try_out(self, document: bytes, sliced: crdt.Sliced, limits: crdt.Limits) -> crdt.Sliced:
        """Look whether a text that the update makes is short enough. Raises TooLarge or Malformed."""
        return await self._read(crdt.tried, document, sliced, limits)

    def pace_of(self, user_id: str) -> Pace:
        """What all sockets of a person spend from."""
        return self._paces.setdefault(user_id, Pace(sockets=limits.SOCKETS_AT_ONCE))

    async def about(self, session_id: UUID) -> protocol.About:
        """What the document itself does not say: title and language. Raises SessionNotFound or Unavailable."""
        try:
            return await self._read(_about, session_id)
        except SessionNotFound:
            raise
        except Exception as error:
            logger.exception("the session of a socket could not be read")
            raise Unavailable from error

    # What rooms ask for (room.Host)

    def left(self, leaves: Connection) -> None:
        self._loop.call_soon(self._unload_beyond)
        if mine := self._sockets.get(leaves.user_id):
            mine.pop(leaves, None)
            if not mine:
                del self._sockets[leaves.user_id]

    def commit_soon(self, room: Room) -> None:
        self._dirty.add(room)
        self._saved.clear()
        if self._work_timer is None:
            # The relay goes first; a thread that commits at once would hold the interpreter while the sockets wait.
            wait = max(0 if self._log_writer else GATHER_SECONDS, self._next_commit_at - self._loop.time())
            self._work_timer = self._loop.call_later(wait, self._commit_now)

    def _commit_now(self) -> None:
        self._work_timer = None
        self._work.set()

    def repair_soon(self, room: Room, cause: str) -> None:
        if room.session_id not in self._repairing:
            self._repairing.add(room.session_id)
            metrics.RESYNCS.labels(cause).inc()
            self._spawn(self._repair(room))

    def rebuild_soon(self, room: Room) -> None:
        if room.ready.is_set():
            room.ready.clear()
            metrics.RESYNCS.labels("rebuild").inc()
            self._spawn(self._rebuild(room))

    def check_soon(self, room: Room) -> None:
        self.guard.check_soon(room)

    def broke(self, room: Room, user_id: str, update: bytes, error: Exception) -> None:
        """Keep the update and say so; of one person once in a while, or they could fill the disk."""
        metrics.QUARANTINED.inc()
        self._forget_broken()
        times = self._broke.setdefault(user_id, [])
        times.append(time.monotonic())
        if len(times) >= BROKE_MAX and settings.RATE_LIMITS:
            for socket, its_room in list(self._sockets.get(user_id, {}).items()):
                its_room.expel(socket, close_codes.TOO_MANY, "too many of your updates could not be merged")
        if len(times) == 1:
            logger.warning("an update of user %s broke the replica of %s: %s", user_id, room.session_id, error)
            self._spawn(self._quarantine(room.session_id, UUID(user_id), update, str(error)))

    def _forget_broken(self) -> None:
        since = time.monotonic() - BROKE_SECONDS
        lately = {user: [moment for moment in times if moment > since] for user, times in self._broke.items()}
        self._broke = {user: times for user, times in lately.items() if times}

    async def _quarantine(self, session_id: UUID, user_id: UUID, update: bytes, error: str) -> None:
        try:
            await self._read(documents.quarantine, session_id, user_id, update, error)
        except Exception:
            logger.exception("an update that broke the replica of %s could not be kept", session_id)

    # Opening and closing

    async def _load(self, session_id: UUID) -> Room:
        # Listening first: a bell that rings during the load is kept for the room.
        early: list[dict[str, Any]] = []
        subscribed = asyncio.Event()
        hear: list[Callable[[dict[str, Any]], None]] = [early.append]
        listener = self._loop.create_task(self._listen(events.group_name(session_id), subscribed, hear))
        try:
            if not self.is_degraded:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(subscribed.wait(), SUBSCRIBE_SECONDS)
            loaded, opened = await self._read(_load_and_open, session_id)
            room = Room(self, session_id, loaded, opened)
        except BaseException as error:
            listener.cancel()
            if not isinstance(error, SessionNotFound | asyncio.CancelledError):
                logger.exception("the document of %s could not be opened", session_id)
            raise
        hear[0] = room.hear
        self._rooms[session_id] = room
        self._hears[session_id] = hear
        self._listeners[session_id] = listener
        metrics.ROOMS.inc()
        for message in early:
            room.hear(message)
        room.announce_here(asks=True)
        return room

    def _listen_for_people(self) -> asyncio.Task[None]:
        listening = self._listen(events.PEOPLE_GROUP, asyncio.Event(), [self._hear_of_person])
        return self._loop.create_task(listening)

    def _hear_of_person(self, message: dict[str, Any]) -> None:
        self.guard.check_soon(*self._sockets.get(str(message.get("user_id")), {}).values())

    async def _listen(
        self, group: str, subscribed: asyncio.Event, hear: list[Callable[[dict[str, Any]], None]]
    ) -> None:
        """One subscription per room, one for people. A layer that fails is asked again; until then the ticks see."""
        layer = get_channel_layer()
        assert layer is not None
        while True:
            channel = ""
            try:
                channel = await layer.new_channel()
                await layer.group_add(group, channel)
                subscribed.set()
                while True:
                    message = await layer.receive(channel)
                    try:
                        hear[0](message)
                    except Exception:
                        logger.exception("a message to %s was not understood", group)
            except asyncio.CancelledError:
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(layer.group_discard(group, channel), SUBSCRIBE_SECONDS)
                raise
            except Exception as error:
                logger.warning("%s does not hear the channel layer: %r", group, error)
                await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311

    def _layer_changed(self, is_degraded: bool) -> None:
        for room in self._rooms.values():
            room.tell_degraded(is_degraded)
            if not is_degraded:
                # What the others said meanwhile is asked for; text that was missed comes with the tick.
                room.announce_here(asks=True)
        self._spawn(self._tick())

    def _listen_again(self) -> None:
        """New subscriptions for all rooms, after the layer was flushed."""
        for session_id, hear in self._hears.items():
            self._listeners[session_id].cancel()
            listening = self._listen(events.group_name(session_id), asyncio.Event(), hear)
            self._listeners[session_id] = self._loop.create_task(listening)
        self._people_listener.cancel()
        self._people_listener = self._listen_for_people()

    def _take_undelivered(self, group: str, message: dict[str, Any]) -> None:
        """What the layer did not take still concerns the rooms of this process (in the speaker's thread)."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._hear_undelivered, group, message)

    def _hear_undelivered(self, group: str, message: dict[str, Any]) -> None:
        if group == events.PEOPLE_GROUP:
            self._hear_of_person(message)
            return
        for session_id, room in self._rooms.items():
            if events.group_name(session_id) == group:
                room.hear(message)
                return

    def _forget(self, room: Room) -> None:
        if self._rooms.pop(room.session_id, None) is not None:
            metrics.ROOMS.dec()
        self._hears.pop(room.session_id, None)
        if listener := self._listeners.pop(room.session_id, None):
            listener.cancel()
        self._dirty.discard(room)
        self._resting.pop(room, None)
        if (waiting := self._waiting.pop(room, None)) is not None:
            waiting.cancel()
        room.close()

    def _unload(self, room: Room) -> None:
        self._forget(room)
        if room.tail_rows > settings.COMPACT_TAIL_ROWS * COMPACT_AT_UNLOAD:
            self._spawn(self._compact(room.session_id))

    def _unload_beyond(self) -> None:
        """Nobody's rooms stay for whoever comes back, but only so much of them: the longest empty go first."""
        empty = [room for room in self._rooms.values() if not room.connections and room.is_saved]
        empty.sort(key=lambda room: room.idle_since)
        size = sum(room.document_bytes for room in empty)
        for room in empty:
            if size <= IDLE_MAX_BYTES:
                return
            size -= room.document_bytes
            self._unload(room)

    async def _compact(self, session_id: UUID) -> None:
        try:
            await self._read(tasks.compact_later, session_id)
        except Exception:
            logger.warning("no worker could be asked to compact the log of %s; housekeeping will", session_id)

    async def drain(self, spread_seconds: float) -> None:
        self.is_draining = True
        for room, waiting in list(self._waiting.items()):
            waiting.cancel()
            self._wake(room)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._saved.wait(), LAST_COMMIT_SECONDS)
        unsaved = [room for room in self._rooms.values() if not room.is_saved]
        if unsaved:
            logger.error(
                "this process ends with %d changes of %d sessions unsaved; they were never acknowledged, and the pages "
                "that made them send them again: %s",
                sum(len(room.in_flight) + len(room.queue) for room in unsaved),
                len(unsaved),
                ", ".join(str(room.session_id) for room in unsaved[:NAMED_UNSAVED]),
            )
        # The acknowledgements are in the outboxes; the writers send them before the close frame.
        await asyncio.gather(
            *(
                self._send_away(room, connection, random.uniform(0, spread_seconds))  # noqa: S311
                for room in self._rooms.values()
                for connection in list(room.connections.values())
            )
        )
        # The other processes take the cursors of this one away at once.
        for room in self._rooms.values():
            room.tell_moved()
        self._main.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._main

    async def _send_away(self, room: Room, leaving: connections.Connection, after_seconds: float) -> None:
        await asyncio.sleep(after_seconds)
        room.expel(leaving, close_codes.RESTARTING, "the server restarts")
        # One turn for the socket's writer.
        await asyncio.sleep(0.05)

    # The tasks of the loop

    async def _run(self) -> None:
        try:
            events.on_undelivered(self._take_undelivered)
            tasks = [self._commit_forever(), self._tick_forever(), self._keep_alive_forever(), self.guard.run()]
            if not isinstance(get_channel_layer(), InMemoryChannelLayer):
                tasks.append(self._layer_watch.run())
            await asyncio.gather(*tasks)
        except Exception:
            logger.exception("the live rooms of this process stopped; the next socket starts them again")
        finally:
            events.forget_undelivered(self._take_undelivered)
            # Also when the loop ends without drain (tests): replicas are freed on their own thread.
            for task in [*self._running, *self._opening.values(), self._people_listener]:
                task.cancel()
            for room in list(self._rooms.values()):
                room.expel_all(close_codes.RESTARTING, "the server restarts")
                self._forget(room)
            if not self.is_draining:
                _open.pop(self._loop, None)
            if self._log_writer is not None:
                self._log_writer.close()
            self._writer.submit(connection.close)
            self._writer.shutdown(wait=True)
            self._readers.shutdown(wait=True)

    async def _commit_forever(self) -> None:
        while True:
            await self._work.wait()
            if (wait := self._next_commit_at - self._loop.time()) > GATHER_SECONDS:
                await asyncio.sleep(wait)
            self._work.clear()
            dirty, self._dirty = [room for room in self._dirty if room.queue and room not in self._waiting], set()
            if dirty:
                is_heard = any(room.is_heard for room in dirty)
                self._next_commit_at = self._loop.time() + (HEARD_COMMIT_SECONDS if is_heard else COMMIT_SECONDS)
                for room in dirty:
                    room.in_flight, room.queue = room.queue, []
                if not await self._commit(dirty):
                    # Whether the database is away or one room's rows are at fault: the others lose no more than this.
                    self._next_commit_at = self._loop.time() + RETRY_SECONDS[0]
            if not self._dirty and not self._waiting:
                self._saved.set()

    def _rest(self, room: Room) -> None:
        """Try the room again later, each time twice as late. What it queues meanwhile waits with it."""
        delay = self._resting.get(room, RETRY_SECONDS[0])
        self._resting[room] = min(2 * delay, RETRY_SECONDS[1])
        self._waiting[room] = self._loop.call_later(delay, self._wake, room)

    def _wake(self, room: Room) -> None:
        if self._waiting.pop(room, None) is not None and self._rooms.get(room.session_id) is room:
            self.commit_soon(room)

    async def _commit(self, dirty: list[Room]) -> bool:
        """Whether anything was written."""
        entries = {room.session_id: _merge(room.in_flight) for room in dirty}
        started = time.monotonic()
        try:
            appended = await self._add_to_log(entries)
        except Exception as error:
            if len(dirty) > 1:
                return await self._commit_each(dirty, may_be_away=isinstance(error, OperationalError | InterfaceError))
            # Nothing is acknowledged, everything stays here and in the pages, and is tried again.
            logger.exception("%d rooms could not be committed", len(dirty))
            metrics.COMMIT_FAILURES.inc()
            for room in dirty:
                room.not_committed()
                self._rest(room)
            return False
        metrics.COMMIT_SECONDS.observe(time.monotonic() - started)
        for room in dirty:
            self._resting.pop(room, None)
            given = appended.get(room.session_id)
            if given is None:
                room.in_flight.clear()
                room.expel_all(close_codes.ABSENT, "the session is gone")
                continue
            rows = entries[room.session_id]
            metrics.COMMITTED.inc(len(rows))
            room.committed(len(room.in_flight), given, rows)
            if room.queue:
                self.commit_soon(room)
        return True

    async def _add_to_log(self, entries: dict[UUID, list[documents.Entry]]) -> dict[UUID, documents.Appended]:
        """What the log writer cannot do, the thread does, or says why not; what both wrote says nothing new."""
        if self._log_writer is not None and self._loop.time() >= self._log_writer_rests_until:
            try:
                return await self._log_writer.append(entries)
            except (psycopg.Error, TimeoutError) as error:
                logger.warning("commits go through a thread for %d s: %s", LOG_WRITER_REST_SECONDS, error)
                self._log_writer_rests_until = self._loop.time() + LOG_WRITER_REST_SECONDS
        return await self._write(_append, entries)

    async def _commit_each(self, dirty: list[Room], *, may_be_away: bool) -> bool:
        """One room's rows may be at fault, and the others must not wait for it. Whether anything was written."""
        is_written = False
        for index, room in enumerate(dirty):
            if may_be_away and index == 2 and not is_written:
                # Two of two failed: the database does not answer, and asking for every room takes long.
                for other in dirty[index:]:
                    other.not_committed()
                    self._rest(other)
                break
            is_written |= await self._commit([room])
        return is_written

    async def _repair(self, room: Room) -> None:
        """Read what the log has beyond the room's head."""
        try:
            is_read = False
            while not is_read:
                await room.ready.wait()
                since = room.head
                updates, last_seq = await self._read(documents.updates_after, room.session_id, since)
                # A room that was loaded again meanwhile may have gone back behind these.
                is_read = room.ready.is_set() and room.head >= since
            self._repairing.discard(room.session_id)
            for update in updates:
                # A long one leaves the loop a turn after each slice.
                for piece in await self._read(crdt.pieces, update) if len(update) > crdt.SLICED_BYTES else [update]:
                    if self._rooms.get(room.session_id) is room and room.ready.is_set():
                        room.absorb([piece], since)
                        await asyncio.sleep(0)
            if self._rooms.get(room.session_id) is room and room.ready.is_set() and room.head >= since:
                room.absorb([], last_seq)
        except Exception:
            logger.exception("the log of %s could not be read; the next tick tries again", room.session_id)
        finally:
            self._repairing.discard(room.session_id)

    async def _rebuild(self, room: Room) -> None:
        delay = RETRY_SECONDS[0]
        while self._rooms.get(room.session_id) is room:
            try:
                loaded, opened = await self._read(_load_and_open, room.session_id)
                if loaded.head < room.head:
                    # What was committed while the log was read is neither in it nor waits in the room any more.
                    continue
                room.replace(loaded, opened)
                room.ready.set()
                room.take_held_soon()
                return
            except (crdt.Malformed, crdt.Broken, documents.LogDamaged, SessionNotFound):
                logger.exception("the document of %s cannot be rebuilt", room.session_id)
                room.expel_all(close_codes.UNAVAILABLE, "the document cannot be opened")
                self._forget(room)
                return
            except Exception:
                logger.exception("the document of %s could not be read again", room.session_id)
                await asyncio.sleep(delay)
                delay = min(2 * delay, RETRY_SECONDS[1])

    async def _tick_forever(self) -> None:
        while True:
            # Jitter, so that many processes do not ask in step.
            wait = min(settings.ROOM_TICK_SECONDS, DEGRADED_TICK_SECONDS if self.is_degraded else float("inf"))
            await asyncio.sleep(wait * random.uniform(0.8, 1.2))  # noqa: S311
            try:
                await self._tick()
            except Exception:
                logger.exception("the slow tick failed; the next one tries again")

    async def _tick(self) -> None:
        now = time.monotonic()
        self._paces = {user: pace for user, pace in self._paces.items() if user in self._sockets or not pace.is_rested}
        for room in list(self._rooms.values()):
            room.renew(now)
            if not room.connections and room.is_saved and now - room.idle_since > settings.ROOM_IDLE_SECONDS:
                self._unload(room)
        if not self._rooms:
            return
        heads = await self._read(documents.heads, list(self._rooms))
        for room in list(self._rooms.values()):
            if heads.get(room.session_id, 0) > room.head and room.is_saved:
                self.repair_soon(room, "tick")
        worked_in = [room.session_id for room in self._rooms.values() if room.worked_in()]
        if worked_in:
            await self._write(documents.touch, worked_in)

    async def _keep_alive_forever(self) -> None:
        interval = settings.SOCKET_KEEP_ALIVE_SECONDS
        while True:
            await asyncio.sleep(interval / 4)
            now = time.monotonic()
            for room in self._rooms.values():
                room.renew_cursors(now, interval)
                room.keep_alive(now - interval * 3 / 4)

    # Threads

    async def _read(self, function: Callable[..., T], *args: Any) -> T:
        return await self._loop.run_in_executor(self._readers, _closing, function, args)

    async def _write(self, function: Callable[..., T], *args: Any) -> T:
        return await self._loop.run_in_executor(self._writer, _closing_on_error, function, args)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._running.discard)


def _closing(function: Callable[..., T], args: tuple[Any, ...]) -> T:
    try:
        return function(*args)
    finally:
        connection.close()


def _closing_on_error(function: Callable[..., T], args: tuple[Any, ...]) -> T:
    try:
        return function(*args)
    except BaseException:
        connection.close()
        raise


def _load_and_open(session_id: UUID) -> tuple[documents.Loaded, crdt.Opened]:
    """What takes a second of a long document: the loop has not got that."""
    loaded = documents.load(session_id)
    try:
        return loaded, crdt.opened(loaded.parts)
    except (crdt.Malformed, crdt.Broken) as error:
        loaded = documents.load_mended(session_id, error)
        return loaded, crdt.opened(loaded.parts)


def _merge(changes: list[Change]) -> list[documents.Entry]:
    """One row per run of changes by the same person: what was typed within one commit window is one step of history."""
    entries: list[documents.Entry] = []
    run: list[bytes] = []
    for index, change in enumerate(changes):
        run.append(change.payload)
        if index + 1 == len(changes) or changes[index + 1].user_id != change.user_id:
            entries.append(documents.Entry(crdt.merge(run), change.user_id, "socket" if change.user_id else "server"))
            run = []
    return entries


def _append(entries: dict[UUID, list[documents.Entry]]) -> dict[UUID, documents.Appended]:
    try:
        return documents.append(entries)
    except IntegrityError:
        # An author's account was deleted meanwhile; the text stays.
        authors = {entry.user_id for group in entries.values() for entry in group if entry.user_id}
        known = set(User.objects.filter(pk__in=authors).values_list("pk", flat=True))
        return documents.append(
            {
                session_id: [
                    documents.Entry(e.payload, e.user_id if e.user_id in known else None, e.origin) for e in group
                ]
                for session_id, group in entries.items()
            }
        )


def _about(session_id: UUID) -> protocol.About:
    found = CodeSession.objects.active().filter(pk=session_id).values("title", "language").first()
    if found is None:
        raise SessionNotFound
    return {"title": found["title"], "language": found["language"]}


def _access(user: User, session_id: UUID) -> tuple[str, str]:
    standing = standing_in(user, session_id)
    return standing.live_permission, standing_measure(standing.session)


def _say(user_id: str, session_id: UUID, text: str, ref: str | None) -> events.Chat:
    user = User.objects.filter(able(), pk=user_id).first()
    if user is None:
        raise SessionNotFound
    return actions.chat_event(actions.say(user, session_id, text, ref), user, ref)
