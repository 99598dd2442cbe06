"""What every worker does beside its tasks, and the worker that lives in the embedded server."""

from __future__ import annotations

import logging
import threading
from typing import Any

from django.db import close_old_connections

from codecrafter.celery import app
from execution import availability, runner, upkeep

logger = logging.getLogger(__name__)

REPORT_SECONDS = 20


class Reporter(threading.Thread):
    """Writes down that this worker lives, which sandbox it has and which languages run in it."""

    def __init__(self) -> None:
        super().__init__(name="worker-reporter", daemon=True)
        self.first_report = threading.Event()
        self._stop = threading.Event()

    def stop(self) -> None:
        self._stop.set()
        availability.forget_worker(availability.WORKER_NAME)

    def run(self) -> None:
        while True:
            try:
                availability.report_worker()
            except Exception:
                logger.exception("this worker could not report itself; it tries again in %d s", REPORT_SECONDS)
            finally:
                close_old_connections()
                self.first_report.set()
            if self._stop.wait(REPORT_SECONDS):
                return


class EmbeddedWorker:
    """Celery's real worker in a thread of the web process, for the embedded default (broker memory://)."""

    def __init__(self, concurrency: int) -> None:
        self.reporter = Reporter()
        self._ready = threading.Event()
        self._controller = app.WorkController(
            pool="threads",
            concurrency=concurrency,
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
            ready_callback=self._on_ready,
        )
        self._thread = threading.Thread(target=self._controller.start, name="embedded-worker", daemon=True)

    def _on_ready(self, *args: Any) -> None:
        self._ready.set()

    def start(self) -> None:
        """Start, and take up what a killed server left: its runs and its broker's messages died with it."""
        availability.forget_all_workers()
        upkeep.reap_own_leases()
        self._thread.start()
        self._ready.wait(10)
        self.reporter.start()
        upkeep.republish_all()

    def stop(self) -> None:
        """Programs that still run are stopped, and their runs wait for the next start."""
        self.reporter.stop()
        runner.release_all()
        self._controller.stop()
        self._thread.join(5)
