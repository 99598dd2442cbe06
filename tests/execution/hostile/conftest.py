"""What the host looks like around a program."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from tests.execution.hostile.host import Host

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def hosts() -> dict[str, Host]:
    return {}


@pytest.fixture
def host(backend, hosts: dict[str, Host]) -> Host:
    """The backend, watched: which sandboxes it made, and what is left of each."""
    return hosts.setdefault(backend.describe(), Host(backend))


class Listeners:
    """Servers of the host that no sandbox may reach: a TCP port on every address and an abstract unix socket."""

    def __init__(self) -> None:
        self.tcp = socket.create_server(("0.0.0.0", 0), backlog=16)
        self.port = self.tcp.getsockname()[1]
        self.name = f"codecrafter-hostile-{self.port}"
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(f"\0{self.name}")
        self.unix.listen()
        self.reached = 0
        for listener in (self.tcp, self.unix):
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                listener.accept()[0].close()
                self.reached += 1


@pytest.fixture(scope="session")
def listeners() -> Iterator[Listeners]:
    made = Listeners()
    yield made
    # shutdown, because a thread in accept keeps a closed socket listening.
    for listener in (made.tcp, made.unix):
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
