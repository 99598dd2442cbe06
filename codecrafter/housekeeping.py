"""The list of periodic work. `celery beat` sends it to the workers; an embedded server does it in a thread."""

from __future__ import annotations

import heapq
import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.core.management import call_command
from django.db import close_old_connections
from django.utils.module_loading import import_string

logger = logging.getLogger(__name__)

TASK = "codecrafter.housekeeping"
# The cache key of when any process last did any periodic work; health.py reads it.
DONE_AT = "housekeeping-done-at"


@dataclass(frozen=True)
class Periodic:
    """An item of the list. `work` is the dotted name of a function without arguments that is safe to repeat."""

    work: str
    every_seconds: int


HOUR = 3600
PERIODIC = (
    Periodic("execution.upkeep.reap_expired_leases", 10),
    Periodic("execution.upkeep.republish", 15),
    Periodic("sessions_app.tasks.compact_due", 60),
    Periodic("sessions_app.document.quarantine.forget_quarantined", HOUR),
    Periodic("execution.upkeep.forget_silent_workers", HOUR),
    Periodic("activity.log.purge", HOUR),
    Periodic("accounts.actions.forget_deleted", HOUR),
    Periodic("sessions_app.own_data.forget_archived", HOUR),
    Periodic("sessions_app.sharing.forget_guests", HOUR),
    Periodic("execution.retention.forget_surplus_runs", 60),
    Periodic("execution.retention.forget_old_runs", HOUR),
    Periodic("codecrafter.housekeeping.flush_expired_tokens", 24 * HOUR),
    Periodic("codecrafter.housekeeping.clear_expired_logins", 24 * HOUR),
)


def flush_expired_tokens() -> None:
    call_command("flushexpiredtokens")


def clear_expired_logins() -> None:
    call_command("clearsessions")


def beat_schedule() -> dict[str, dict[str, Any]]:
    """Return PERIODIC as a schedule for Celery beat. A message expires when the next one is due."""
    return {
        periodic.work: {
            "task": TASK,
            "schedule": periodic.every_seconds,
            "args": (periodic.work,),
            "options": {"expires": periodic.every_seconds},
        }
        for periodic in PERIODIC
    }


def work(name: str) -> None:
    """Do one item of PERIODIC, given by its dotted name."""
    if name not in {periodic.work for periodic in PERIODIC}:
        raise ValueError(f"{name} is not in the list of periodic work")
    import_string(name)()
    try:
        cache.set(DONE_AT, time.time(), timeout=None)
    except Exception:
        logger.warning("%s was done, but the cache is unavailable and does not know", name, exc_info=True)


class Housekeeper(threading.Thread):
    """Does the periodic work in the embedded server, starting a minute after the server."""

    def __init__(self) -> None:
        super().__init__(name="housekeeper", daemon=True)
        self._stop = threading.Event()

    def stop(self) -> None:
        self._stop.set()

    def run(self) -> None:
        start = time.monotonic()
        due = [(start + min(periodic.every_seconds, 60), index) for index, periodic in enumerate(PERIODIC)]
        heapq.heapify(due)
        while not self._stop.wait(max(0.0, due[0][0] - time.monotonic())):
            _, index = due[0]
            heapq.heapreplace(due, (time.monotonic() + PERIODIC[index].every_seconds, index))
            try:
                work(PERIODIC[index].work)
            except Exception:
                logger.exception("periodic work %s failed; it is tried again when it is next due", PERIODIC[index].work)
            finally:
                close_old_connections()
