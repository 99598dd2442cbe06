"""What both benchmarks need: the backends, the programs, and figures of samples."""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import languages
from execution.sandbox.bubblewrap import BubblewrapBackend
from execution.sandbox.docker import DockerBackend
from execution.sandbox.job import default_run_limits
from tests.services import servers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from execution.sandbox.backends import Backend
    from execution.sandbox.limits import Limits


@dataclass(frozen=True)
class Program:
    """A hello world, how a bare process is started for it, and how it is compiled for that."""

    language: str
    source: str
    bare: tuple[str, ...]
    compile: tuple[str, ...] = ()

    @property
    def file_name(self) -> str:
        return languages.get(self.language).file_name

    @property
    def limits(self) -> Limits:
        # The wall clock is no part of a sandbox's shape; on a loaded machine it must not decide.
        return replace(default_run_limits(languages.get(self.language)), wall_ms=60_000)


C_HELLO = '#include <stdio.h>\nint main(void) { puts("hello"); }\n'
PROGRAMS = {
    "python": Program("python", 'print("hello")\n', ("/usr/bin/python3", "main.py")),
    "javascript": Program("javascript", 'console.log("hello")\n', ("node", "main.js")),
    "c": Program("c", C_HELLO, ("./program",), ("gcc", "-O1", "-o", "program", "main.c")),
    "lua": Program("lua", 'print("hello")\n', ("lua5.4", "main.lua")),
    "bash": Program("bash", "echo hello\n", ("bash", "main.sh")),
}


class Listener:
    """Notes when the first byte arrived."""

    def __init__(self, clock: object) -> None:
        self._clock = clock
        self.first: float | None = None
        self.said = b""

    def started(self) -> None:
        """The run's own clock is enough."""

    def output(self, stream: str, data: bytes) -> None:
        if self.first is None and stream == "stdout":
            self.first = self._clock()  # type: ignore[operator]
        self.said += data


@contextlib.contextmanager
def backend_of(name: str) -> Iterator[Backend]:
    """Where no Docker engine runs: that of the tests, whose images `make test` has built."""
    if name == "bubblewrap":
        yield BubblewrapBackend()
        return
    with contextlib.ExitStack() as stack:
        if "DOCKER_HOST" not in os.environ and not Path("/var/run/docker.sock").exists():
            os.environ["DOCKER_HOST"] = stack.enter_context(servers.docker())
        yield DockerBackend(image=os.environ.get("SANDBOX_IMAGE", ""), runtime=os.environ.get("SANDBOX_RUNTIME", ""))


def at(samples: list[float], share: float) -> float:
    """The value below which `share` of the samples lie."""
    return statistics.quantiles(samples, n=100, method="inclusive")[round(share * 100) - 1]


def machine() -> str:
    with open("/proc/cpuinfo") as file:
        lines = file.read().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    processors = sum(line.startswith("processor") for line in lines)
    return f"{processors} x {model}, Linux {platform.release()}, Python {platform.python_version()}"
