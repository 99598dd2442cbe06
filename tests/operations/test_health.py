from __future__ import annotations

import re
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from django.utils import timezone

from codecrafter import health, housekeeping
from codecrafter.health import Finding, State
from execution import upkeep
from execution.models import Run, Worker
from tests.live import LiveServer
from tests.services.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client
    from pytest_django.fixtures import Settings

    from accounts.models import User

# The checks ask in threads of their own, which see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)

OUTSIDE = {"REMOTE_ADDR": "203.0.113.7"}


@pytest.fixture
def worker(transactional_db: None) -> Worker:
    housekeeping.work("execution.upkeep.republish")
    return Worker.objects.create(name="here-1", sandbox="bubblewrap", seen_at=timezone.now())


def ready(client: Client, **extra: Any) -> tuple[int, dict[str, Any]]:
    health.checker.forget()
    response = client.get("/health/ready", **extra)
    return response.status_code, response.json()


def test_alive_asks_nothing(client: Client, django_assert_num_queries: Callable[[int], Any]) -> None:
    with django_assert_num_queries(0):
        response = client.get("/health", **OUTSIDE)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert "no-store" in response["Cache-Control"]


def test_everything_well_is_ok_by_name(client: Client, worker: Worker) -> None:
    status, body = ready(client)
    assert status == 200, body
    assert body["status"] == "ok", body
    assert {name: check["status"] for name, check in body["checks"].items()} == dict.fromkeys(
        ["database", "migrations", "cache", "channel_layer", "broker", "activity_log", "worker", "sandbox", "upkeep"],
        "ok",
    )
    assert body["checks"]["sandbox"]["detail"] == "bubblewrap"


def test_without_a_worker_the_server_is_degraded_and_serves(client: Client) -> None:
    status, body = ready(client)
    assert (status, body["status"]) == (200, "degraded")
    assert body["checks"]["worker"]["status"] == body["checks"]["sandbox"]["status"] == "failed"


def test_a_worker_that_fell_silent_does_not_count(client: Client, worker: Worker) -> None:
    Worker.objects.update(seen_at=timezone.now() - timedelta(minutes=5))
    assert ready(client)[1]["checks"]["worker"]["status"] == "failed"


def test_a_worker_without_a_sandbox_tells_operators_the_remedy(client: Client, worker: Worker) -> None:
    Worker.objects.update(sandbox="", detail="apt-get install bubblewrap")
    status, body = ready(client)
    assert (status, body["status"]) == (200, "degraded")
    assert body["checks"]["sandbox"] == {"status": "failed", "detail": "apt-get install bubblewrap"}


def test_a_queue_that_does_not_move_is_degraded(client: Client, worker: Worker, alice: User) -> None:
    run = Run.objects.create(user=alice, language="python")
    assert ready(client)[1]["checks"]["worker"]["status"] == "ok"
    Run.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(days=2))
    assert ready(client)[1]["checks"]["worker"]["status"] == "degraded"


def test_periodic_work_that_nobody_does_is_degraded(client: Client, worker: Worker) -> None:
    assert ready(client)[1]["checks"]["upkeep"] == {"status": "ok", "detail": ""}
    with time_machine.travel(timezone.now() + timedelta(minutes=5)):
        found = ready(client)[1]["checks"]["upkeep"]
        assert found["status"] == "degraded"
        assert re.fullmatch(r"no periodic work for 30\d s: restart this server", found["detail"])
        housekeeping.work("execution.upkeep.republish")
        assert ready(client)[1]["checks"]["upkeep"]["status"] == "ok"


def test_periodic_work_that_fails_does_not_count_as_done(
    client: Client, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OSError("no")

    monkeypatch.setattr(upkeep, "republish", fail)
    with time_machine.travel(timezone.now() + timedelta(minutes=5)):
        with pytest.raises(OSError, match="no"):
            housekeeping.work("execution.upkeep.republish")
        assert ready(client)[1]["checks"]["upkeep"]["status"] == "degraded"


def test_pending_migrations_are_not_ready(client: Client, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer version of the code than of the database."""
    newest = health._newest_migrations()
    monkeypatch.setattr(health, "_newest_migrations", lambda: newest | {("execution", "9999_future")})
    status, body = ready(client)
    assert (status, body["status"]) == (503, "failed")
    assert body["checks"]["migrations"]["detail"] == "pending for execution: run manage.py migrate"


def test_draining_is_not_ready_and_still_alive(client: Client, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "draining", True)
    status, body = ready(client)
    assert (status, body["status"], body["draining"]) == (503, "failed", True)
    assert client.get("/health").status_code == 200


def test_dead_servers_degrade_and_do_not_show_their_passwords(
    client: Client, worker: Worker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each client's own time-out ends the wait, however busy this machine is.
    monkeypatch.setattr(health, "CHECK_SECONDS", 60)
    dead = f"hunter22@127.0.0.1:{free_port()}"
    settings.REDIS_URL = f"redis://:{dead}/0"
    settings.EMBEDDED, settings.CELERY_BROKER_URL = False, f"amqp://reader:{dead}//"
    settings.MONGODB_URL = f"mongodb://reader:{dead}/codecrafter"
    response = client.get("/health/ready")
    states = {name: check["status"] for name, check in response.json()["checks"].items()}
    assert response.status_code == 200
    assert states["channel_layer"] == states["broker"] == "failed"
    assert states["activity_log"] == "degraded"
    assert states["database"] == states["worker"] == "ok"
    assert "hunter22" not in response.text
    assert "127.0.0.1" not in response.text


def test_a_check_that_hangs_is_left_behind_and_not_joined(
    client: Client, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, entered = threading.Event(), []

    def hang() -> Finding:
        entered.append(1)
        let_go.wait(60)
        return Finding(State.OK)

    monkeypatch.setattr(health, "CHECK_SECONDS", 0.5)
    monkeypatch.setitem(health.CHECKS, "cache", hang)
    for _ in range(3):
        status, body = ready(client)
        assert (status, body["checks"]["cache"]["status"]) == (200, "failed")
    assert len(entered) == 1
    let_go.set()
    monkeypatch.setattr(health, "CHECK_SECONDS", 30)
    assert ready(client)[1]["checks"]["cache"]["status"] == "ok"


def test_the_checks_run_side_by_side(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits for all the others, which one after the other would never end."""
    together = threading.Barrier(len(health.CHECKS))

    def meet() -> Finding:
        together.wait(30)
        return Finding(State.OK)

    monkeypatch.setattr(health, "CHECK_SECONDS", 30)
    monkeypatch.setattr(health, "CHECKS", dict.fromkeys(health.CHECKS, meet))
    assert ready(client)[1]["status"] == "ok"


def test_many_who_ask_at_once_cost_one_round(client: Client, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def count() -> Finding:
        asked.append(time.monotonic())
        return Finding(State.OK)

    monkeypatch.setattr(health, "REPORT_SECONDS", 60)
    monkeypatch.setitem(health.CHECKS, "cache", count)
    health.checker.forget()
    for _ in range(20):
        client.get("/health/ready")
    assert len(asked) == 1


def test_strangers_see_names_and_no_details(client: Client, worker: Worker, alice: User, moderator: User) -> None:
    forwarded = {"HTTP_X_FORWARDED_FOR": "203.0.113.7"}
    for seen_by in (OUTSIDE, forwarded):
        _, body = ready(client, **seen_by)
        assert set(body["checks"]) == set(health.CHECKS)
        assert all(set(check) == {"status"} for check in body["checks"].values())
    client.force_login(alice)
    assert "detail" not in ready(client, **OUTSIDE)[1]["checks"]["database"]
    client.force_login(moderator)
    assert "detail" in ready(client, **OUTSIDE)[1]["checks"]["database"]


def test_the_token_opens_the_details(client: Client, worker: Worker, settings: Settings) -> None:
    settings.METRICS_TOKEN = "scrape-me"
    _, body = ready(client, **OUTSIDE, HTTP_AUTHORIZATION="Bearer scrape-me")
    assert "detail" in body["checks"]["database"]


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
def test_health_is_only_read(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405


@pytest.mark.slow
def test_a_start_leaves_no_error_in_the_log(tmp_path):
    with LiveServer(tmp_path / "data") as started:
        started.wait_for_languages()
        assert "Traceback" not in started.log() and "ERROR" not in started.log(), started.log()
