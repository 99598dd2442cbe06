"""A worker whose sandbox failed takes runs again once it answers, whatever else was away meanwhile."""

from __future__ import annotations

import time

import pytest
from django.db import OperationalError

from execution import availability, probe
from execution.sandbox.errors import SandboxFault


class Engine:
    """Stands for a sandbox that cannot be made until it is repaired."""

    def open(self, *_: object) -> object:
        raise SandboxFault("engine_failed", "Start the container engine.", "scripted")


class Ready:
    def close(self) -> None:
        pass


def test_a_worker_takes_runs_again_though_it_could_not_say_that_its_sandbox_was_down(monkeypatch):
    said: list[str] = []

    def note(remedy: str) -> None:
        said.append(remedy)
        if remedy:
            raise OperationalError("the database is away as well")

    engine = Engine()
    monkeypatch.setattr(probe, "PAUSES_SECONDS", (0.05,))
    monkeypatch.setattr(probe, "await_ready", lambda handle: None)
    monkeypatch.setattr(availability, "note_sandbox", note)
    monkeypatch.setattr(availability, "bare_backend", lambda: engine)
    with pytest.raises(OperationalError):
        probe.answers()
    assert probe.is_down()
    monkeypatch.setattr(engine, "open", lambda *_: Ready())
    deadline = time.monotonic() + 30
    while probe.is_down():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert said == ["Start the container engine.", ""]
