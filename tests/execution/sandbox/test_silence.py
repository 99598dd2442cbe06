"""An agent that says nothing, stopped here from outside: the limits hold all the same."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from execution.sandbox import step
from tests.execution.conftest import kind_of_backend
from tests.execution.sandbox.running import LIMITS, Ran, Watcher, run

if TYPE_CHECKING:
    from execution.sandbox.backends import Backend, Handle
    from execution.sandbox.limits import Limits

bubblewrap = pytest.mark.parametrize(
    "backend", [kind_of_backend("bubblewrap"), kind_of_backend("watched")], indirect=True
)
# RLIMIT_CPU counts each process by itself.
BURNS = """
import os, time
print("up", flush=True)
time.sleep(0.3)
while True:
    if os.fork() == 0:
        while time.process_time() < 0.1: pass
        os._exit(0)
    os.wait()
"""
EATS = """
import time
print("up", flush=True)
time.sleep(0.3)
kept = bytearray(b"x" * (300 << 20))
time.sleep(60)
"""


class Opened:
    """A real backend that keeps the last sandbox it made."""

    def __init__(self, inner: Backend, **replaced: Any) -> None:
        self._inner = inner
        self._replaced = replaced
        self.handle: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def open(self, limits: Limits, label: str, language: str = "") -> Handle:
        self.handle = self._inner.open(limits, label, language)
        for name, value in self._replaced.items():
            setattr(self.handle, name, value)
        return self.handle

    def stop_the_agent(self) -> None:
        pid = self.handle.host_pid
        agent = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
        os.kill(agent, signal.SIGSTOP)


def run_without_agent(backend: Opened, source: str, limits: Limits) -> Ran:
    watcher = Watcher(on_output=lambda _data: backend.stop_the_agent())
    return run(backend, "python", source, limits=limits, watcher=watcher)  # type: ignore[arg-type]


@bubblewrap
def test_the_cpu_limit_holds_while_the_agent_says_nothing(backend):
    ran = run_without_agent(Opened(backend), BURNS, replace(LIMITS, cpu_ms=500, wall_ms=60_000))
    assert (ran.status, ran.limit, ran.stdout) == ("timed_out", "cpu", b"up\n")
    assert ran.outcome.stats["cpu_ms"] > 500


@bubblewrap
def test_the_memory_limit_holds_while_the_agent_says_nothing(backend):
    ran = run_without_agent(Opened(backend), EATS, replace(LIMITS, wall_ms=10_000))
    # With cgroups the kernel ends the program, and the wall clock a run whose agent cannot tell of that.
    expected = {"memory"} if backend.cgroups is None else {"memory", "wall"}
    assert ran.limit in expected


@bubblewrap
def test_a_silent_sandbox_that_nobody_can_count_is_ended(backend, monkeypatch):
    monkeypatch.setattr(step, "BLIND_LOOKS", 8)
    ran = run_without_agent(Opened(backend, usage=lambda: None), BURNS, replace(LIMITS, wall_ms=60_000))
    assert (ran.status, ran.limit) == ("failed", None)
    assert "could no longer measure it" in ran.outcome.message


@bubblewrap
def test_an_agent_that_speaks_late_ends_nothing(backend):
    opened = Opened(backend)

    def pause(_data: bytes) -> None:
        opened.stop_the_agent()
        pid = opened.handle.host_pid
        agent = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
        timer = f"sleep 1; kill -CONT {agent}"
        os.posix_spawn("/bin/sh", ["sh", "-c", timer], {})

    source = "import time\nprint('up', flush=True)\ntime.sleep(1.5)"
    ran = run(opened, "python", source, watcher=Watcher(on_output=pause))  # type: ignore[arg-type]
    assert (ran.status, ran.stdout) == ("completed", b"up\n")
