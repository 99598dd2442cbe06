"""Which languages are offered: what answers inside the sandbox, less what its self-test found wrong."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from django.core.cache import cache, caches
from django.utils import timezone

from execution import availability
from execution.models import Worker
from execution.sandbox.doctor import checks
from tests.live import ROOT


def listed(api) -> dict[str, dict]:
    return {row["key"]: row for row in api(None).get("/api/execute/languages").json()}


@pytest.mark.django_db
def test_what_answers_is_available_with_its_version(api):
    availability._report_languages({"python": "3.11.2"})
    rows = listed(api)
    assert (rows["python"]["available"], rows["python"]["version"]) == (True, "3.11.2")
    assert rows["lua"]["available"] is False
    availability._report_languages({"lua": "5.4.4"})
    assert listed(api)["python"]["available"] is False


def test_before_a_new_worker_has_tried_its_languages_runs_of_any_wait_for_it(alice, api):
    worker = Worker.objects.create(name="new", sandbox="bubblewrap", seen_at=timezone.now())
    row = listed(api)["python"]
    assert (row["available"], row["version"], row["unavailable_reason"]) == (True, None, None)
    hello = {"language": "python", "code": "print(1)"}
    answer = api(alice).post("/api/execute", hello)
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    availability._report_languages({"lua": "5.4.4"})
    assert listed(api)["python"]["available"] is True
    worker.tried_at = timezone.now()
    worker.save()
    caches["answers"].clear()
    cache.clear()
    assert listed(api)["python"]["unavailable_reason"] == "Python is not installed where programs run here."
    refused = api(alice).post("/api/execute", hello)
    assert (refused.status_code, refused.json()["detail"]) == (
        503,
        "Python is not installed where programs run here.",
    )


def test_what_was_known_before_a_restart_holds_until_it_is_looked_at_again(alice, api):
    availability._report_languages({"python": "3.11.2"})
    availability.forget_all_workers()
    assert listed(api)["python"]["available"] is True
    assert api(alice).post("/api/execute", {"language": "python", "code": "print(1)"}).status_code == 202


def test_a_failed_self_test_makes_a_language_unavailable_until_its_version_changes(alice, api):
    availability._report_languages({"python": "3.11.2"})
    availability.keep_self_test("python", "3.11.2", "greet printed nothing")
    for _ in range(2):
        row = listed(api)["python"]
        assert row["available"] is False and "greet printed nothing" in row["unavailable_reason"]
        answer = api(alice).post("/api/execute", {"language": "python", "code": ""})
        assert answer.status_code == 503 and "greet printed nothing" in answer.json()["detail"]
        availability._report_languages({"python": "3.11.2"})
    availability._report_languages({"python": "3.11.3"})
    assert listed(api)["python"]["available"] is True


def test_a_passed_self_test_makes_it_available_again(db, api):
    availability.keep_self_test("python", "3.11.2", "it was broken")
    availability.keep_self_test("python", "3.11.2", "")
    assert listed(api)["python"]["available"] is True


def test_the_list_takes_few_queries_however_many_languages(api, db, django_assert_max_num_queries):
    with django_assert_max_num_queries(3):
        listed(api)


def test_the_doctor_is_content_with_one_kind_of_sandbox():
    said = subprocess.run(
        [sys.executable, "manage.py", "doctor"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    can_run = checks()[0].ok
    assert said.returncode == (0 if can_run else 1), said.stdout + said.stderr
    assert re.match(r"sandbox +ok: " if can_run else r"sandbox +missing: ", said.stdout)
