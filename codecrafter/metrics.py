"""Prometheus metrics of requests and of this process, served with those that the apps register themselves."""

from __future__ import annotations

import asyncio
import logging
import os
import time
import weakref
from typing import TYPE_CHECKING

import prometheus_client
import psutil
from django.conf import settings
from django.db.backends.signals import connection_created
from django.http import Http404, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from codecrafter.operators import is_operator
from web.middleware import AsyncMiddleware

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

logger = logging.getLogger(__name__)

http_requests_total = Counter("http_requests_total", "Requests answered.", ["method", "route", "status"])
http_request_duration_seconds = Histogram(
    "http_request_duration_seconds",
    "From the first middleware until the response is ready to be sent.",
    ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# nginx's status for a client that closed the connection before the response.
_CLIENT_CLOSED = 499


class RequestMetricsMiddleware(AsyncMiddleware):
    """The first middleware. Labels come from the URL table and a fixed list, so that callers cannot create series."""

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        try:
            response = await self.get_response(request)
        except asyncio.CancelledError:
            _count(request, _CLIENT_CLOSED, time.perf_counter() - started)
            raise
        _count(request, response.status_code, time.perf_counter() - started)
        return response


def _count(request: HttpRequest, status: int, seconds: float) -> None:
    method = request.method if request.method in _METHODS else "OTHER"
    route = _route(request, status)
    http_requests_total.labels(method, route, status).inc()
    http_request_duration_seconds.labels(method, route).observe(seconds)


def _route(request: HttpRequest, status: int) -> str:
    """Return the pattern that matched, such as "sessions/<uuid:session_id>"; never the path."""
    if match := request.resolver_match:
        return match.route or "/"
    # Static files are served by middleware, before URLs are resolved.
    return "static" if request.path.startswith(settings.STATIC_URL) and status < 400 else "unmatched"


_open_connections: weakref.WeakSet[BaseDatabaseWrapper] = weakref.WeakSet()


def _remember_connection(*, connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    _open_connections.add(connection)


connection_created.connect(_remember_connection, dispatch_uid="codecrafter.metrics")


class ProcessCollector(Collector):
    """Collects at scrape time. `cpu_usage_percent` is the mean since the last scrape; 100 is one busy core."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._process.cpu_percent()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        active = sum(1 for wrapper in list(_open_connections) if wrapper.connection is not None)
        yield GaugeMetricFamily(
            "database_connections_active", "Database connections that threads of this process hold.", value=active
        )
        yield GaugeMetricFamily(
            "memory_usage_bytes", "Resident memory of this process.", value=self._process.memory_info().rss
        )
        yield GaugeMetricFamily("cpu_usage_percent", "CPU time of this process.", value=self._process.cpu_percent())


_process_collector = ProcessCollector()
REGISTRY.register(_process_collector)


def _registry() -> CollectorRegistry:
    """Return the registry: sums over the processes that share PROMETHEUS_MULTIPROC_DIR, or this process alone."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    registry.register(_process_collector)
    return registry


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer GET /metrics to operators, and 404 to anybody else."""
    if not is_operator(request):
        raise Http404
    return HttpResponse(
        prometheus_client.generate_latest(_registry()), content_type=prometheus_client.CONTENT_TYPE_LATEST
    )


def serve_worker_metrics() -> None:
    """Serve a worker's metrics on HOST:WORKER_METRICS_PORT, unless that is 0. Called once when a worker starts."""
    if not settings.WORKER_METRICS_PORT:
        return
    try:
        prometheus_client.start_http_server(settings.WORKER_METRICS_PORT, settings.HOST, _registry())
    except OSError as error:
        # A second worker on this host runs without metrics.
        logger.warning("no worker metrics on port %d: %s", settings.WORKER_METRICS_PORT, error.strerror)
