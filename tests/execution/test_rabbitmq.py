"""The queue of production: real RabbitMQ, PostgreSQL and Redis, worker processes that are killed."""

from __future__ import annotations

import signal
import time

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
