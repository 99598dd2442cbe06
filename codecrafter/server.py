"""uvicorn with our options and a shutdown that lets the rooms finish first."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import uvicorn
from django.conf import settings

from codecrafter import health

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from types import FrameType


class Server(uvicorn.Server):
    """Serves until SIGTERM or SIGINT; calls `on_ready` once it accepts connections."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Being told to stop is an ordinary end. (uvicorn would raise the signal again once it has shut down.)"""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop being ready, let the rooms commit, acknowledge and say good-bye, then close what is left."""
        from realtime import rooms

        health.draining = True
        for server in self.servers:
            server.close()
        await rooms.drain()
        await super().shutdown(sockets)


def serve(on_ready: Callable[[], None] = lambda: None) -> None:
    """Serve on HOST:PORT until told to stop."""
    config = uvicorn.Config(
        "codecrafter.asgi:application",
        host=settings.HOST,
        port=settings.PORT,
        lifespan="on",
        ws="websockets-sansio",
        # Above what the consumer takes: its 4413 is final, while clients repeat themselves for ever after a 1009.
        ws_max_size=16 * settings.SOCKET_MAX_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        # Addresses behind proxies are worked out in codecrafter/http/client.py.
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=10,
    )
    Server(config, on_ready).run()
