"""The thread beside a run: stores what is printed, renews the lease, brings cancellations and input.

Cancellations and input are rows; a message on the channel layer only wakes this thread sooner than its next look.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from datetime import timedelta
from math import inf
from typing import TYPE_CHECKING, Any

from channels.layers import get_channel_layer
from django.conf import settings
from django.db import close_old_connections, transaction
from django.utils import timezone

from execution import events
from execution.announcer import Announcer, pieces
from execution.availability import WORKER_NAME
from execution.models import Run, RunInput, RunOutput, Status, Stream
from execution.sandbox.control import Control
from sessions_app import events as room_events

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

# This thread's clock, in seconds.
LOOK_SECONDS = 1.0
# Whatever of these is set stops a program.
_STOPS = ("cancel_requested_at", "session__archived_at", "session__frozen_at")
# A program that uses less of a processor than this waits for somebody. The agent alone takes some thousandths.
WAITING_SHARE = 0.1
STORE_SECONDS = 0.5
LEASE_RENEWAL_SECONDS = settings.RUN_LEASE_SECONDS / 3


def held_row(run: Run) -> Any:
    """The run's row, as long as this worker's attempt still holds it."""
    return Run.objects.filter(pk=run.pk, status=Status.RUNNING, attempt=run.attempt, worker=WORKER_NAME)


class Companion(threading.Thread):
    """One per run, beside the thread that drives the sandbox, whose listener it is (execution/sandbox/output.py).

    `on_waiting` is called when an interactive program begins to wait for somebody (True) or computes again (False).
    """

    def __init__(self, claimed: Run, on_waiting: Callable[[bool], None] | None = None) -> None:
        super().__init__(name=f"run-{claimed.pk}", daemon=True)
        self.control = Control()
        # Its output could not be kept, or its worker goes down: another attempt must follow.
        self.failed = False
        self.released = False
        # All its test cases together took too long.
        self.overdue = False
        self._run = claimed
        self._on_waiting = on_waiting
        self._waits = False
        self._measured: tuple[float, int] | None = None
        # One program has a clock of its own (the supervisor's), and many have this one together.
        self._most_seconds = inf if claimed.interactive else settings.RUN_MAX_SUBMISSION_MS / 1000
        self._began = time.monotonic()
        self._wake = threading.Event()
        self._closed = False
        self._announcer = Announcer(claimed.session_id, claimed.pk) if claimed.session_id else None
        self._lock = threading.Lock()
        self._unstored: dict[str, bytearray] = {}
        self._stored_bytes: dict[str, int] = dict.fromkeys(Stream.values, 0)
        self._inputs_seen = 0
        self._stored_at = self._renewed_at = self._looked_at = 0.0

    def wake(self) -> None:
        self._wake.set()

    def release(self) -> None:
        """Stop the program, for its run to be taken up by another worker."""
        self.released = True
        self.control.cancel()

    def started(self) -> None:
        """Called by the supervisor when the program starts."""

    def output(self, stream: str, data: bytes) -> None:
        """Called by the supervisor with each piece as it is printed. Never waits."""
        if self._announcer:
            self._announcer.take(stream, data)
        with self._lock:
            is_first = not self._unstored
            self._unstored.setdefault(stream, bytearray()).extend(data)
        if is_first:
            self._wake.set()

    def close(self) -> None:
        """Announce and store what is left. Nothing is announced or stored afterwards."""
        if self._announcer:
            self._announcer.close()
        self._closed = True
        self._wake.set()
        if self.is_alive():
            self.join()
        if not self.failed:
            self._store()

    def run(self) -> None:
        _listen_for_bells()
        active[str(self._run.pk)] = self
        self._began = self._renewed_at = time.monotonic()
        try:
            while not self._closed:
                self._step()
                if self._run.interactive and time.monotonic() - self._began > LOOK_SECONDS:
                    # Somebody may think for minutes before they answer; the connection serves others meanwhile.
                    close_old_connections()
        except Exception:
            # Without its companion a run could be neither stopped nor kept.
            logger.exception("the companion of run %s failed", self._run.pk)
            self.failed = True
            self.control.cancel()
        finally:
            active.pop(str(self._run.pk), None)
            close_old_connections()

    def _step(self) -> None:
        due = self._stored_at + STORE_SECONDS - time.monotonic()
        self._wake.wait(max(0, due) if self._unstored else LOOK_SECONDS)
        rung = self._wake.is_set()
        self._wake.clear()
        now = time.monotonic()
        if now - self._stored_at >= STORE_SECONDS:
            self._store()
        if now - self._renewed_at >= LEASE_RENEWAL_SECONDS:
            self._renew()
        if rung or now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._look()
        if self._on_waiting is not None:
            self._measure(self._on_waiting)

    def _measure(self, on_waiting: Callable[[bool], None]) -> None:
        """Find out whether the program waits or computes, by what it used of a processor since the last time."""
        now, used_ms = time.monotonic(), self.control.cpu_ms
        if used_ms is None:
            return
        since, before_ms = self._measured or (now, used_ms)
        if self._measured is not None and now - since < LOOK_SECONDS:
            return
        self._measured = now, used_ms
        waits = now > since and used_ms - before_ms < WAITING_SHARE * 1000 * (now - since)
        if waits != self._waits:
            self._waits = waits
            held_row(self._run).update(waits_for_input=waits)
            on_waiting(waits)

    def _store(self) -> None:
        self._stored_at = time.monotonic()
        with self._lock:
            unstored, self._unstored = self._unstored, {}
        if not unstored:
            return
        rows = [
            RunOutput(run=self._run, stream=stream, offset=self._stored_bytes[stream] + start, data=piece)
            for stream, data in unstored.items()
            for start, piece in pieces(bytes(data))
        ]
        with transaction.atomic():
            if self._hold():
                RunOutput.objects.bulk_create(rows)
        for stream, data in unstored.items():
            self._stored_bytes[stream] += len(data)

    def _renew(self) -> None:
        self._renewed_at = time.monotonic()
        self._hold()

    def _hold(self) -> bool:
        """Renew the lease; a run that was given to somebody else is stopped here."""
        lease = timezone.now() + timedelta(seconds=settings.RUN_LEASE_SECONDS)
        held = bool(held_row(self._run).update(lease_expires_at=lease))
        if not held:
            self.control.cancel()
        return held

    def _look(self) -> None:
        """Read the rows for a cancellation and for new input."""
        row = Run.objects.filter(pk=self._run.pk).values(*_STOPS).first()
        if row is None or any(row.values()):
            self.control.cancel()
        elif time.monotonic() - self._began > self._most_seconds:
            self.overdue = True
            self.control.cancel()
        if self._run.interactive:
            for typed in RunInput.objects.filter(run=self._run, number__gt=self._inputs_seen):
                self._inputs_seen = typed.number
                if typed.data:
                    self.control.send_input(bytes(typed.data))
                if typed.is_end:
                    self.control.close_input()


# The companions of this process, by run id.
active: dict[str, Companion] = {}
_listening = threading.Lock()
_is_listening = False


def _listen_for_bells() -> None:
    global _is_listening
    with _listening:
        if not _is_listening:
            _is_listening = True
            room_events.run_on_loop(_hear_bells())


async def _hear_bells() -> None:
    """Wake companions when their row has news. Deaf is slow, not wrong: companions look every second anyway."""
    while True:
        try:
            layer = get_channel_layer()
            channel = await layer.new_channel("worker")
            await layer.group_add(events.WORKERS, channel)
            # Group members expire after a day.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(3600):
                    while True:
                        message = await layer.receive(channel)
                        if companion := active.get(message.get("job_id", "")):
                            companion.wake()
        except Exception:
            logger.warning("cannot hear the bells of the workers; trying again", exc_info=True)
            await asyncio.sleep(2)
