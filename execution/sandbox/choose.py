"""Which backend this host gets."""

from collections.abc import Sequence
from pathlib import Path

from execution.sandbox.backends import Backend
from execution.sandbox.errors import SandboxFault

NAMES = ("auto", "docker", "bubblewrap")


def choose_backend(name: str = "auto", *, hidden: Sequence[Path] = (), image: str = "", runtime: str = "") -> Backend:
    """The backend called `name`; "auto" is Docker if an engine with the image answers, else bubblewrap.

    `hidden` are folders that no sandbox may see even if they lie under /usr (the project, DATA_DIR). `image` and
    `runtime` are Docker's (docker.py). Raises SandboxFault with the one command that would help.
    """
    if name not in NAMES:
        raise SandboxFault("unknown_backend", f"Set SANDBOX_BACKEND to one of: {', '.join(NAMES)}.", name)
    # Imported here: docker-py costs time that a process without sandboxes should not pay.
    from execution.sandbox.bubblewrap import BubblewrapBackend
    from execution.sandbox.docker import DockerBackend

    if name == "docker":
        return DockerBackend(image=image, runtime=runtime)
    if name == "bubblewrap":
        return BubblewrapBackend(hidden=hidden)
    try:
        return DockerBackend(image=image, runtime=runtime, connect_seconds=2)
    except SandboxFault:
        return BubblewrapBackend(hidden=hidden)
