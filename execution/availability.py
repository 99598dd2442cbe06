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
from django.utils import timezone

from execution.models import AvailableLanguage, Worker
from execution.sandbox.backends import choose_backend
from execution.sandbox.errors import SandboxFault
from execution.sandbox.limits import RUN
from execution.sandbox.pool import Pool
from sessions_app import languages

if TYPE_CHECKING:
    from execution.sandbox.backends import Backend

logger = logging.getLogger(__name__)
WORKER_NAME = f"{socket.gethostname()}-{os.getpid()}"
# A worker that was not seen for so long is gone.
WORKER_SILENCE = timedelta(seconds=60)


@dataclass(frozen=True)
class Availability:
    language: languages.Language
    version: str | None
    unavailable_reason: str

    @property
    def available(self) -> bool:
        return self.version is not None


def available_languages() -> list[Availability]:
    """Every language of the table, in its order, with the version that runs here or why it does not."""
    versions = dict(AvailableLanguage.objects.values_list("key", "version"))
    missing = [language for language in languages.LANGUAGES.values() if language.key not in versions]
    reason = _reason() if missing else ""
    return [
        Availability(
            language, versions.get(language.key), "" if language.key in versions else reason.format(language.name)
        )
        for language in languages.LANGUAGES.values()
    ]


def is_available(language: languages.Language) -> bool:
    return AvailableLanguage.objects.filter(key=language.key).exists()


def why_unavailable(language: languages.Language) -> str:
    """One sentence for the person who pressed Run."""
    return _reason().format(language.name)


def _reason() -> str:
    """Why a language that is not available is not; `{}` stands for its name."""
    live = Worker.objects.filter(seen_at__gte=timezone.now() - WORKER_SILENCE)
    if any(worker.sandbox for worker in live):
        return "{} is not installed where programs run here."
    for worker in live:
        return f"Programs cannot run here yet. {worker.detail}".replace("{", "{{").replace("}", "}}")
    return "No worker is running, so programs cannot run here yet."


_backend_lock = threading.Lock()


@functools.cache
def _backend() -> Backend:
    """Parked sandboxes before the real ones, unless SANDBOX_POOL_MAX is 0."""
    found = _chosen_backend()
    if not settings.SANDBOX_POOL_MAX:
        return found
    pool = Pool(found, minimum=settings.SANDBOX_POOL_MIN, maximum=settings.SANDBOX_POOL_MAX)
    pool.expect(RUN)
    return pool


def _chosen_backend() -> Backend:
    return choose_backend(settings.SANDBOX_BACKEND, hidden=(settings.BASE_DIR, settings.DATA_DIR))


def backend() -> Backend:
    """This worker's sandbox. Raises SandboxFault with the remedy when there is none."""
    with _backend_lock:
        return _backend()


def report_worker() -> None:
    """Write down that this worker lives, what it runs programs in, and, when it starts, its languages."""
    sandbox, detail = "", ""
    try:
        sandbox = backend().name
    except SandboxFault as fault:
        detail = fault.remedy
    row, created = Worker.objects.update_or_create(
        name=WORKER_NAME, defaults={"sandbox": sandbox, "detail": detail, "seen_at": timezone.now()}
    )
    if created and row.sandbox:
        _report_languages(backend().versions())


@transaction.atomic
def _report_languages(versions: dict[str, str]) -> None:
    now = timezone.now()
    for key, version in versions.items():
        AvailableLanguage.objects.update_or_create(key=key, defaults={"version": version[:120], "checked_at": now})
    AvailableLanguage.objects.exclude(key__in=versions).delete()


def forget_worker(name: str) -> None:
    Worker.objects.filter(name=name).delete()


def forget_silent_workers() -> None:
    """Remove workers that were not seen for a day."""
    Worker.objects.filter(seen_at__lt=timezone.now() - timedelta(days=1)).delete()


def forget_all_workers() -> None:
    """At the start of the embedded server: every worker on record is of a process that is gone."""
    Worker.objects.all().delete()
