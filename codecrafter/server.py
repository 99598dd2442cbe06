"""Run uvicorn with our options and a shutdown that lets the rooms finish first."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import gc
import logging
import os
import resource
import signal
import socket
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from django.conf import settings

from codecrafter import health
from codecrafter.admission import Admission
from codecrafter.http_protocol import HttpProtocol
from codecrafter.socket_protocol import SocketProtocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

logger = logging.getLogger(__name__)

# The threshold of the youngest generation of the garbage collector. Two or three requests exceed the default of 700.
GARBAGE_THRESHOLD = 10_000
# Reserved for the database, Redis, the broker and the pipes of sandboxes; at most half of all.
RESERVED_DESCRIPTORS = 512
# In ticks of uvicorn, which are a tenth of a second.
LOOK_TICKS = 2


class Server(uvicorn.Server):
    """Serves until SIGTERM or SIGINT; calls `on_ready` once it accepts connections."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        descriptors = _raise_descriptor_limit()
        self.server_state = Admission(
            connections=min(settings.HTTP_CONNECTIONS, descriptors - min(RESERVED_DESCRIPTORS, descriptors // 2)),
            connections_per_address=settings.HTTP_CONNECTIONS_PER_ADDRESS,
            body_bytes=settings.HTTP_BODIES_MAX_BYTES,
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop normally. (uvicorn would raise the signal again after shutting down.)"""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # Objects that exist by now are permanent. Scanning them takes a collection a tenth of a second or longer.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE_THRESHOLD)
        if self.started:
            self._on_ready()

    async def on_tick(self, counter: int) -> bool:
        if counter % LOOK_TICKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, HttpProtocol):
                    connection.look(now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Report that the server is draining, let the rooms commit, acknowledge and close, then close what is left."""
        from realtime import registry

        health.draining = True
        registry.take_no_more()
        ends = time.monotonic() + settings.DRAIN_SECONDS
        # A second Ctrl-C, which arrives as a signal, ends the wait.
        while time.monotonic() < ends and not self.force_exit:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        for server in self.servers:
            server.close()
        await registry.drain()
        await super().shutdown(sockets)


def _raise_descriptor_limit() -> int:
    """Raise this process's limit of open files to the hard limit. Sandboxes have a limit of their own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return hard
    return soft


class Taken(Exception):
    """Raised if another server has what this one needs. The message says what to do."""


def hold_data_dir() -> None:
    """Lock DATA_DIR for this process, if embedded. A second server would take the runs of the first for its own.

    The lock ends with the process, however that ends. Raises Taken.
    """
    if not settings.EMBEDDED:
        return
    settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
    _keep_to_owner(settings.DATA_DIR)
    lock = os.open(settings.DATA_DIR / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise Taken(
            f"A server already runs on {settings.DATA_DIR}. Stop it, or give this one another folder: DATA_DIR=..."
        ) from None


def _keep_to_owner(folder: Path) -> None:
    """Revoke access by other accounts, which an earlier version or a copy may have left. Raises Taken."""
    found = folder.stat()
    if found.st_mode & stat.S_ISVTX or os.geteuid() not in (0, found.st_uid):
        raise Taken(f"{folder} is shared with other accounts. Give this server a folder of its own: DATA_DIR=...")
    database = Path(settings.DATABASES["default"]["NAME"])
    beside = database.parent.glob(f"{database.name}*") if database.is_absolute() else ()
    for path in (folder, *folder.iterdir(), *beside):
        if path == folder or (path.is_file() and not path.is_symlink()):
            try:
                path.chmod(path.stat().st_mode & 0o700)
            except PermissionError:
                logger.warning("%s belongs to another account, which can read it", path)


def _listen() -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.HOST else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.HOST, settings.PORT))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise Taken(f"Port {settings.PORT} is in use. Choose another: PORT={settings.PORT + 1} make run") from None
        raise Taken(f"Cannot listen on {settings.HOST}:{settings.PORT}: {error.strerror}.") from None
    return listener


def serve(on_ready: Callable[[], None] = lambda: None) -> None:
    """Serve on HOST:PORT until told to stop. Call hold_data_dir() first. Raises Taken before anything has started."""
    listener = _listen()
    config = uvicorn.Config(
        "codecrafter.asgi:application",
        host=settings.HOST,
        port=settings.PORT,
        lifespan="on",
        http=HttpProtocol,
        ws=SocketProtocol,
        ws_max_size=settings.SOCKET_MAX_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=30,
        ws_ping_timeout=20,
        timeout_keep_alive=settings.HTTP_KEEP_ALIVE_SECONDS,
        # web/client.py determines addresses behind proxies.
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=10,
    )
    Server(config, on_ready).run([listener])
