"""The side jobs of every worker, and the worker inside the embedded server."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import close_old_connections, connection

from codecrafter.queues import UPKEEP
from execution import availability, runner, upkeep
from execution.trials import Trial

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger(__name__)

REPORT_SECONDS = 20
# For the reporter, for upkeep, and for interactive programs, which hold none while they wait for input.
OTHER_CONNECTIONS = 8


def make_room_for_connections() -> None:
    """Size the connection pool for this worker: each run needs one connection, and its companion another."""
    pool = connection.settings_dict["OPTIONS"].get("pool")
    if not pool:
        return
    need = 2 * settings.WORKER_CONCURRENCY + OTHER_CONNECTIONS
    pool["max_size"] = pool["max_size"] + need if settings.EMBEDDED else max(pool["max_size"], need)
    # A pool may already exist.
    connection.pool.resize(pool["min_size"], pool["max_size"])  # type: ignore[attr-defined]


class Reporter(threading.Thread):
    """Reports periodically that this worker is alive, its sandbox and the languages that run in it."""

    def __init__(self) -> None:
        super().__init__(name="worker-reporter", daemon=True)
        self.first_report = threading.Event()
        self._stopped = threading.Event()
        self._trial: Trial | None = None

    def stop(self) -> None:
        self._stopped.set()
        availability.forget_worker(availability.WORKER_NAME)

    def run(self) -> None:
        while True:
            try:
                if availability.report_worker() and not (self._trial and self._trial.is_alive()):
                    self._trial = Trial(self._stopped)
                    self._trial.start()
            except Exception:
                logger.exception("this worker could not report itself; it tries again in %d s", REPORT_SECONDS)
            finally:
                close_old_connections()
                self.first_report.set()
            if self._stopped.wait(REPORT_SECONDS):
                return


class _ThreadWorker:
    """Runs Celery's worker in a thread, for some of the queues."""

    def __init__(self, application: Celery, **options: Any) -> None:
        self._ready = threading.Event()
        self._controller = application.WorkController(
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
            # It would otherwise take over the only event loop of the process.
            use_eventloop=False,
            ready_callback=self._on_ready,
            **options,
        )
        self._thread = threading.Thread(target=self._controller.start, name=application.main, daemon=True)

    def _on_ready(self, *args: Any) -> None:
        self._ready.set()

    def start(self) -> None:
        self._thread.start()
        self._ready.wait(10)

    def stop(self) -> None:
        self._controller.stop()
        self._thread.join(5)


class UpkeepWorker(_ThreadWorker):
    """Does the upkeep tasks one at a time, however many runs there are."""

    def __init__(self, application: Celery) -> None:
        super().__init__(application, pool="solo", queues=[UPKEEP], hostname=f"{UPKEEP}@{availability.WORKER_NAME}")


class EmbeddedWorker(_ThreadWorker):
    """Runs programs inside the web process, in the embedded default (broker memory://)."""

    def __init__(self, application: Celery, upkeep: Celery, concurrency: int) -> None:
        super().__init__(application, pool="threads", concurrency=concurrency, exclude_queues=[UPKEEP])
        self.reporter = Reporter()
        self._upkeep = UpkeepWorker(upkeep)

    def start(self) -> None:
        """Start, and requeue runs that a killed server left, because its in-memory broker died with it."""
        make_room_for_connections()
        availability.forget_all_workers()
        upkeep.reap_own_leases()
        super().start()
        self._upkeep.start()
        self.reporter.start()
        upkeep.republish_all()

    def stop(self) -> None:
        """Stop programs that are still running. Their runs wait for the next start."""
        self.reporter.stop()
        runner.release_all()
        self._upkeep.stop()
        super().stop()
