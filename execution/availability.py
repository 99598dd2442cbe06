"""Which languages can run here. Workers find out inside the sandbox and write it down; everybody else reads that."""

from __future__ import annotations

import functools
import logging
import os
import socket
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

import languages
from execution.models import AvailableLanguage, Worker
from execution.sandbox.choose import choose_backend
from execution.sandbox.errors import SandboxFault
from execution.sandbox.limits import RUN
from execution.sandbox.pool import Pool
from execution.sandbox.versions import ask_versions
from web import answers

if TYPE_CHECKING:
    from execution.sandbox.backends import Backend

logger = logging.getLogger(__name__)
WORKER_NAME = f"{socket.gethostname()}-{os.getpid()}"
# A worker that was not seen for so long is gone.
WORKER_SILENCE = timedelta(seconds=60)
# The kept answer that shows all of this; whatever changes it here is followed by answers.forget().
LANGUAGES = "languages"


@dataclass(frozen=True)
class Availability:
    language: languages.Language
    version: str | None
    unavailable_reason: str

    @property
    def available(self) -> bool:
        return not self.unavailable_reason


def available_languages() -> list[Availability]:
    """Every language of the table, in its order, with the version that runs here or why it does not.

    While a worker tries its languages, what is not known yet is available without a version: a run of it waits.
    """
    rows = AvailableLanguage.objects.in_bulk()
    reason = _reason() if any(key not in rows for key in languages.LANGUAGES) else ""
    return [_availability(language, rows.get(key), reason) for key, language in languages.LANGUAGES.items()]


def availability_of(language: languages.Language) -> Availability:
    row = AvailableLanguage.objects.filter(key=language.key).first()
    return _availability(language, row, "" if row else _reason())


def _availability(language: languages.Language, row: AvailableLanguage | None, reason: str) -> Availability:
    if row is None:
        return Availability(language, None, reason.format(language.name))
    if row.switched_off_at is not None:
        return Availability(language, None, f"{language.name} is switched off here. {row.switched_off_reason}".strip())
    if row.fault:
        return Availability(language, None, f"{language.name} does not work here at present: {row.fault}")
    return Availability(language, row.version, "")


NOT_INSTALLED = "{} is not installed where programs run here."


def _reason() -> str:
    """Why a language that no worker reported is not available; `{}` stands for its name. Empty while one is trying."""
    live = list(Worker.objects.filter(seen_at__gte=timezone.now() - WORKER_SILENCE))
    if any(worker.sandbox for worker in live):
        return "" if any(worker.sandbox and worker.tried_at is None for worker in live) else NOT_INSTALLED
    if live:
        return "Programs cannot run here yet: no worker has a sandbox. /health/ready tells who runs this server why."
    return "No worker is running, so programs cannot run here yet."


_backend_lock = threading.Lock()


@functools.cache
def _backend() -> Backend:
    """Parked sandboxes before the real ones, unless SANDBOX_POOL_MAX is 0."""
    found = bare_backend()
    if not settings.SANDBOX_POOL_MAX:
        return found
    pool = Pool(found, minimum=settings.SANDBOX_POOL_MIN, maximum=settings.SANDBOX_POOL_MAX)
    for language in ("python", "c"):
        # Python has sandboxes of its own; those of C serve every other light language.
        pool.expect(RUN, language)
    return pool


@functools.cache
def bare_backend() -> Backend:
    """What makes this worker's sandboxes, without those that are parked. Raises SandboxFault with the remedy."""
    return choose_backend(
        settings.SANDBOX_BACKEND,
        hidden=(settings.BASE_DIR, settings.DATA_DIR),
        image=settings.SANDBOX_IMAGE,
        runtime=settings.SANDBOX_RUNTIME,
    )


def backend() -> Backend:
    """This worker's sandbox. Raises SandboxFault with the remedy when there is none."""
    with _backend_lock:
        return _backend()


# What to do about this worker's sandbox, which does not answer; empty while it does.
_remedy = ""
_has_tried = False
_row_lock = threading.Lock()


def note_sandbox(remedy: str) -> None:
    """Tell everybody at once that this worker's sandbox does not answer, or, with an empty remedy, that it does."""
    global _remedy
    _remedy = remedy
    _write_down()


def report_worker() -> bool:
    """Write down that this worker lives, what it runs programs in, and, once it has a sandbox, its languages.

    Returns whether its languages are still to be tried, which trials.py does meanwhile.
    """
    global _slots
    sandbox = _write_down()
    _slots = count_slots()
    if not sandbox or _has_tried:
        return False
    failures = backend().failures()
    if failures is None and settings.TRY_LANGUAGES:
        return True
    _report_languages(ask_versions(backend()))
    for key, reason in (failures or {}).items():
        keep_self_test(key, "", reason)
    note_tried()
    return False


def note_tried() -> None:
    """From now on, a language that this worker did not report is not installed here."""
    global _has_tried
    _has_tried = True
    _write_down()


def _write_down() -> str:
    """This worker's row as it is now; returns the kind of its sandbox."""
    # One thread at a time, or the reporter would write over what was noted while it looked.
    with _row_lock:
        sandbox, detail = "", _remedy
        if not detail:
            try:
                sandbox = backend().name
            except SandboxFault as fault:
                detail = fault.remedy
        now = timezone.now()
        known = {"sandbox": sandbox, "detail": detail, "slots": settings.WORKER_CONCURRENCY, "seen_at": now}
        Worker.objects.update_or_create(name=WORKER_NAME, defaults={**known, "tried_at": now if _has_tried else None})
    answers.forget(LANGUAGES)
    return sandbox


def has_fit_colleague() -> bool:
    """Whether another worker has a sandbox."""
    live = Worker.objects.filter(seen_at__gte=timezone.now() - WORKER_SILENCE)
    return live.exclude(sandbox="").exclude(name=WORKER_NAME).exists()


def count_slots() -> int:
    """How many programs all workers together run at once."""
    live = Worker.objects.filter(seen_at__gte=timezone.now() - WORKER_SILENCE).exclude(sandbox="")
    return live.aggregate(slots=Sum("slots"))["slots"] or 0


_slots = 0


def known_slots() -> int:
    """The same as this worker last saw it, its own among them."""
    return max(_slots, settings.WORKER_CONCURRENCY)


@transaction.atomic
def _report_languages(versions: dict[str, str]) -> None:
    """Write down what answers. A fault stands until the version changes or a self-test finds it gone."""
    now = timezone.now()
    known = AvailableLanguage.objects.in_bulk()
    for key, version in versions.items():
        row = known.get(key) or AvailableLanguage(key=key)
        if row.version != version[:120]:
            row.version, row.fault = version[:120], ""
        row.checked_at = now
        row.save()
    AvailableLanguage.objects.exclude(key__in=versions).filter(switched_off_at=None).delete()
    answers.forget(LANGUAGES)


def withdraw_untried(versions: dict[str, str]) -> None:
    """Offer no language whose tool is gone, or has another version than the one that was tried."""
    for row in AvailableLanguage.objects.filter(switched_off_at=None):
        if versions.get(row.key, "")[:120] != row.version or row.key not in versions:
            row.delete()
    answers.forget(LANGUAGES)


def keep_self_test(key: str, version: str, fault: str) -> None:
    """What a self-test found: no `fault` makes the language available, one makes it unavailable and says why."""
    AvailableLanguage.objects.update_or_create(
        key=key, defaults={"version": version[:120], "fault": fault[:500], "checked_at": timezone.now()}
    )
    answers.forget(LANGUAGES)


def switch_off(key: str, reason: str) -> bool:
    on = AvailableLanguage.objects.filter(key=key, switched_off_at=None)
    is_switched = bool(on.update(switched_off_at=timezone.now(), switched_off_reason=reason))
    answers.forget(LANGUAGES)
    return is_switched


def switch_on(key: str) -> bool:
    """Once it is on, the next report of the workers tells whether it still runs anywhere."""
    off = AvailableLanguage.objects.filter(key=key).exclude(switched_off_at=None)
    is_switched = bool(off.update(switched_off_at=None, switched_off_reason=""))
    answers.forget(LANGUAGES)
    return is_switched


def forget_worker(name: str) -> None:
    Worker.objects.filter(name=name).delete()
    answers.forget(LANGUAGES)


def forget_silent_workers() -> None:
    """Remove workers that were not seen for a day."""
    Worker.objects.filter(seen_at__lt=timezone.now() - timedelta(days=1)).delete()


def forget_all_workers() -> None:
    """At the start of the embedded server: every worker on record is of a process that is gone."""
    Worker.objects.all().delete()
    answers.forget(LANGUAGES)
