"""What a backend offers the supervisor."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol

from execution.sandbox.job import BASE_ENVIRONMENT
from execution.sandbox.limits import Limits
from languages import LANGUAGES

AGENT_FOLDER = "/opt/codecrafter"
# PID 1 is started as the Python programs are, so that it can become one; usercustomize.py makes it the agent.
START_ARGV = ("python3", "main.py")
START_ENVIRONMENT = {**BASE_ENVIRONMENT, **LANGUAGES["python"].environment, "PYTHONPATH": AGENT_FOLDER}
NO_RUNNER = {"CODECRAFTER_RUNNER": "no"}


def is_python(language: str) -> bool:
    """Whether programs in `language` ("" is the default) are what PID 1 can become."""
    return language in ("", "python")


def start_environment(language: str) -> dict[str, str]:
    """Of PID 1. A child that waits to become the program is of no use, and in the way, to any other language."""
    return START_ENVIRONMENT if is_python(language) else START_ENVIRONMENT | NO_RUNNER


@dataclass(frozen=True)
class Usage:
    """What a sandbox used so far, counted from outside; `memory_bytes` is 0 where a cgroup holds it."""

    cpu_ms: int
    memory_bytes: int = 0


class Handle(Protocol):
    """One sandbox with a waiting agent. Used by one thread; `kill` and `close` never raise and may be repeated.

    `parked`: it was made before its job was known.
    """

    parked: bool

    def read_fileno(self) -> int:
        """A descriptor that polls readable when `receive` has something."""

    def write_fileno(self) -> int:
        """A descriptor that polls writable when `send` takes something; may equal `read_fileno`."""

    def receive(self) -> bytes | None:
        """What the agent wrote, b"" when there is nothing now, None when it is gone. Never blocks."""

    def send(self, data: memoryview) -> int:
        """Write what fits now, return how much. Never blocks; raises OSError when the agent is gone."""

    def takes_long(self) -> None:
        """Told once of a run that is not over after a moment: what was put off for its sake need not wait."""

    def usage(self) -> Usage | None:
        """Count without the agent's help; None where that cannot be done from here, or the sandbox is gone."""

    def kill(self) -> None:
        """End everything in the sandbox at once."""

    def death(self) -> tuple[bool | None, str]:
        """After the agent went away without a result: whether memory ran out (None where that cannot be told from a
        kill), and what it said on stderr."""

    def close(self) -> None:
        """Kill, and leave nothing behind on the host."""


class Backend(Protocol):
    """A way to make sandboxes. Thread safe."""

    @property
    def name(self) -> str: ...

    def open(self, limits: Limits, label: str, language: str = "") -> Handle:
        """A sandbox for a program in `language` (its key); `label` is the job it is for. Raises SandboxFault."""

    def shape(self, limits: Limits, language: str = "") -> Hashable:
        """What such a sandbox is made of; two of equal shape can stand for each other until they are used."""

    def toolset(self, language: str = "") -> str:
        """Names the tools such a sandbox has, so that the same name means the same tools."""

    def failures(self) -> dict[str, str] | None:
        """Language key -> what its self-test found wrong when its image was made; None where nobody tried them."""

    def describe(self) -> str:
        """One line for people: what it is and how limits are held."""

    def reap(self) -> int:
        """Remove what dead workers left behind, and say how much."""

    def close(self) -> None:
        """Let go of everything; sandboxes that are in use stay until their own `close`."""
