"""Under bubblewrap a language is offered when its self-test has passed in this worker's own sandbox."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError

from codecrafter import worker
from execution import availability, probe, trials
from execution.models import AvailableLanguage, Worker
from execution.sandbox.bubblewrap import BubblewrapBackend
from execution.sandbox.errors import SandboxFault
from languages import LANGUAGES
from tests.services.fixtures import missing

pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("bubblewrap")]
FOUND = {"python": "3.11.2", "zsh": "5.9"}


class FewTools:
    """A real sandbox that can be given other tools, and can be broken."""

    def __init__(self) -> None:
        try:
            self._inner = BubblewrapBackend()
        except SandboxFault as fault:
            missing(str(fault))
        self.tools = "as installed"
        self.is_broken = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def toolset(self, language: str = "") -> str:
        return self.tools

    def open(self, *args: Any) -> Any:
        if self.is_broken:
            raise SandboxFault("engine_failed", "Start the container engine.", "scripted")
        return self._inner.open(*args)


@pytest.fixture
def sandbox(monkeypatch, tmp_path, settings):
    settings.DATA_DIR = tmp_path
    monkeypatch.setattr(trials, "PAUSE_RATIO", 0.0)
    # A tool that answers, and of which no program works.
    monkeypatch.setitem(LANGUAGES, "zsh", replace(LANGUAGES["python"], key="zsh", name="Zsh", run=("sh", "{entry}")))
    few = FewTools()
    monkeypatch.setattr(availability, "bare_backend", lambda: few)
    for module in (availability, trials):
        monkeypatch.setattr(module, "ask_versions", lambda _backend: FOUND)
    monkeypatch.setattr(availability, "_has_tried", False)
    monkeypatch.setattr(availability, "_remedy", "")
    return few


def try_all(sandbox: FewTools) -> list[str]:
    return trials.try_languages(sandbox, threading.Event())  # type: ignore[arg-type]


def test_a_language_whose_tool_answers_and_whose_programs_fail_is_not_offered(sandbox, api):
    try_all(sandbox)
    rows = {row["key"]: row for row in api(None).get("/api/execute/languages").json()}
    assert rows["python"]["available"] is True
    assert rows["python"]["version"]
    assert rows["zsh"]["available"] is False
    assert "the starter program" in rows["zsh"]["unavailable_reason"]


def test_a_restart_tries_only_what_failed_or_has_changed(sandbox):
    assert try_all(sandbox) == list(FOUND)
    AvailableLanguage.objects.all().delete()
    assert try_all(sandbox) == ["zsh"]
    assert availability.availability_of(LANGUAGES["python"]).version == FOUND["python"]
    sandbox.tools = "updated"
    assert try_all(sandbox) == list(FOUND)


def test_what_changed_since_its_trial_is_withdrawn_until_it_is_tried(sandbox):
    availability.keep_self_test("python", "2.7", "")
    availability.keep_self_test("zsh", FOUND["zsh"], "")
    availability.keep_self_test("haskell", "9", "")
    stopped = threading.Event()
    stopped.set()
    trials.try_languages(sandbox, stopped)  # type: ignore[arg-type]
    assert list(AvailableLanguage.objects.values_list("key", flat=True)) == ["zsh"]


def test_a_sandbox_that_breaks_during_the_trial_is_no_fault_of_a_language(sandbox, monkeypatch):
    sandbox.is_broken = True
    monkeypatch.setattr(probe, "_wait_for_it", probe._down.clear)
    assert try_all(sandbox) == ["python"]
    assert not AvailableLanguage.objects.exists()
    assert Worker.objects.get().tried_at is None
    sandbox.is_broken = False
    assert try_all(sandbox) == list(FOUND)
    assert AvailableLanguage.objects.get(key="python").fault == ""


def test_a_trial_that_was_cut_short_is_begun_again(sandbox, monkeypatch):
    begun = threading.Semaphore(0)

    def cut_short(*_: object) -> None:
        begun.release()
        raise OperationalError("the database is away")

    monkeypatch.setattr(worker, "REPORT_SECONDS", 0.01)
    monkeypatch.setattr(availability, "report_worker", lambda: True)
    monkeypatch.setattr(trials, "try_languages", cut_short)
    reporter = worker.Reporter()
    reporter.start()
    try:
        assert begun.acquire(timeout=30) and begun.acquire(timeout=30)
    finally:
        reporter.stop()
        reporter.join()
