"""What a backend offers the supervisor, and which one this host gets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from execution.sandbox.errors import SandboxFault
from execution.sandbox.limits import Limits

NAMES = ("auto", "docker", "bubblewrap")


class Handle(Protocol):
    """One sandbox with a waiting agent. Used by one thread; `kill` and `close` never raise and may be repeated."""

    def read_fileno(self) -> int:
        """A descriptor that polls readable when `receive` has something."""

    def write_fileno(self) -> int:
        """A descriptor that polls writable when `send` takes something; may equal `read_fileno`."""

    def receive(self) -> bytes | None:
        """What the agent wrote, b"" when there is nothing now, None when it is gone. Never blocks."""

    def send(self, data: memoryview) -> int:
        """Write what fits now, return how much. Never blocks; raises OSError when the agent is gone."""

    def kill(self) -> None:
        """End everything in the sandbox at once."""

    def death(self) -> tuple[bool, str]:
        """After the agent went away without a result: whether memory ran out, and what it said on stderr."""

    def close(self) -> None:
        """Kill, and leave nothing behind on the host."""


class Backend(Protocol):
    """A way to make sandboxes. Thread safe."""

    @property
    def name(self) -> str: ...

    def open(self, limits: Limits, label: str) -> Handle:
        """A new sandbox; `label` is the job it is for. Raises SandboxFault."""

    def versions(self) -> dict[str, str]:
        """Language key -> version, for each language whose tool answers inside a sandbox. Takes seconds; cache it."""

    def describe(self) -> str:
        """One line for people: what it is and how limits are held."""


def choose_backend(name: str = "auto", *, hidden: Sequence[Path] = ()) -> Backend:
    """The backend called `name`; "auto" is Docker if an engine with the image answers, else bubblewrap.

    `hidden` are folders that no sandbox may see even if they lie under /usr (the project, DATA_DIR).
    Raises SandboxFault with the one command that would help.
    """
    if name not in NAMES:
        raise SandboxFault("unknown_backend", f"Set SANDBOX_BACKEND to one of: {', '.join(NAMES)}.", name)
    # Imported here: docker-py and the probes cost time that a process without sandboxes should not pay.
    from execution.sandbox.bubblewrap import BubblewrapBackend
    from execution.sandbox.docker import DockerBackend

    if name == "docker":
        return DockerBackend()
    if name == "bubblewrap":
        return BubblewrapBackend(hidden=hidden)
    try:
        return DockerBackend(connect_seconds=2)
    except SandboxFault:
        return BubblewrapBackend(hidden=hidden)
