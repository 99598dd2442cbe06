"""Nobody keeps the others from running: not by many runs, not by bots or guests, not by programs that wait."""

from __future__ import annotations

import time

import pytest
from django.utils import timezone

import languages
from accounts import guests
from accounts.actions import make_bot
from execution import actions, limits, runner, turns
from execution.errors import TooManyRuns
from execution.models import AvailableLanguage, Run
from execution.run_request import RunRequest
from tests.live import LiveServer

HELLO = {"language": "python", "code": "print('hello')"}
PROMPT = {"language": "python", "code": "print('hello', input('? '))", "interactive": True}


@pytest.fixture(scope="module")
def two_slots(tmp_path_factory):
    """What docker-compose.yml gives a worker."""
    with LiveServer(tmp_path_factory.mktemp("slots") / "data", {"WORKER_CONCURRENCY": "2"}) as live:
        live.wait_for_languages()
        yield live


def state(person, job: str) -> str:
    return person.call("GET", f"/api/execute/status/{job}", 200)["status"]


def until(what, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_programs_that_wait_at_a_prompt_hold_no_place(two_slots):
    alice, bob, carol = (two_slots.person(name) for name in ("alice", "bob", "carol"))
    waiting = [(who, who.call("POST", "/api/execute", 202, json=PROMPT)["job_id"]) for who in (alice, bob) * 3]
    until(lambda: all(state(who, job) == "running" for who, job in waiting))
    done = carol.call("POST", "/api/execute?wait=30", 200, json=HELLO)
    assert done["stdout"] == "hello\n"
    assert all(state(who, job) == "running" for who, job in waiting)
    for who, job in waiting:
        who.call("POST", f"/api/execute/{job}/input", 204, json={"text": "again\n"})
    until(lambda: all(state(who, job) == "completed" for who, job in waiting))


def test_with_two_places_one_person_has_one(two_slots):
    alice, bob = two_slots.person("alice"), two_slots.person("bob")
    long = {"language": "python", "code": "import time; time.sleep(14)"}
    jobs = [alice.call("POST", "/api/execute", 202, json=long)["job_id"] for _ in range(3)]
    until(lambda: "running" in [state(alice, job) for job in jobs])
    assert bob.call("POST", "/api/execute?wait=30", 200, json=HELLO)["stdout"] == "hello\n"
    assert [state(alice, job) for job in jobs].count("running") == 1
    assert alice.call("GET", "/api/limits", 200)["runs"]["running_max"] == 1
    for job in jobs:
        alice.call("POST", f"/api/execute/{job}/cancel", 202)


def test_a_prompt_gives_its_place_to_the_next_run_of_the_same_person(two_slots):
    alice = two_slots.person("alice")
    jobs = [alice.call("POST", "/api/execute", 202, json=PROMPT)["job_id"] for _ in range(2)]
    assert alice.call("POST", "/api/execute?wait=30", 200, json=HELLO)["stdout"] == "hello\n"
    for job in jobs:
        alice.call("POST", f"/api/execute/{job}/cancel", 202)


def test_an_interactive_program_that_computes_holds_a_place_as_any_other(two_slots):
    alice, bob, carol = (two_slots.person(name) for name in ("alice", "bob", "carol"))
    busy = {"language": "python", "code": "while True: pass", "interactive": True, "limits": {"cpu_ms": 15_000}}
    jobs = [(who, who.call("POST", "/api/execute", 202, json=busy)["job_id"]) for who in (alice, bob)]
    until(lambda: all(state(who, job) == "running" for who, job in jobs))
    waiting = carol.call("POST", "/api/execute", 202, json=HELLO)["job_id"]
    time.sleep(2.5)
    assert state(carol, waiting) == "queued"
    for who, job in jobs:
        who.call("POST", f"/api/execute/{job}/cancel", 202)
    until(lambda: state(carol, waiting) == "completed")


def test_a_program_that_computes_after_its_prompt_counts_for_its_person_and_leaves_a_place_to_others(two_slots):
    alice, bob = two_slots.person("alice"), two_slots.person("bob")
    code = "input()\nwhile True: pass"
    busy = {"language": "python", "code": code, "interactive": True, "limits": {"cpu_ms": 15_000}}
    jobs = [alice.call("POST", "/api/execute", 202, json=busy)["job_id"] for _ in range(3)]
    until(lambda: all(state(alice, job) == "running" for job in jobs))
    for job in jobs:
        alice.call("POST", f"/api/execute/{job}/input", 204, json={"text": "\n"})
    time.sleep(2.5)
    waiting = alice.call("POST", "/api/execute", 202, json=HELLO)["job_id"]
    assert bob.call("POST", "/api/execute?wait=30", 200, json=HELLO)["stdout"] == "hello\n"
    assert [state(alice, job) for job in [*jobs, waiting]] == ["running"] * 3 + ["queued"]
    for job in jobs:
        alice.call("POST", f"/api/execute/{job}/cancel", 202)
    until(lambda: state(alice, waiting) == "completed")


def test_all_tests_of_a_submission_together_have_a_clock(tmp_path):
    with LiveServer(tmp_path / "data", {"RUN_MAX_SUBMISSION_MS": "1500"}) as live:
        live.wait_for_languages()
        body = {"language": "python", "code": "import time; time.sleep(float(input()))"}
        alice, bob = live.person("alice"), live.person("bob")
        session = alice.new_session()
        alice.let_in(session["id"], bob)
        tests = [{"stdin": "0"}, {"stdin": "30"}, {"stdin": "30"}, {"stdin": "0", "hidden": True}]
        body |= {"tests": tests, "session_id": session["id"]}
        done = alice.call("POST", "/api/execute?wait=30", 200, json=body)
        told = bob.call("GET", f"/api/execute/status/{done['job_id']}", 200)
    assert (done["status"], done["stats"]["limit"]) == ("timed_out", "wall")
    assert "all of them together" in done["stats"]["message"]
    assert [case["verdict"] for case in done["cases"]] == ["passed", "timed_out", None, None]
    assert (told["status"], told["stats"]["limit"]) == ("timed_out", "wall")


@pytest.fixture
def python(db):
    AvailableLanguage.objects.create(key="python", version="3", checked_at=timezone.now())
    return languages.get("python")


def test_bots_count_for_their_person(alice, bob, python, settings, api):
    settings.RUN_ACTIVE_PER_USER = 2
    bot = make_bot(alice, "alice-bot")
    for who in (alice, bot):
        actions.submit_run(who, RunRequest(language=python, files={"main.py": b""}))
    for who in (alice, bot):
        with pytest.raises(TooManyRuns):
            actions.submit_run(who, RunRequest(language=python, files={"main.py": b""}))
        assert api(who).get("/api/limits").json()["runs"]["active"] == 2
    actions.submit_run(bob, RunRequest(language=python, files={"main.py": b""}))
    Run.objects.filter(user=alice).update(status="running", started_at=timezone.now())
    settings.RUN_RUNNING_PER_USER = 1
    waiting = Run.objects.get(user=bot)
    runner.run(waiting.pk, lambda run_id: None)
    waiting.refresh_from_db()
    assert (waiting.status, waiting.published_at) == ("queued", None)
    assert turns.next_of(waiting.counted_as) == [waiting.pk]


def test_guests_of_a_session_at_one_address_take_turns_as_one(session, alice):
    one, other = guests.make_guest("Ada"), guests.make_guest("Grace")
    here = [turns.counted_as(guest, session.pk, "192.0.2.1") for guest in (one, other)]
    assert here[0] == here[1] != turns.counted_as(one, session.pk, "192.0.2.2")
    assert turns.counted_as(alice, session.pk, "192.0.2.1") == turns.counted_as(alice)


def test_bots_spend_the_rates_of_their_person(alice, api, settings):
    settings.RATE_LIMITS = True
    bot = make_bot(alice, "alice-bot")
    left = [
        api(who).get("/api/sessions").headers["RateLimit"].partition("r=")[2].partition(";")[0] for who in (alice, bot)
    ]
    assert int(left[1]) == int(left[0]) - 1


@pytest.mark.parametrize("interactive", [False, True])
def test_what_limits_says_is_what_is_accepted(interactive, alice, api, python):
    client = api(alice)
    most = client.get("/api/limits").json()["runs"]["interactive_limits_max" if interactive else "limits_max"]
    body = {"language": "python", "code": "", "interactive": interactive}
    assert client.post("/api/execute", {**body, "limits": most}).status_code == 202
    for name, value in most.items():
        refused = client.post("/api/execute", {**body, "limits": {name: value + 1}})
        assert (refused.status_code, list(refused.json()["errors"])) == (400, [f"limits.{name}"])


def test_no_run_has_more_than_limits_says(settings):
    settings.RUN_LIMITS_CEILING = {**settings.RUN_LIMITS_CEILING, "wall_ms": 3000, "memory_bytes": 64 * 2**20}
    settings.RUN_MAX_INTERACTIVE_WALL_MS = 7000
    for interactive, wall in ((False, 3000), (True, 7000)):
        job = limits.prepare_job(languages.get("python"), {"main.py": b""}, interactive=interactive)
        assert (job.run.limits.wall_ms, job.run.limits.memory_bytes) == (wall, 64 * 2**20)
