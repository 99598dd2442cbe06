"""Send messages (sessions_app/messages.py) to the rooms of a session.

They travel over the channel layer, which may lose them; the content of each can also be read over REST. The room of
each process (realtime/room/room.py) passes `room.event` on to its sockets and acts on `room.check`.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from channels.layers import get_channel_layer
from django.db import transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from uuid import UUID

    from accounts.models import User
    from sessions_app.messages import Event, Speaker

logger = logging.getLogger(__name__)

SEND_SECONDS = 2
REST_SECONDS = 1
LAST_WORDS_SECONDS = 2
# Each message is at most a bell of update_log.BELL_MAX_BYTES or a piece of output.
QUEUE_MAX = 2000


def speaker(user: User) -> Speaker:
    return {"id": str(user.pk), "username": user.username, "hue": user.hue}


# The group for messages about users in any room; every process with live rooms listens.
PEOPLE_GROUP = "people"


def group_name(session_id: UUID) -> str:
    return f"session.{session_id.hex}"


def announce(session_id: UUID, event: Event) -> None:
    """Send `event` to everybody in the room, in the order of the calls in this process. Never raises, never waits."""
    _speaker.send(group_name(session_id), {"type": "room.event", "event": event})


def announce_on_commit(session_id: UUID, event: Event) -> None:
    transaction.on_commit(lambda: announce(session_id, event))


def recheck_access_on_commit(session_id: UUID) -> None:
    """Make every process recheck access for the sockets of this room."""
    transaction.on_commit(lambda: _speaker.send(group_name(session_id), {"type": "room.check"}))


def recheck_person(user_id: str) -> None:
    """Make every process recheck access for all sockets of this user, in any room."""
    _speaker.send(PEOPLE_GROUP, {"type": "people.check", "user_id": user_id})


def ring_document(session_id: UUID, message: dict[str, Any]) -> None:
    """Tell the rooms of this session that its log has grown (update_log.bell, realtime/room/neighbours.py)."""
    _speaker.send(group_name(session_id), {"type": "room.bell", **message})


def ring(group: str, message: dict[str, Any]) -> None:
    """Send any message to any group. The runner uses it for its own doorbell."""
    _speaker.send(group, message)


def on_undelivered(take: Callable[[str, dict[str, Any]], None]) -> None:
    """Register `take(group, message)`, which gets, in another thread, messages that could not be sent. Call it once."""
    _speaker.undelivered.append(take)


def forget_undelivered(take: Callable[[str, dict[str, Any]], None]) -> None:
    _speaker.undelivered.remove(take)


def run_on_loop(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a listener for the lifetime of the process, on the event loop that this process sends from."""
    _speaker.start(coroutine)


class _Speaker:
    """Sends messages from one event loop in a daemon thread, so that a Redis layer keeps a single connection.

    An unavailable layer costs callers no time or memory: messages not sent within SEND_SECONDS go to listeners in this
    process only, and so do all others for the next REST_SECONDS. If the queue is full, messages are dropped.
    """

    def __init__(self) -> None:
        self.undelivered: list[Callable[[str, dict[str, Any]], None]] = []
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: asyncio.Queue[tuple[str, dict[str, Any]]] | None = None

    def _ensure_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._queue = asyncio.Queue(QUEUE_MAX)
                threading.Thread(target=self._loop.run_forever, name="announcer", daemon=True).start()
                asyncio.run_coroutine_threadsafe(self._drain(self._queue), self._loop)
                # A command that changes something and ends would take its message with it.
                atexit.register(self._say_the_last)
            return self._loop

    def _say_the_last(self) -> None:
        if self._loop is not None and self._queue is not None:
            with contextlib.suppress(Exception):
                asyncio.run_coroutine_threadsafe(self._queue.join(), self._loop).result(LAST_WORDS_SECONDS)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._ensure_loop())

    def send(self, group: str, message: dict[str, Any]) -> None:
        loop = self._ensure_loop()
        queue = self._queue
        assert queue is not None
        loop.call_soon_threadsafe(self._put, queue, group, message)

    @staticmethod
    def _put(queue: asyncio.Queue[tuple[str, dict[str, Any]]], group: str, message: dict[str, Any]) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            queue.put_nowait((group, message))

    async def _drain(self, queue: asyncio.Queue[tuple[str, dict[str, Any]]]) -> None:
        rests_until = 0.0
        while True:
            group, message = await queue.get()
            try:
                rests_until = await self._deliver(group, message, rests_until)
            finally:
                queue.task_done()

    async def _deliver(self, group: str, message: dict[str, Any], rests_until: float) -> float:
        """Send a message. Returns until when the layer should not be tried again."""
        if time.monotonic() >= rests_until:
            try:
                await asyncio.wait_for(get_channel_layer().group_send(group, message), SEND_SECONDS)
                return rests_until
            except Exception:
                # The layer is a doorbell: what it loses is read again from the database.
                logger.warning("the channel layer did not take a message for %s", group, exc_info=True)
                rests_until = time.monotonic() + REST_SECONDS
        for take in list(self.undelivered):
            take(group, message)
        return rests_until


_speaker = _Speaker()
