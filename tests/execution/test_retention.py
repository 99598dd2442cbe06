"""Of each person the newest runs are kept, up to a number and a size; what runs or waits is never deleted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.actions import make_bot
from execution import retention
from execution.models import Run, RunFile, RunOutput, TestCase

pytestmark = pytest.mark.django_db


def ran(user, minutes_ago, *, size=0, status="completed"):
    now = timezone.now()
    run = Run.objects.create(
        user=user, language="python", status=status, finished_at=now if status == "completed" else None
    )
    Run.objects.filter(pk=run.pk).update(created_at=now - timedelta(minutes=minutes_ago))
    if size:
        RunOutput.objects.create(run=run, stream="stdout", offset=0, data=b"x" * size)
    return run.pk


def kept():
    return set(Run.objects.values_list("pk", flat=True))


def test_past_the_number_the_oldest_go(alice, bob, settings):
    settings.QUOTA_RUNS, settings.QUOTA_RUN_BYTES = 2, 0
    old, middle, new = (ran(alice, minutes) for minutes in (9, 2, 1))
    others = ran(bob, 100)
    retention.forget_surplus_runs()
    assert kept() == {middle, new, others}
    assert old not in kept()


def test_past_the_size_the_oldest_go_whatever_holds_the_bytes(alice, settings):
    settings.QUOTA_RUNS, settings.QUOTA_RUN_BYTES = 0, 1000
    by_file, by_case, new = ran(alice, 30), ran(alice, 20), ran(alice, 1, size=400)
    RunFile.objects.create(run_id=by_file, path="main.py", content=b"x" * 400)
    TestCase.objects.create(
        run_id=by_case, number=1, checker="exact", stdin=b"x" * 100, expected=b"x" * 100, stdout=b"x", stderr=b"x" * 300
    )
    assert retention.usage_of(alice.pk) == (3, 1301)
    retention.forget_surplus_runs()
    assert kept() == {by_case, new}


def test_runs_of_bots_count_as_their_persons(alice, settings):
    settings.QUOTA_RUNS = 1
    bot = make_bot(alice, "alice-bot")
    old, new = ran(bot, 5), ran(alice, 1)
    retention.forget_surplus_runs()
    assert kept() == {new}
    assert old not in kept()


def test_what_runs_or_waits_is_never_deleted(alice, settings):
    settings.QUOTA_RUNS = 1
    running, waiting = ran(alice, 60, status="running"), ran(alice, 50, status="queued")
    new = ran(alice, 1)
    retention.forget_surplus_runs()
    assert kept() == {running, waiting, new}


def test_zero_keeps_everything(alice, settings):
    settings.QUOTA_RUNS = settings.QUOTA_RUN_BYTES = 0
    runs = {ran(alice, minutes, size=10) for minutes in (3, 2, 1)}
    retention.forget_surplus_runs()
    assert kept() == runs
