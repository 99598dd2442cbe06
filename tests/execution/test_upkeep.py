"""Every accepted run reaches a final state: what the reaper and the republisher do with rows that were left."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

import languages
from execution import actions, ending, runner, upkeep
from execution.errors import TooManyRuns
from execution.models import AvailableLanguage, DeadLetter, Run, RunFile
from execution.run_request import RunRequest


@pytest.fixture
def python(db):
    AvailableLanguage.objects.create(key="python", version="3", checked_at=timezone.now())
    return languages.get("python")


def left_running(user, **fields):
    run = Run.objects.create(
        user=user,
        language="python",
        status="running",
        worker="gone",
        started_at=timezone.now(),
        lease_expires_at=timezone.now() - timedelta(seconds=1),
        **fields,
    )
    RunFile.objects.create(run=run, path="main.py", content=b"print(1)")
    return run


def test_a_run_of_a_dead_worker_waits_again(alice):
    run = left_running(alice, attempt=1)
    upkeep.reap_expired_leases()
    run.refresh_from_db()
    assert (run.status, run.attempt, run.worker) == ("queued", 1, "")


def test_a_live_lease_is_left_alone(alice):
    run = left_running(alice, attempt=1)
    Run.objects.update(lease_expires_at=timezone.now() + timedelta(seconds=5))
    upkeep.reap_expired_leases()
    run.refresh_from_db()
    assert run.status == "running"


def test_after_three_attempts_a_run_ends_in_error_with_a_dead_letter(alice, mod):
    run = left_running(alice, attempt=3)
    upkeep.reap_expired_leases()
    run.refresh_from_db()
    assert run.status == "error" and run.error_id and run.finished_at
    letter = DeadLetter.objects.get(run=run)
    assert actions.requeue(letter, mod)
    run.refresh_from_db()
    assert (run.status, run.attempt) == ("queued", 0)
    letter.refresh_from_db()
    assert not actions.requeue(letter, mod)


def test_a_run_that_was_being_stopped_when_its_worker_died_is_cancelled(alice):
    run = left_running(alice, attempt=1, cancel_requested_at=timezone.now())
    upkeep.reap_expired_leases()
    run.refresh_from_db()
    assert run.status == "cancelled"


def test_a_late_worker_cannot_end_a_run_that_was_given_away(alice):
    run = left_running(alice, attempt=1)
    upkeep.reap_expired_leases()
    ending.finish_with_error(run, "The worker is late.")
    run.refresh_from_db()
    assert run.status == "queued"


def test_a_waiting_run_is_cancelled_at_once_and_never_claimed(alice, python):
    run = actions.submit_run(alice, RunRequest(language=python, files={"main.py": b""}))
    assert actions.cancel_run(run, alice).status == "cancelled"
    runner.run(run.pk, send=lambda run_id: None)
    run.refresh_from_db()
    assert (run.status, run.attempt) == ("cancelled", 0)


def test_nobody_has_more_runs_at_once_than_allowed(alice, bob, python, settings):
    settings.RUN_ACTIVE_PER_USER = 2
    for _ in range(2):
        actions.submit_run(alice, RunRequest(language=python, files={"main.py": b""}))
    with pytest.raises(TooManyRuns):
        actions.submit_run(alice, RunRequest(language=python, files={"main.py": b""}))
    actions.submit_run(bob, RunRequest(language=python, files={"main.py": b""}))


def test_without_a_worker_the_refusal_says_so(alice, api):
    answer = api(alice).post("/api/execute", {"language": "python", "code": "print(1)"})
    assert (answer.status_code, answer.json()["code"]) == (503, "language_unavailable")
    assert "No worker is running" in answer.json()["detail"]
