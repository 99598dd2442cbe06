from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

import realtime.metrics  # noqa: F401 (the server imports it with the sockets)
from codecrafter.metrics import serve_worker_metrics
from tests.services.servers import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from django.test import AsyncClient, Client
    from pytest_django.fixtures import Settings

pytestmark = pytest.mark.django_db

OUTSIDE = {"REMOTE_ADDR": "203.0.113.7"}


def counted(**labels: str) -> float:
    return REGISTRY.get_sample_value("http_requests_total", labels) or 0


def test_loopback_reads_every_series(client: Client) -> None:
    client.get("/health")
    response = client.get("/metrics")
    assert response.status_code == 200
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    for name in (
        "http_requests",
        "http_request_duration_seconds",
        "active_websocket_connections",
        "code_executions",
        "run_duration_seconds",
        "run_queue_seconds",
        "runs_active",
        "database_connections_active",
        "memory_usage_bytes",
        "cpu_usage_percent",
        "activity_entries_dropped",
    ):
        assert name in families, name
    assert families["memory_usage_bytes"].samples[0].value > 1024 * 1024
    assert any(name.startswith("django_") for name in families)


@pytest.mark.parametrize(
    "caller",
    [
        OUTSIDE,
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_FORWARDED": "for=127.0.0.1"},
        {"HTTP_X_REAL_IP": "127.0.0.1"},
        {"HTTP_AUTHORIZATION": "Bearer ", **OUTSIDE},
        {"HTTP_AUTHORIZATION": "Bearer wrong", **OUTSIDE},
        {"HTTP_AUTHORIZATION": "Basic scrape-me", **OUTSIDE},
        {"HTTP_AUTHORIZATION": "scrape-me", **OUTSIDE},
        {"HTTP_AUTHORIZATION": "Bearer \xff", **OUTSIDE},
        {"REMOTE_ADDR": ""},
        {"REMOTE_ADDR": "unix"},
    ],
)
@pytest.mark.parametrize("token", ["", "scrape-me"])
def test_to_anybody_else_there_is_no_such_page(
    client: Client, settings: Settings, caller: dict[str, Any], token: str
) -> None:
    settings.METRICS_TOKEN = token
    assert client.get("/metrics", **caller).status_code == 404


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.9.9", "::1"])
def test_every_loopback_address_is_home(client: Client, peer: str) -> None:
    assert client.get("/metrics", REMOTE_ADDR=peer).status_code == 200


def test_the_token_opens_it_from_anywhere(client: Client, settings: Settings) -> None:
    settings.METRICS_TOKEN = "scrape-me"
    assert client.get("/metrics", HTTP_AUTHORIZATION="Bearer scrape-me", **OUTSIDE).status_code == 200


def test_a_route_is_its_pattern_and_never_a_path(client: Client) -> None:
    before = counted(method="GET", route="unmatched", status="404")
    for number in range(3):
        client.get(f"/no/such/page/{number}")
    assert counted(method="GET", route="unmatched", status="404") - before == 3
    client.get("/sessions/2f9d3d4e-8a2c-4b53-9a57-1d0c3f0e6f11")
    text = client.get("/metrics").text
    assert 'route="sessions/<uuid:session_id>"' in text
    assert "2f9d3d4e" not in text
    assert "/no/such/page" not in text


def test_unknown_methods_are_one_series(client: Client) -> None:
    before = counted(method="OTHER", route="health", status="405")
    for method in ("BREW", "PROPFIND", "TRACE"):
        client.generic(method, "/health")
    assert counted(method="OTHER", route="health", status="405") - before == 3


def test_the_home_page_has_a_route_of_its_own(client: Client) -> None:
    before = counted(method="GET", route="/", status="200")
    client.get("/")
    assert counted(method="GET", route="/", status="200") - before == 1


async def test_requests_of_the_asgi_server_are_counted(async_client: AsyncClient) -> None:
    before = counted(method="GET", route="health", status="200")
    await async_client.get("/health")
    assert counted(method="GET", route="health", status="200") - before == 1


def test_a_worker_serves_its_own_series(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    settings.HOST, settings.WORKER_METRICS_PORT = "127.0.0.1", free_port()
    serve_worker_metrics()
    with urllib.request.urlopen(f"http://127.0.0.1:{settings.WORKER_METRICS_PORT}/metrics", timeout=30) as answer:
        assert "code_executions_total" in answer.read().decode()
    # The second worker on a host goes without, and works.
    serve_worker_metrics()
    assert "no worker metrics on port" in caplog.text


@pytest.mark.slow
def test_several_processes_are_added_up(tmp_path: Path) -> None:
    """With PROMETHEUS_MULTIPROC_DIR one process's answer counts what others did."""
    script = """
import django; django.setup()
from django.test import Client
for _ in range(2): Client(headers={"host": "localhost"}).get("/health")
print(Client(headers={"host": "localhost"}).get("/metrics").text)
"""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
        "DATA_DIR": str(tmp_path),
    }
    for run in (1, 2):
        answer = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        ).stdout
        assert f'http_requests_total{{method="GET",route="health",status="200"}} {run * 2}.0' in answer
        assert "memory_usage_bytes " in answer
