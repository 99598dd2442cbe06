"""A sandbox that fails costs nobody a run: the real queue, and workers whose sandbox breaks and is repaired."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from tests.live import LiveServer

HELLO = {"language": "python", "code": "print('hello')"}


@pytest.fixture(scope="module")
def live(tmp_path_factory, postgres_url, redis_url, rabbitmq_url):
    settings = {
        "DATABASE_URL": postgres_url,
        "REDIS_URL": redis_url,
        "CELERY_BROKER_URL": rabbitmq_url,
        "SANDBOX_BACKEND": "bubblewrap",
        "SANDBOX_POOL_MAX": "0",
    }
    with LiveServer(tmp_path_factory.mktemp("broken") / "data", settings) as started:
        # Workers that other tests killed count until they have been silent for a minute.
        until(lambda: workers(started) == 0, 150)
        yield started


@contextmanager
def worker(live, name: str):
    """Gives the file that breaks its sandbox."""
    started = live.worker(name)
    broken = live.data_dir / f"{name}-is-broken"
    started.argv[1:3] = ["-m", "tests.execution.breakable_worker", str(broken)]
    before = workers(live)
    started.start()
    try:
        until(lambda: workers(live) > before)
        live.wait_for_languages()
        yield broken
    finally:
        broken.unlink(missing_ok=True)
        started.end()


def until(what, seconds: float = 60):
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def workers(live) -> int:
    """How many health knows of."""
    return int(re.sub(r"\D.*", "", checks(live)["worker"]["detail"]) or 0)


def checks(live) -> dict:
    return httpx.get(f"{live.url}/health/ready", timeout=60).json()["checks"]


def test_while_the_sandbox_is_broken_runs_wait_and_their_people_and_health_say_so(live):
    alice = live.person("alice")
    with worker(live, "only") as broken:
        assert alice.call("POST", "/api/execute?wait=30", 200, json=HELLO)["stdout"] == "hello\n"
        broken.touch()
        jobs = [alice.call("POST", "/api/execute", 202, json=HELLO)["job_id"] for _ in range(4)]

        def all_wait() -> bool:
            found = [alice.call("GET", f"/api/execute/status/{job}", 200) for job in jobs]
            return all(run["status"] == "queued" and "Runs wait: " in run["stats"].get("message", "") for run in found)

        until(all_wait)
        until(lambda: checks(live)["sandbox"]["status"] == "failed", 5)
        assert checks(live)["sandbox"]["detail"] == "Start the container engine."
        # More probes than a run has attempts.
        time.sleep(4)
        assert all_wait()
        alice.call("POST", f"/api/execute/{jobs[3]}/cancel", 202)
        broken.unlink()
        for job in jobs[:3]:
            done = until(lambda job=job: ended(alice, job))
            assert (done["status"], done["stdout"], done["error_id"]) == ("completed", "hello\n", None)
            assert "message" not in done["stats"]
        assert ended(alice, jobs[3])["status"] == "cancelled"
        until(lambda: checks(live)["sandbox"]["status"] == "ok")


def ended(person, job: str) -> dict | None:
    found = person.call("GET", f"/api/execute/status/{job}", 200)
    return found if found["status"] not in ("queued", "running") else None


def test_a_worker_whose_sandbox_is_broken_leaves_the_runs_to_the_others(live):
    alice = live.person("alice")
    with ExitStack() as both:
        broken, _fit = (both.enter_context(worker(live, name)) for name in ("lame", "fit"))
        broken.touch()
        for _ in range(6):
            done = alice.call("POST", "/api/execute?wait=30", 200, json=HELLO)
            assert (done["status"], done["stdout"]) == ("completed", "hello\n")


def test_a_run_waits_where_no_more_sandboxes_may_exist_and_nothing_counts_as_broken(live):
    alice = live.person("alice")
    with worker(live, "full") as broken:
        broken.write_text("full")
        job = alice.call("POST", "/api/execute", 202, json=HELLO)["job_id"]
        message = until(lambda: alice.call("GET", f"/api/execute/status/{job}", 200)["stats"].get("message"))
        assert "All sandboxes are in use." in message
        # Longer than three attempts take, and than the republisher waits for a message that was lost.
        time.sleep(27)
        assert ended(alice, job) is None
        tries = broken.with_suffix(".tries")
        before = tries.stat().st_size
        time.sleep(6)
        assert 1 <= tries.stat().st_size - before <= 4, "one message of the run is on its way, not several"
        assert checks(live)["sandbox"]["status"] == "ok"
        broken.unlink()
        done = until(lambda: ended(alice, job))
        assert (done["status"], done["stdout"]) == ("completed", "hello\n")
        assert "message" not in done["stats"]


@pytest.mark.parametrize("names", [("odd",), ("odd", "even")])
def test_a_run_that_fails_in_fit_sandboxes_ends_in_error_after_its_attempts(names, live):
    alice = live.person("alice")
    with ExitStack() as all_of_them:
        for name in names:
            all_of_them.enter_context(worker(live, name)).write_text("runs")
        done = alice.call("POST", "/api/execute?wait=30", 200, json=HELLO)
        assert (done["status"], bool(done["error_id"])) == ("error", True)
        assert done["stats"]["message"] == "3 attempts to run this program failed on our side."
        assert checks(live)["sandbox"]["status"] == "ok"
