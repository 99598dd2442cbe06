"""GET /health says that this process is alive; GET /health/ready checks its dependencies, each within a timeout.

Readiness is 503 only if no request could be served well: the database is not responding, migrations are pending, or
the server is draining. Any other failure is `degraded`, with 200.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from activity import log
from codecrafter import housekeeping
from codecrafter.operators import is_operator
from execution.availability import WORKER_SILENCE
from execution.models import Run, Status, Worker
from realtime import registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

logger = logging.getLogger(__name__)

# The server sets this when told to stop, so that load balancers go elsewhere while it finishes its requests.
draining = False

CHECK_SECONDS = 2.0
# However often the page is requested, the dependencies are checked once in this time.
REPORT_SECONDS = 1.0
# In a queue that moves, no run waits longer.
QUEUE_WAIT = timedelta(seconds=60)
# Some of the periodic work is due every ten seconds, and none of it takes this long.
UPKEEP_SILENCE_SECONDS = 120
_began_at = time.time()


class State(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """The result of one check. `detail` is for operators and contains no address, name or secret."""

    state: State
    detail: str = ""


def _database() -> Finding:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return Finding(State.OK, connection.vendor)


@functools.cache
def _newest_migrations() -> frozenset[tuple[str, str]]:
    """Return the newest migration of each app in the installed code, which does not change while the process lives."""
    return frozenset(MigrationLoader(None, ignore_no_migrations=True).graph.leaf_nodes())


def _migrations() -> Finding:
    pending = sorted({app for app, _ in _newest_migrations() - set(MigrationRecorder(connection).applied_migrations())})
    if pending:
        return Finding(State.FAILED, f"pending for {', '.join(pending)}: run manage.py migrate")
    return Finding(State.OK)


def _cache() -> Finding:
    cache.set("health", "1", timeout=10)
    return Finding(State.OK if cache.get("health") == "1" else State.FAILED)


def _channel_layer() -> Finding:
    """Check Redis over a new connection, because those of the layer belong to its event loops."""
    if not settings.REDIS_URL:
        return Finding(State.OK, "in this process")
    from redis import Redis

    with Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1) as client:
        client.ping()
    if registry.is_degraded():
        return Finding(State.DEGRADED, "messages of this process are not delivered: live rooms read the log instead")
    return Finding(State.OK, "Redis")


def _broker() -> Finding:
    if settings.EMBEDDED:
        return Finding(State.OK, "in this process")
    from kombu import Connection

    with Connection(settings.CELERY_BROKER_URL, connect_timeout=1) as broker:
        broker.ensure_connection(max_retries=0)
        return Finding(State.OK, broker.transport.driver_type)


def _activity_log() -> Finding:
    is_fine, detail = log.store().status()
    return Finding(State.OK if is_fine else State.DEGRADED, detail)


def _worker() -> Finding:
    now = timezone.now()
    live = Worker.objects.filter(seen_at__gte=now - WORKER_SILENCE).count()
    if not live:
        return Finding(State.FAILED, "no worker was seen recently: start one with celery -A codecrafter worker")
    oldest = (
        Run.objects.filter(status=Status.QUEUED).order_by("created_at").values_list("created_at", flat=True).first()
    )
    if oldest and now - oldest > QUEUE_WAIT:
        return Finding(State.DEGRADED, f"the oldest run in the queue has waited for {(now - oldest).seconds} s")
    return Finding(State.OK, f"{live} seen recently")


def _sandbox() -> Finding:
    """Check what the workers have reported. This process never contacts a container engine."""
    live = Worker.objects.filter(seen_at__gte=timezone.now() - WORKER_SILENCE).values_list("sandbox", "detail")
    kinds = sorted({sandbox for sandbox, _ in live if sandbox})
    lacking = [detail for sandbox, detail in live if not sandbox]
    if not kinds:
        return Finding(State.FAILED, (lacking or ["no worker has reported one"])[0])
    if lacking:
        return Finding(State.DEGRADED, f"{len(lacking)} of {len(live)} workers have none: {lacking[0]}")
    return Finding(State.OK, ", ".join(kinds))


def _upkeep() -> Finding:
    """Check that some process does the periodic work, whichever thread or process died or hangs."""
    silence = time.time() - max(cache.get(housekeeping.DONE_AT) or 0, _began_at)
    if silence <= UPKEEP_SILENCE_SECONDS:
        return Finding(State.OK)
    remedy = "restart this server" if settings.EMBEDDED else "start celery beat, or restart the workers"
    return Finding(State.DEGRADED, f"no periodic work for {silence:.0f} s: {remedy}")


CHECKS: dict[str, Callable[[], Finding]] = {
    "database": _database,
    "migrations": _migrations,
    "cache": _cache,
    "channel_layer": _channel_layer,
    "broker": _broker,
    "activity_log": _activity_log,
    "worker": _worker,
    "sandbox": _sandbox,
    "upkeep": _upkeep,
}
# Nothing can be served without these.
ESSENTIAL = ("database", "migrations")


class _Checker:
    """Runs the checks in parallel, each in a thread, and never one twice at a time.

    A check that hangs is reported as failed and abandoned. It is not started again while it hangs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Future[Finding]] = {}
        self._states: dict[str, State] = {}
        self._report: dict[str, Finding] = {}
        self._reported_at = float("-inf")

    def report(self) -> dict[str, Finding]:
        with self._lock:
            if time.monotonic() - self._reported_at > REPORT_SECONDS:
                self._report = self._ask_all()
                self._reported_at = time.monotonic()
            return self._report

    def forget(self) -> None:
        with self._lock:
            self._reported_at = float("-inf")

    def _ask_all(self) -> dict[str, Finding]:
        until = time.monotonic() + CHECK_SECONDS
        for name, check in CHECKS.items():
            if name not in self._running or self._running[name].done():
                answer: Future[Finding] = Future()
                self._running[name] = answer
                threading.Thread(target=_answer, args=(check, answer), name=f"health {name}", daemon=True).start()
        return {name: self._wait(name, max(0.0, until - time.monotonic())) for name in CHECKS}

    def _wait(self, name: str, seconds: float) -> Finding:
        error: Exception | None = None
        try:
            finding = self._running[name].result(timeout=seconds)
        except FutureTimeout as timeout:
            finding, error = Finding(State.FAILED, f"no response within {CHECK_SECONDS:g} s"), timeout
        except Exception as failure:
            # The text may contain hosts and names, so it goes to the log only.
            finding, error = Finding(State.FAILED, type(failure).__name__), failure
        if finding.state != self._states.get(name, State.OK):
            logger.warning("%s is %s: %s", name, finding.state, finding.detail, exc_info=error)
        self._states[name] = finding.state
        return finding


def _answer(check: Callable[[], Finding], answer: Future[Finding]) -> None:
    try:
        answer.set_result(check())
    except Exception as error:
        answer.set_exception(error)
    finally:
        connection.close()


checker = _Checker()


def overall(findings: dict[str, Finding]) -> State:
    if draining or any(findings[name].state is State.FAILED for name in ESSENTIAL):
        return State.FAILED
    if any(finding.state is not State.OK for finding in findings.values()):
        return State.DEGRADED
    return State.OK


@never_cache
@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """Report that this process is alive, without checking anything else."""
    return JsonResponse({"status": State.OK})


@never_cache
@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    findings = checker.report()
    status = overall(findings)
    body: dict[str, Any] = {"status": status, "draining": draining}
    if _may_see_details(request, findings):
        body["checks"] = {
            name: {"status": finding.state, "detail": finding.detail} for name, finding in findings.items()
        }
    else:
        body["checks"] = {name: {"status": finding.state} for name, finding in findings.items()}
    return JsonResponse(body, status=503 if status is State.FAILED else 200)


def _may_see_details(request: HttpRequest, findings: dict[str, Finding]) -> bool:
    if is_operator(request):
        return True
    # Who is signed in is in the database, which this page must not wait for.
    if any(findings[name].state is State.FAILED for name in ESSENTIAL):
        return False
    return request.user.is_authenticated and request.user.is_moderator
