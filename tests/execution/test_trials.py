"""Under bubblewrap a language is offered when its self-test has passed in this worker's own sandbox."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from execution import availability, trials
from execution.models import AvailableLanguage
from execution.sandbox.bubblewrap import BubblewrapBackend
from execution.sandbox.errors import SandboxFault
from sessions_app.languages import LANGUAGES
from tests.services.fixtures import missing

pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("bubblewrap")]
FOUND = {"python": "3.11.2", "zsh": "5.9"}


class FewTools:
    """A real sandbox that says it has FOUND, counts what is opened, and can be given other tools."""

    def __init__(self) -> None:
        try:
            self._inner = BubblewrapBackend()
        except SandboxFault as fault:
            missing(str(fault))
        self.tools = "as installed"
        self.opened = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def versions(self) -> dict[str, str]:
        return FOUND

    def toolset(self, language: str = "") -> str:
        return self.tools

    def open(self, *args: Any) -> Any:
        self.opened += 1
        return self._inner.open(*args)


@pytest.fixture
def sandbox(monkeypatch, tmp_path, settings):
    settings.DATA_DIR = tmp_path
    monkeypatch.setattr(trials, "PAUSE_RATIO", 0.0)
    # A tool that answers, and of which no program works.
    monkeypatch.setitem(LANGUAGES, "zsh", replace(LANGUAGES["python"], key="zsh", name="Zsh", run=("sh", "{entry}")))
    return FewTools()


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
    sandbox.opened = 0
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
