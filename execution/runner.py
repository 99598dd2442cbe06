"""One run, from claim to final state: takes it, gives it a sandbox, ends it. tasks.py calls it.

This thread drives the sandbox; its companion (companion.py) tells, keeps and feeds what goes on meanwhile.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import close_old_connections, transaction
from django.db.models import F
from django.utils import timezone

import languages
from execution import availability, companion, ending, events, metrics, probe, turns
from execution.availability import WORKER_NAME, backend, keep_self_test
from execution.companion import Companion, held_row
from execution.judging import PASSED, WRONG_OUTPUT, Checker, is_right
from execution.limits import prepare_job
from execution.models import AvailableLanguage, Run, Status, TestCase
from execution.output import OutputBudget
from execution.sandbox import selftest
from execution.sandbox.cache import CompileCache, PersonalCache
from execution.sandbox.cases import execute_cases
from execution.sandbox.errors import FULL, InvalidJob, SandboxFault
from execution.sandbox.job import Case, Outcome
from execution.sandbox.job import Status as FinalStatus
from execution.sandbox.supervisor import execute
from execution.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from django.db.models import QuerySet

logger = logging.getLogger(__name__)

# What a person reads whose run waits for a sandbox.
WAITS = "Runs wait: the sandbox that programs run in does not answer. This one starts by itself as soon as it does."
# The same where no more sandboxes may exist, and how long such a run waits before it is tried again.
WAITS_FOR_ROOM = "All sandboxes are in use. This run starts by itself as soon as one is free."
ROOM_SECONDS = 2.0
# How long a worker that cannot run what it is sent waits before it leaves the message to others.
LEAVE_SECONDS = 0.5
# Faults that may mean that this one language is not there.
ABSENT = ("tool_missing", "image_absent", "python_missing")
# How long a worker leaves a run to others that its own sandbox failed. Then it takes it again, since theirs may have
# failed it too.
AVOID_SECONDS = 5
# A sandbox that failed so often with this run, and never otherwise, fails because of it.
HAND_BACKS_MAX = 10
FAILED_MAX = 1000

_going_down = threading.Event()
# Until when another worker should have a run that this worker's sandbox failed.
_failed_here: dict[UUID, float] = {}
# One claim at a time in this worker, or two of one person's would each find it their turn.
_claiming = threading.Lock()
_slots = Slots(settings.WORKER_CONCURRENCY, turns.running_share(settings.WORKER_CONCURRENCY))
# Interactive runs that this worker has room for.
_beside = threading.BoundedSemaphore(settings.WORKER_INTERACTIVE)


def run(run_id: UUID, send: Callable[[UUID], None]) -> None:
    """Run it, if it is still waiting and it is its person's turn, and return when its slot is free again.

    Do nothing if another worker holds it or it is over. `send` is called with the runs whose turn it is then. An
    interactive run goes on in a thread of its own once it waits for somebody, because then it needs no slot.
    """
    is_for_others = time.monotonic() < _failed_here.get(run_id, 0) and availability.has_fit_colleague()
    if probe.is_down() or is_for_others:
        _leave_to_others(run_id, send)
        return
    row = _waiting(run_id).values("counted_as", "interactive").first()
    if row is None:
        return
    with _slots.one(row["counted_as"]):
        claimed = _claim(run_id, **row)
        if claimed is None:
            return
        if claimed.interactive:
            interactive = _Interactive(claimed, send)
            interactive.start()
            interactive.has_left_slot.wait()
        else:
            _run_claimed(claimed, send)
    _send_next(claimed, send)


class _Interactive(threading.Thread):
    """An interactive run. It holds the slot of `run` until its program first waits for somebody, or ends."""

    def __init__(self, claimed: Run, send: Callable[[UUID], None]) -> None:
        super().__init__(name=f"interactive-{claimed.pk}")
        self.has_left_slot = threading.Event()
        self._claimed = claimed
        self._send = send
        self._computes_beside = False

    def run(self) -> None:
        try:
            _run_claimed(self._claimed, self._send, self._on_waiting)
        finally:
            _beside.release()
            try:
                if self.has_left_slot.is_set():
                    self._on_waiting(True)
            finally:
                self.has_left_slot.set()
                close_old_connections()

    def _on_waiting(self, waits: bool) -> None:
        if not self.has_left_slot.is_set():
            # Its slot is over, and the thread that held it sends the next.
            self.has_left_slot.set()
            return
        if waits == self._computes_beside:
            self._computes_beside = not waits
            _slots.count_beside(self._claimed.counted_as, -1 if waits else 1)
        if waits:
            _send_next(self._claimed, self._send)


def _send_next(claimed: Run, send: Callable[[UUID], None]) -> None:
    if _going_down.is_set():
        return
    try:
        for run_id in turns.next_of(claimed.counted_as):
            send(run_id)
    except Exception:
        # The program whose slot this was may go on, and must not end with the broker.
        logger.warning("the next run could not be sent; the republisher sends it", exc_info=True)


def self_test(key: str) -> None:
    """Try the language's own programs in this worker's sandbox, and keep what came of it."""
    try:
        result = selftest.self_test(languages.get(key), backend())
    except SandboxFault as fault:
        logger.warning("%s could not be tested: %s", key, fault)
        return
    keep_self_test(key, result.version, "" if result.ok else result.reason)


def release_all() -> None:
    """This worker goes down: stop its programs, queue their runs again, and claim no more."""
    _going_down.set()
    for each in list(companion.active.values()):
        each.release()


def _waiting(run_id: UUID) -> QuerySet[Run]:
    return Run.objects.filter(pk=run_id, status=Status.QUEUED, cancel_requested_at=None)


def _claim(run_id: UUID, *, counted_as: str, interactive: bool) -> Run | None:
    """The run, held by this worker; an interactive one with a place beside the slots, which its thread gives back."""
    has_place = not interactive or _beside.acquire(blocking=False)
    claimed = None
    try:
        with _claiming:
            if has_place and not _going_down.is_set() and turns.is_turn_of(counted_as, interactive=interactive):
                claimed = _take(run_id)
            else:
                # It is sent again when one of its person's gives up its slot, and by the republisher.
                _waiting(run_id).update(published_at=None)
    finally:
        if claimed is None and has_place and interactive:
            _beside.release()
    return claimed


def _take(run_id: UUID) -> Run | None:
    now = timezone.now()
    with transaction.atomic():
        won = _waiting(run_id).update(
            status=Status.RUNNING,
            attempt=F("attempt") + 1,
            worker=WORKER_NAME,
            lease_expires_at=now + timedelta(seconds=settings.RUN_LEASE_SECONDS),
            started_at=now,
            waits_for_input=False,
        )
        if not won:
            return None
        claimed = Run.objects.select_related("user", "cancelled_by", "session").get(pk=run_id)
        # What an earlier attempt printed before its worker died belongs to that attempt.
        claimed.output.all().delete()
        claimed.cases.update(**TestCase.NOT_RUN)
        claimed.stats = {"queue_ms": round((now - claimed.created_at).total_seconds() * 1000)}
        events.announce_state(claimed)
    return claimed


@metrics.runs_active.track_inprogress()
def _run_claimed(claimed: Run, send: Callable[[UUID], None], on_waiting: Callable[[bool], None] | None = None) -> None:
    beside = Companion(claimed, on_waiting)
    try:
        outcome = _execute(claimed, beside)
    except InvalidJob as error:
        beside.close()
        ending.finish_with_error(claimed, f"The program was not accepted: {error}")
    except SandboxFault as fault:
        beside.close()
        if fault.code == FULL:
            _wait_for_room(claimed, send)
        else:
            _hand_back(claimed, fault, send)
    except Exception:
        logger.exception("run %s failed on our side", claimed.pk)
        beside.close()
        ending.finish_with_error(claimed, "Something went wrong on our side while the program ran.")
    else:
        beside.close()
        if beside.released:
            _queue_again(claimed)
        elif not beside.failed:
            ending.finish_with_outcome(claimed, outcome)
        # A run whose output could not be kept stays as it is until its lease ends: the reaper queues it again.


def _leave_to_others(run_id: UUID, send: Callable[[UUID], None]) -> None:
    """This worker cannot run it now; another one may take its message."""
    waiting = Run.objects.filter(pk=run_id, status=Status.QUEUED)
    run = waiting.select_related("user", "cancelled_by").first()
    if run is None or _going_down.is_set():
        waiting.update(published_at=None)
        return
    if probe.is_down() and "message" not in run.stats:
        run.stats = {"message": WAITS}
        with transaction.atomic():
            if waiting.update(stats=run.stats):
                events.announce_state(run)
    time.sleep(LEAVE_SECONDS)
    send(run_id)


def _wait_for_room(claimed: Run, send: Callable[[UUID], None]) -> None:
    """Try again a little later, here or elsewhere; nothing is broken, so this was not an attempt."""
    stats = {"message": WAITS_FOR_ROOM}
    # It counts as sent meanwhile, or the republisher would send it as well, and each message itself again.
    if not _queue_again(claimed, attempt=claimed.attempt - 1, stats=stats, published_at=timezone.now()):
        return
    if _going_down.wait(ROOM_SECONDS):
        _waiting(claimed.pk).update(published_at=None)
    else:
        send(claimed.pk)


def _hand_back(claimed: Run, fault: SandboxFault, send: Callable[[UUID], None]) -> None:
    """The sandbox failed it, which is no fault of the program's: another attempt follows, if possible elsewhere.

    It is an attempt only if the sandbox answers otherwise, so that a broken engine uses up nobody's.
    """
    logger.error("run %s was failed by the sandbox: %s", claimed.pk, fault)
    is_fit = probe.answers()
    language = languages.get(claimed.language)
    if is_fit and fault.code in ABSENT and not AvailableLanguage.objects.filter(key=language.key).exists():
        ending.finish_with_error(claimed, availability.NOT_INSTALLED.format(language.name), detail=str(fault))
        return
    counts = is_fit or claimed.handed_back >= HAND_BACKS_MAX
    if counts and claimed.attempt >= settings.RUN_ATTEMPTS:
        ending.finish_with_error(
            claimed, f"{claimed.attempt} attempts to run this program failed on our side.", detail=str(fault)
        )
        return
    if len(_failed_here) >= FAILED_MAX:
        _failed_here.clear()
    _failed_here[claimed.pk] = time.monotonic() + AVOID_SECONDS
    attempt = claimed.attempt if counts else claimed.attempt - 1
    stats = {} if is_fit else {"message": WAITS}
    if (
        _queue_again(claimed, attempt=attempt, handed_back=claimed.handed_back + 1, stats=stats)
        and not _going_down.is_set()
    ):
        send(claimed.pk)


def _queue_again(claimed: Run, **more: Any) -> bool:
    """Let it wait for another attempt; what was being stopped is stopped."""
    with transaction.atomic():
        held = held_row(claimed)
        gone: dict[str, Any] = {"lease_expires_at": None, "finished_at": timezone.now(), "status": Status.CANCELLED}
        is_stopped = bool(held.exclude(cancel_requested_at=None).update(**gone))
        waits: dict[str, Any] = {"lease_expires_at": None, "worker": "", "published_at": None, "status": Status.QUEUED}
        is_queued = not is_stopped and bool(held.update(**(waits | more)))
        if is_stopped or is_queued:
            claimed.refresh_from_db()
            events.announce_state(claimed)
    if is_stopped:
        ending.announce_end(claimed)
    return is_queued


def _execute(claimed: Run, beside: Companion) -> Outcome:
    if claimed.user is None or not claimed.user.is_able:
        raise InvalidJob("the account that started it is closed")
    job = prepare_job(
        languages.get(claimed.language),
        {file.path: bytes(file.content) for file in claimed.files.all()},
        stdin=bytes(claimed.stdin),
        args=claimed.args,
        interactive=claimed.interactive,
        limits=claimed.limits,
    )
    beside.start()
    label = str(claimed.pk)
    # Hidden ones last: nothing that can be seen of a visible case waits for one.
    cases = list(claimed.cases.defer("stdout", "stderr").order_by("is_hidden", "number"))
    if claimed.interactive:
        # Somebody may think for minutes before they answer; the connection serves others meanwhile.
        close_old_connections()
    if not cases:
        return execute(job, backend(), beside, beside.control, label, cache=_compile_cache_of(claimed))
    budget = OutputBudget(job.run.limits.output_bytes, len(cases))
    outcome = execute_cases(
        job,
        [Case(bytes(case.stdin), tuple(case.args), alone=case.is_hidden) for case in cases],
        backend(),
        beside,
        beside.control,
        label,
        after_case=lambda index, result: _keep_case(claimed, cases[index], _overdue(beside, result), budget),
        cache=_compile_cache_of(claimed),
    )
    return _overdue(beside, replace(outcome, cases=tuple(_overdue(beside, case) for case in outcome.cases)))


def _overdue(beside: Companion, ended: Outcome) -> Outcome:
    """What was stopped because all cases together took too long was not cancelled by anybody."""
    if not beside.overdue or ended.status is not FinalStatus.CANCELLED:
        return ended
    seconds = settings.RUN_MAX_SUBMISSION_MS / 1000
    message = f"The tests were stopped after {seconds:g} s, which is the most that all of them together may take."
    return replace(ended, status=FinalStatus.TIMED_OUT, stats={**ended.stats, "limit": "wall"}, message=message)


def _keep_case(claimed: Run, case: TestCase, result: Outcome, budget: OutputBudget) -> bool:
    """Judge one case and keep what came of it; False ends the submission."""
    verdict = result.status.value
    if result.status is FinalStatus.COMPLETED:
        is_passed = is_right(result.stdout, bytes(case.expected), Checker(case.checker))
        verdict = PASSED if is_passed else WRONG_OUTPUT
    stdout, stderr = budget.keep(result.stdout, result.stderr)
    TestCase.objects.filter(pk=case.pk).update(
        verdict=verdict,
        exit_code=result.exit_code,
        signal=result.signal or "",
        stdout=stdout,
        stderr=stderr,
        truncated=result.truncated or len(stdout) + len(stderr) < len(result.stdout) + len(result.stderr),
        stats=dict(result.stats) | ({"message": result.message} if result.message else {}),
    )
    return verdict == PASSED or not claimed.stop_on_failure


def _compile_cache_of(claimed: Run) -> PersonalCache | None:
    """Shared by a person and their bots, with nobody else."""
    cache = compile_cache()
    if cache is None or claimed.user is None:
        return None
    return PersonalCache(cache, str(claimed.user.bot_of_id or claimed.user.pk))


@functools.cache
def compile_cache() -> CompileCache | None:
    """One per worker: the artifacts of recent compilations, keyed by everything that went into them."""
    return CompileCache(settings.COMPILE_CACHE_BYTES) if settings.COMPILE_CACHE_BYTES else None
