"""The live rooms of one event loop: opened once however many ask, repaired from the log, closed when nobody needs them.

The channel layer may lose what it likes: the slow tick finds it in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
import uuid
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from channels.layers import InMemoryChannelLayer, get_channel_layer
from django.conf import settings

from realtime import database, metrics
from realtime.committer import Committer
from realtime.connection.guard import Guard
from realtime.database import Database
from realtime.layer_watch import LayerWatch
from realtime.places import Places
from realtime.repairs import Repairs
from realtime.room.room import Room
from realtime.subscriptions import Subscriptions
from realtime.wire import close_codes
from sessions_app import events, tasks
from sessions_app.document import opening, update_log
from sessions_app.errors import SessionNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from accounts.models import User
    from realtime.connection.connection import Connection
    from sessions_app import messages
    from sessions_app.document.opening import Limits, Sliced

logger = logging.getLogger(__name__)
T = TypeVar("T")

LAST_COMMIT_SECONDS = 5
# How many sessions the log names that could not be saved at the end.
NAMED_UNSAVED = 20
# A room that leaves memory has its log compacted when it is so long, as a share of COMPACT_TAIL_ROWS.
COMPACT_AT_UNLOAD = 0.1
# What rooms that nobody is in may take together.
IDLE_MAX_BYTES = 64 * 1024 * 1024
# While no bell rings, the log is asked this often.
DEGRADED_TICK_SECONDS = 1

_registries: dict[asyncio.AbstractEventLoop, Registry] = {}


class Unavailable(Exception):
    """The room cannot be opened now: the database or the log failed, or the process is going down."""


def current() -> Registry:
    """The registry of the running loop."""
    loop = asyncio.get_running_loop()
    found = _registries.get(loop)
    if found is None:
        for stale in [known for known in _registries if known.is_closed()]:
            del _registries[stale]
        found = _registries[loop] = Registry()
    return found


def is_degraded() -> bool:
    """Whether any loop of this process goes without its channel layer; for any thread."""
    return any(found.is_degraded for found in list(_registries.values()))


def take_no_more() -> None:
    """From now on no socket is opened; those that are there go on."""
    current().is_draining = True


async def drain(spread_seconds: float = 2.0) -> None:
    """Before the process ends: take no new socket, commit, acknowledge, and send everybody to reconnect."""
    found = _registries.get(asyncio.get_running_loop())
    if found is not None:
        await found.drain(spread_seconds)


class Registry:
    def __init__(self) -> None:
        self.process = uuid.uuid4().hex
        self.is_draining = False
        self.places = Places()
        self._loop = asyncio.get_running_loop()
        self._rooms: dict[UUID, Room] = {}
        self._opening: dict[UUID, asyncio.Task[Room]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self.database = Database()
        self.repairs = Repairs(self._rooms, self.database, self.forget)
        self.committer = Committer(self.database)
        self._subscriptions = Subscriptions()
        self._layer_watch = LayerWatch(self.process, self._layer_changed, self._subscriptions.start_over)
        self.guard = Guard(self.database.read, self._rooms.values)
        self._subscriptions.listen(events.PEOPLE_GROUP, self._hear_of_person)
        self._main = self._loop.create_task(self._run(), name="rooms")

    @property
    def is_alone(self) -> bool:
        """Whether nobody else can hear our bells: the layer stays in this process, and so does every room."""
        return len(_registries) == 1 and isinstance(get_channel_layer(), InMemoryChannelLayer)

    @property
    def is_degraded(self) -> bool:
        """Whether the channel layer is silent: other processes' text then arrives with the tick, which comes sooner."""
        return self._layer_watch.is_degraded

    def get(self, session_id: UUID) -> Room | None:
        """The room of a session, if it is loaded."""
        return self._rooms.get(session_id)

    def __len__(self) -> int:
        """How many rooms are loaded."""
        return len(self._rooms)

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
        except (asyncio.CancelledError, SessionNotFound):
            raise
        except Exception as error:
            raise Unavailable from error

    async def access(self, user: User, session_id: UUID) -> tuple[str, str]:
        """What a socket of this person may do, and what it is told of a lock or of full storage.

        Raises SessionNotFound, or Unavailable when the database does not answer.
        """
        return await self._ask(database.access, user, session_id)

    async def about(self, session_id: UUID) -> messages.About:
        """What the document itself does not say: title and language. Raises SessionNotFound or Unavailable."""
        return await self._ask(database.about, session_id)

    async def _ask(self, read: Callable[..., T], *args: Any) -> T:
        try:
            return await self.database.read(read, *args)
        except SessionNotFound:
            raise
        except Exception as error:
            logger.exception("the session of a socket could not be read")
            raise Unavailable from error

    async def say(self, user_id: str, session_id: UUID, text: str, ref: str | None) -> messages.Chat:
        """Store a chat message, which every process is told of. Raises DomainError."""
        return await self.database.read(database.say, user_id, session_id, text, ref)

    # Opening and closing

    async def _load(self, session_id: UUID) -> Room:
        # Listening first: a bell that rings during the load is kept for the room.
        early: list[dict[str, Any]] = []
        group = events.group_name(session_id)
        host = _Host(self)
        try:
            await self._subscriptions.start(group, early.append, wait=not self.is_degraded)
            loaded, opened = await self.database.read(database.load_and_open, session_id)
            room = host.room = Room(host, session_id, loaded, opened)
        except BaseException as error:
            self._subscriptions.end(group)
            if not isinstance(error, SessionNotFound | asyncio.CancelledError):
                logger.exception("the document of %s could not be opened", session_id)
            raise
        self._subscriptions.hear_with(group, room.hear)
        self._rooms[session_id] = room
        metrics.ROOMS.inc()
        for message in early:
            room.hear(message)
        room.neighbours.announce(asks=True)
        return room

    def forget(self, room: Room) -> None:
        if self._rooms.pop(room.session_id, None) is not None:
            metrics.ROOMS.dec()
        self._subscriptions.end(events.group_name(room.session_id))
        self.committer.forget(room)
        room.close()

    def _unload(self, room: Room) -> None:
        self.forget(room)
        if room.edits.tail_rows > settings.COMPACT_TAIL_ROWS * COMPACT_AT_UNLOAD:
            self._spawn(self._compact(room.session_id))

    def unload_beyond(self) -> None:
        """Close the rooms that have been empty the longest, where all the empty ones take too much memory."""
        empty = [room for room in self._rooms.values() if room.is_idle]
        empty.sort(key=lambda room: room.idle_since)
        size = sum(room.edits.replica.size_bound for room in empty)
        for room in empty:
            if size <= IDLE_MAX_BYTES:
                return
            size -= room.edits.replica.size_bound
            self._unload(room)

    async def _compact(self, session_id: UUID) -> None:
        try:
            await self.database.read(tasks.compact_later, session_id)
        except Exception:
            logger.warning("no worker could be asked to compact the log of %s; housekeeping will", session_id)

    async def drain(self, spread_seconds: float) -> None:
        self.is_draining = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._finish_updates(), LAST_COMMIT_SECONDS)
        await self.committer.flush(LAST_COMMIT_SECONDS)
        unsaved = [room for room in self._rooms.values() if room.edits.unsaved]
        if unsaved:
            logger.error(
                "this process ends with %d changes of %d sessions unsaved; they were never acknowledged, and the pages "
                "that made them send them again: %s",
                sum(len(room.edits.unsaved) for room in unsaved),
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
            room.cursors.tell_moved()
        self._main.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._main

    async def _finish_updates(self) -> None:
        for room in list(self._rooms.values()):
            await room.edits.large.finished()

    async def _send_away(self, room: Room, leaving: Connection, after_seconds: float) -> None:
        await asyncio.sleep(after_seconds)
        room.expel(leaving, close_codes.RESTARTING, "the server restarts")
        # One turn for the socket's writer.
        await asyncio.sleep(0.05)

    # What other processes say

    def _hear_of_person(self, message: dict[str, Any]) -> None:
        self.guard.check_soon(*self.places.rooms_of(str(message.get("user_id"))))

    def _layer_changed(self, is_degraded: bool) -> None:
        for room in self._rooms.values():
            room.tell_degraded(is_degraded)
            if not is_degraded:
                # What the others said meanwhile is asked for; text that was missed comes with the tick.
                room.neighbours.announce(asks=True)
        self._spawn(self._tick())

    # The tasks of the loop

    async def _run(self) -> None:
        try:
            events.on_undelivered(self._subscriptions.take_undelivered)
            tasks = [self.committer.run(), self._tick_forever(), self._keep_alive_forever(), self.guard.run()]
            if not isinstance(get_channel_layer(), InMemoryChannelLayer):
                tasks.append(self._layer_watch.run())
            await asyncio.gather(*tasks)
        except Exception:
            logger.exception("the live rooms of this process stopped; the next socket starts them again")
        finally:
            events.forget_undelivered(self._subscriptions.take_undelivered)
            self.repairs.close()
            # Also when the loop ends without drain (tests): replicas are freed on their own thread.
            for task in [*self._running, *self._opening.values()]:
                task.cancel()
            for room in list(self._rooms.values()):
                room.expel_all(close_codes.RESTARTING, "the server restarts")
                self.forget(room)
            self._subscriptions.end_all()
            if not self.is_draining:
                _registries.pop(self._loop, None)
            self.committer.close()
            self.database.close()

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
        self.places.forget_rested()
        for room in list(self._rooms.values()):
            room.tick(now)
            if room.is_idle and now - room.idle_since > settings.ROOM_IDLE_SECONDS:
                self._unload(room)
        if not self._rooms:
            return
        heads = await self.database.read(update_log.heads, list(self._rooms))
        for room in list(self._rooms.values()):
            if heads.get(room.session_id, 0) > room.edits.head and not room.edits.unsaved:
                self.repairs.repair_soon(room, "tick")
        edited = [room.session_id for room in self._rooms.values() if room.was_edited()]
        if edited:
            await self.database.write(update_log.touch, edited)

    async def _keep_alive_forever(self) -> None:
        interval = settings.SOCKET_KEEP_ALIVE_SECONDS
        while True:
            await asyncio.sleep(interval / 4)
            now = time.monotonic()
            for room in self._rooms.values():
                room.keep_alive(now, interval)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._running.discard)


class _Host:
    """The registry as one room sees it (room/host.py)."""

    room: Room

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.process = registry.process

    @property
    def is_alone(self) -> bool:
        return self._registry.is_alone

    @property
    def is_degraded(self) -> bool:
        return self._registry.is_degraded

    def commit_soon(self) -> None:
        self._registry.committer.commit_soon(self.room)

    def repair_soon(self, cause: str) -> None:
        self._registry.repairs.repair_soon(self.room, cause)

    def rebuild_soon(self) -> None:
        self._registry.repairs.rebuild_soon(self.room)

    def check_soon(self) -> None:
        self._registry.guard.check_soon(self.room)

    def broke(self, user_id: str, update: bytes, error: Exception) -> None:
        session_id = self.room.session_id
        metrics.QUARANTINED.inc()
        if self._registry.places.note_broken(user_id):
            logger.warning("an update of user %s broke the replica of %s: %s", user_id, session_id, error)
            self._registry.repairs.quarantine_soon(session_id, UUID(user_id), update, str(error))

    def left(self, connection: Connection) -> None:
        asyncio.get_running_loop().call_soon(self._registry.unload_beyond)
        self._registry.places.leave(connection)

    async def slice(self, update: bytes) -> Sliced:
        return await self._registry.database.read(opening.sliced, update)

    async def try_out(self, document: bytes, sliced: Sliced, limits: Limits) -> Sliced:
        return await self._registry.database.read(opening.tried, document, sliced, limits)
