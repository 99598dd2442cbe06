"""uvicorn's WebSocket protocol with a way to write a frame that is encoded already (server.py serves with it)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from websockets.http11 import Request


class SocketProtocol(WebSocketsSansIOProtocol):
    """Adds the ASGI extension `codecrafter.frames` (realtime/connections.py uses it where it is offered).

    A hundred sockets that are told the same would each encode it, and each pass two coroutines, on the way of `send`.
    """

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        # No scope is made for a handshake that is refused; the application starts in the next turn of the loop.
        if not self.close_sent and not self.conn.extensions:
            self.scope["extensions"]["codecrafter.frames"] = {"write": self.write_frame}

    def write_frame(self, frame: bytes) -> bool:
        """Write one whole, unmasked frame now; False when the peer does not keep up, or is going: then use `send`."""
        if not self.writable.is_set() or self.close_sent or self.transport.is_closing() or not self.handshake_complete:
            return False
        self.transport.write(frame)
        return True
