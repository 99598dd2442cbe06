"""One run, from claim to final state: takes it, gives it a sandbox, stores and announces what comes out.

Two threads per run: this one drives the sandbox; its companion announces and stores output, renews the lease, and
brings cancellations and input from the rows (a message on the channel layer only wakes it sooner).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from channels.layers import get_channel_layer
from django.conf import settings
from django.db import close_old_connections, transaction
from django.db.models import F
from django.utils import timezone

from activity.log import record
from execution import events, metrics
from execution.availability import WORKER_NAME, backend
from execution.models import Run, RunInput, RunOutput, Status, Stream
from execution.sandbox.control import Control
from execution.sandbox.errors import InvalidJob, SandboxFault
from execution.sandbox.job import Job, Outcome, default_run_limits, prepare
from execution.sandbox.supervisor import execute
from sessions_app import events as room_events
from sessions_app import languages

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

logger = logging.getLogger(__name__)

# The companion's clock, in seconds.
LOOK_SECONDS = 1.0
STORE_SECONDS = 0.5
ANNOUNCE_SECONDS = 0.03
LEASE_RENEWAL_SECONDS = settings.RUN_LEASE_SECONDS / 3


def run(run_id: str) -> None:
    """Run it, if it is still waiting. Whoever else holds it, or if it is over, this does nothing."""
    claimed = _claim(uuid.UUID(run_id))
    if claimed is not None:
        with metrics.runs_active.track_inprogress():
            _run_claimed(claimed)


def _claim(run_id: UUID) -> Run | None:
    now = timezone.now()
    lease = now + timedelta(seconds=settings.RUN_LEASE_SECONDS)
    with transaction.atomic():
        won = Run.objects.filter(pk=run_id, status=Status.QUEUED, cancel_requested_at=None).update(
            status=Status.RUNNING,
            attempt=F("attempt") + 1,
            worker=WORKER_NAME,
            lease_expires_at=lease,
            started_at=now,
        )
        if not won:
            return None
        claimed = Run.objects.select_related("user", "cancelled_by", "session").get(pk=run_id)
        # What an earlier attempt printed before its worker died belongs to that attempt.
        claimed.output.all().delete()
        claimed.stats = {"queue_ms": _milliseconds(now - claimed.created_at)}
        events.announce_state(claimed)
    return claimed


def _run_claimed(claimed: Run) -> None:
    companion = _Companion(claimed)
    try:
        outcome = _execute(claimed, companion)
    except InvalidJob as error:
        companion.close()
        _finish_with_error(claimed, f"The program was not accepted: {error}")
    except SandboxFault as fault:
        companion.close()
        _finish_with_error(claimed, fault.remedy, detail=str(fault))
    except Exception:
        logger.exception("run %s failed on our side", claimed.pk)
        companion.close()
        _finish_with_error(claimed, "Something failed on our side while the program ran.")
    else:
        companion.close()
        if companion.failed:
            # Its output was not kept, so this attempt does not count: the reaper queues the run again.
            return
        _finish(
            claimed,
            status=outcome.status.value,
            exit_code=outcome.exit_code,
            signal=outcome.signal or "",
            truncated=outcome.truncated,
            stats=claimed.stats | dict(outcome.stats) | ({"message": outcome.message} if outcome.message else {}),
        )


def _execute(claimed: Run, companion: _Companion) -> Outcome:
    if claimed.user is None or not claimed.user.is_active:
        raise InvalidJob("the account that started it is closed")
    job = _job(claimed)
    companion.start()
    return execute(job, backend(), listener=companion, control=companion.control, label=str(claimed.pk))


def _job(claimed: Run) -> Job:
    language = languages.get(claimed.language)
    defaults = default_run_limits(language, interactive=claimed.interactive)
    return prepare(
        language,
        {file.path: bytes(file.content) for file in claimed.files.all()},
        stdin=bytes(claimed.stdin),
        args=tuple(claimed.args),
        interactive=claimed.interactive,
        run_limits=replace(defaults, **claimed.limits),
    )


def _finish_with_error(claimed: Run, message: str, *, detail: str = "") -> None:
    """A fault of ours or of the host, with an id that the log has too; `detail` is for the log alone."""
    error_id = uuid.uuid4().hex
    logger.error("run %s ended in error %s: %s", claimed.pk, error_id, detail or message)
    _finish(
        claimed,
        status=Status.ERROR.value,
        error_id=error_id,
        stats=claimed.stats | {"message": message},
    )


def _finish(claimed: Run, **final: Any) -> None:
    """The one UPDATE to a final state. Loses to the reaper if the lease was lost on the way."""
    with transaction.atomic():
        won = _mine(claimed).update(finished_at=timezone.now(), lease_expires_at=None, **final)
        if not won:
            logger.warning("run %s was taken from this worker before it ended", claimed.pk)
            return
        claimed.refresh_from_db()
        events.announce_state(claimed)
    announce_end(claimed)


def announce_end(ended: Run) -> None:
    """Metrics and activity of a run that reached its final state."""
    metrics.count_finished(
        ended.language,
        ended.status,
        run_seconds=_seconds(ended.started_at, ended.finished_at),
        queue_seconds=_seconds(ended.created_at, ended.started_at),
    )
    record(
        "run.finished",
        f"a {ended.language} run ended as {ended.status}",
        user_id=ended.user_id,
        session_id=ended.session_id,
        metadata={"job_id": str(ended.pk), "status": ended.status},
    )


def _mine(claimed: Run) -> Any:
    """The row, as long as this attempt still holds it."""
    return Run.objects.filter(pk=claimed.pk, status=Status.RUNNING, attempt=claimed.attempt, worker=WORKER_NAME)


def _seconds(begin: datetime | None, end: datetime | None) -> float | None:
    return (end - begin).total_seconds() if begin and end else None


def _milliseconds(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)


class _Companion(threading.Thread):
    """Announces and stores a run's output and feeds it, beside the thread that drives the sandbox."""

    def __init__(self, claimed: Run) -> None:
        super().__init__(name=f"run-{claimed.pk}", daemon=True)
        self.control = Control()
        self.failed = False
        self._run = claimed
        self._wake = threading.Event()
        self._closed = False
        self._lock = threading.Lock()
        self._heard: list[tuple[str, bytes]] = []
        self._unstored: list[RunOutput] = []
        self._offsets: dict[str, int] = dict.fromkeys(Stream.values, 0)
        self._inputs_seen = 0
        self._announced_at = self._stored_at = self._renewed_at = self._looked_at = 0.0

    def started(self) -> None:
        """Called by the supervisor when the program starts."""

    def output(self, stream: str, data: bytes) -> None:
        """Called by the supervisor with each piece as it is printed. Never waits."""
        with self._lock:
            self._heard.append((stream, data))
        self._wake.set()

    def close(self) -> None:
        """Store what is left. Nothing is announced or stored afterwards."""
        self._closed = True
        self._wake.set()
        if self.is_alive():
            self.join()
        if not self.failed:
            self._announce()
            self._store()

    def run(self) -> None:
        _listen_for_bells()
        bells[str(self._run.pk)] = self._wake
        self._renewed_at = time.monotonic()
        try:
            while not self._closed:
                self._step()
        except Exception:
            # Without its companion a run could be neither stopped nor kept.
            logger.exception("the companion of run %s failed", self._run.pk)
            self.failed = True
            self.control.cancel()
        finally:
            bells.pop(str(self._run.pk), None)
            close_old_connections()

    def _step(self) -> None:
        self._wake.wait(STORE_SECONDS if self._unstored else LOOK_SECONDS)
        # The first piece goes out at once; what follows is gathered, so that a chatty program costs few messages.
        if (since := time.monotonic() - self._announced_at) < ANNOUNCE_SECONDS:
            time.sleep(ANNOUNCE_SECONDS - since)
        rung = self._wake.is_set()
        self._wake.clear()
        self._announce()
        now = time.monotonic()
        if now - self._stored_at >= STORE_SECONDS:
            self._store()
        if now - self._renewed_at >= LEASE_RENEWAL_SECONDS:
            self._renew()
        if rung or now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._look()

    def _announce(self) -> None:
        with self._lock:
            heard, self._heard = self._heard, []
        for stream, data in _merged(heard):
            offset = self._offsets[stream]
            self._offsets[stream] += len(data)
            self._unstored.append(RunOutput(run=self._run, stream=stream, offset=offset, data=data))
            if self._run.session_id:
                events.announce_output(self._run.session_id, self._run.pk, stream, offset, data)
        if heard:
            self._announced_at = time.monotonic()

    def _store(self) -> None:
        self._stored_at = time.monotonic()
        if not self._unstored:
            return
        with transaction.atomic():
            if self._hold():
                RunOutput.objects.bulk_create(self._unstored)
        self._unstored = []

    def _renew(self) -> None:
        self._renewed_at = time.monotonic()
        self._hold()

    def _hold(self) -> bool:
        """Renew the lease; a run that was given to somebody else is stopped here."""
        lease = timezone.now() + timedelta(seconds=settings.RUN_LEASE_SECONDS)
        held = bool(_mine(self._run).update(lease_expires_at=lease))
        if not held:
            self.control.cancel()
        return held

    def _look(self) -> None:
        """Read the rows for a cancellation and for new input."""
        row = Run.objects.filter(pk=self._run.pk).values("cancel_requested_at").first()
        if row is None or row["cancel_requested_at"]:
            self.control.cancel()
        if self._run.interactive:
            for typed in RunInput.objects.filter(run=self._run, number__gt=self._inputs_seen):
                self._inputs_seen = typed.number
                if typed.data:
                    self.control.send_input(bytes(typed.data))
                if typed.is_end:
                    self.control.close_input()


def _merged(pieces: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Neighbours of one stream as one piece, up to 64 KiB; the order of the streams is kept."""
    merged: list[tuple[str, bytes]] = []
    for stream, data in pieces:
        if merged and merged[-1][0] == stream and len(merged[-1][1]) + len(data) <= 65_536:
            merged[-1] = (stream, merged[-1][1] + data)
        else:
            merged.append((stream, data))
    return merged


# The companions of this process that a bell can wake, by run id.
bells: dict[str, threading.Event] = {}
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
                        if bell := bells.get(message.get("job_id", "")):
                            bell.set()
        except Exception:
            logger.warning("cannot hear the bells of the workers; trying again", exc_info=True)
            await asyncio.sleep(2)
