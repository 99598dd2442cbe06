"""The queue of production: real RabbitMQ, PostgreSQL and Redis, worker processes that are killed."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.live import LiveServer


@pytest.fixture(scope="module")
def live(tmp_path_factory, postgres_url, redis_url, rabbitmq_url):
    settings = {
        "DATABASE_URL": postgres_url,
        "REDIS_URL": redis_url,
        "CELERY_BROKER_URL": rabbitmq_url,
        "RUN_LEASE_SECONDS": "3",
    }
    with LiveServer(tmp_path_factory.mktemp("rabbitmq") / "data", settings) as started:
        yield started


@pytest.fixture
def worker(live):
    started = live.worker("steady")
    started.start()
    live.wait_for_languages()
    yield started
    started.end()


def ended(person, job_id: str, seconds: float = 60) -> dict:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = person.call("GET", f"/api/execute/status/{job_id}", 200)
        if found["status"] not in ("queued", "running"):
            return found
        time.sleep(0.1)
    raise AssertionError(found)


def test_a_run_travels_through_rabbitmq(live, worker):
    alice = live.person("alice")
    done = alice.call("POST", "/api/execute?wait=30", 200, json={"language": "python", "code": "print(6 * 7)"})
    assert (done["status"], done["stdout"]) == ("completed", "42\n")


def test_a_stop_reaches_the_worker_process(live, worker):
    alice = live.person("alice")
    body = {"language": "python", "code": "import time; print('up', flush=True); time.sleep(14)"}
    job = alice.call("POST", "/api/execute", 202, json=body)["job_id"]
    while not alice.call("GET", f"/api/execute/{job}/output", 200)["total"]:
        time.sleep(0.05)
    alice.call("POST", f"/api/execute/{job}/cancel", 202)
    stopped = ended(alice, job)
    assert (stopped["status"], stopped["stdout"]) == ("cancelled", "up\n")


def test_a_run_whose_worker_is_killed_ends_on_another_worker(live, worker):
    alice = live.person("alice")
    worker.end()
    doomed = live.worker("doomed")
    doomed.start()
    beat = live.beat()
    beat.start()
    try:
        body = {"language": "python", "code": "import time; print('once', flush=True); time.sleep(4); print('end')"}
        job = alice.call("POST", "/api/execute", 202, json=body)["job_id"]
        while not alice.call("GET", f"/api/execute/{job}/output", 200)["total"]:
            time.sleep(0.05)
        doomed.end(signal.SIGKILL)
        worker.start()
        done = ended(alice, job)
        assert (done["status"], done["stdout"]) == ("completed", "once\nend\n")
    finally:
        beat.end()
        doomed.end(signal.SIGKILL)


@pytest.fixture
def class_of_thirty(live) -> list[dict[str, str]]:
    """Made on the server at once; each would otherwise wait for a password hash."""
    made = (
        "import uuid; from accounts import tokens; from accounts.models import User\n"
        "for n in range(30):\n"
        "    name = 'pupil-' + uuid.uuid4().hex[:12]\n"
        "    print(tokens.issue(User.objects.create_user(name, name + '@example.org')).access)"
    )
    return [{"Authorization": f"Bearer {token}"} for token in live.manage("shell", "-v", "0", "-c", made).split()]


def test_a_class_that_presses_run_at_once_has_thirty_results(live, worker, class_of_thirty):
    body = {"language": "python", "code": "print(6 * 7)", "interactive": True}

    def press(headers: dict[str, str]) -> dict:
        return httpx.post(f"{live.url}/api/execute?wait=30", json=body, headers=headers, timeout=120).json()

    with ThreadPoolExecutor(30) as pool:
        done = list(pool.map(press, class_of_thirty))
    assert [(run.get("status"), run.get("stdout")) for run in done] == [("completed", "42\n")] * 30
    for log in (live.log(), worker.log()):
        assert "PoolTimeout" not in log and "companion" not in log


def test_upkeep_is_done_while_all_places_are_taken(live, worker):
    worker.end()
    doomed, narrow = live.worker("doomed"), live.worker("narrow", WORKER_CONCURRENCY="1")
    doomed.start()
    beat = live.beat()
    alice, bob = live.person("alice"), live.person("bob")
    long = {"language": "python", "code": "import time; time.sleep(50)", "limits": {"wall_ms": 60_000}}
    try:
        lost = alice.call("POST", "/api/execute", 202, json=long)["job_id"]
        while alice.call("GET", f"/api/execute/status/{lost}", 200)["status"] != "running":
            time.sleep(0.05)
        doomed.end(signal.SIGKILL)
        narrow.start()
        busy = bob.call("POST", "/api/execute", 202, json=long)["job_id"]
        while bob.call("GET", f"/api/execute/status/{busy}", 200)["status"] != "running":
            time.sleep(0.05)
        beat.start()
        # The reaper takes it from the worker that died, and the only other one is busy.
        while alice.call("GET", f"/api/execute/status/{lost}", 200)["status"] != "queued":
            assert bob.call("GET", f"/api/execute/status/{busy}", 200)["status"] == "running"
            time.sleep(0.05)
        for person, job in ((alice, lost), (bob, busy)):
            person.call("POST", f"/api/execute/{job}/cancel", 202)
    finally:
        beat.end()
        narrow.end()
        doomed.end(signal.SIGKILL)
