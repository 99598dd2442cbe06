"""uvicorn's WebSocket protocol (used by server.py), with three changes.

It can write frames that are already encoded, it has a fast path for short incoming messages, and it closes loopholes
for hostile peers. uvicorn pauses reading while the application has an unread message, so a slow application slows the
peer down through TCP. That leaves these loopholes: a read of 256 KiB, which may hold 40,000 messages, is parsed at
once; pings, pongs and fragments never reach the application and so cost a peer nothing; pongs pile up for a peer that
reads nothing; a closed connection whose peer reads nothing stays until TCP gives up; and a frame over the limit closes
with 1009, after which clients reconnect and send the same frame again, indefinitely.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import Close, Frame, Opcode, apply_mask  # type: ignore[attr-defined]
from websockets.protocol import State
from websockets.streams import StreamReader

if TYPE_CHECKING:
    import asyncio

    import uvicorn
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
    from websockets.http11 import Request

    from codecrafter.admission import Admission

TOO_LARGE, TOO_MANY_FRAMES = 4413, 1008
HEADERS_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
# Data is parsed in pieces of this size; between two, the application may pause reading.
PARSE_BYTES = 4096
# The limit of frames that the application does not see: control frames, fragments, messages after the close.
UNSEEN_FRAMES = 2000
UNSEEN_SECONDS = 10
LINGER_SECONDS = 5
# Linux's number of this TCP state.
TCP_ESTABLISHED = 1
# Where the parser waits between two frames.
_BETWEEN_FRAMES = StreamReader.at_eof.__code__


class SocketProtocol(WebSocketsSansIOProtocol):
    """Adds the ASGI extension `codecrafter.frames` (realtime/connection/outbox.py uses it where it is offered).

    With `send`, a broadcast to a hundred sockets would be encoded a hundred times and pass two coroutines each time.
    """

    # Slots, as in realtime/connection/outbox.py, for what is read on every frame.
    __slots__ = ("close_sent", "handshake_complete", "transport", "writable")

    def __init__(self, config: uvicorn.Config, server_state: Admission, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self._admission = server_state
        # Received but not parsed yet; only while reading is paused.
        self._unread = bytearray()
        self._is_deaf = False
        self._unseen = 0
        self._unseen_since = 0.0
        self._late_pong = b""
        self._linger: asyncio.TimerHandle | None = None

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        # A rejected handshake has no scope. The application starts in the next iteration of the loop.
        if not self.close_sent and not self.conn.extensions:
            self.scope["extensions"]["codecrafter.frames"] = {"write": self.write_frame, "is_gone": self.is_gone}

    def write_frame(self, frame: bytes) -> bool:
        """Write a complete, unmasked frame now. Returns False if the peer is slow or closing: then use `send`."""
        if not self.writable.is_set() or self.close_sent or self.transport.is_closing() or not self.handshake_complete:
            return False
        self.transport.write(frame)
        return True

    def is_gone(self) -> bool:
        """Whether the peer has closed the connection, even if messages before the close are still unread."""
        if self.transport.is_closing():
            return True
        try:
            state = self.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        except (AttributeError, OSError):
            # Not TCP, or not Linux.
            return False
        return state[0] != TCP_ESTABLISHED

    def data_received(self, data: bytes) -> None:
        if not self._take_alone(data):
            self._unread += data
            self._parse()

    def _take_alone(self, data: bytes) -> bool:
        """Handle data that is exactly one short binary message (RFC 6455, 5.2). Returns False for anything else.

        Nearly all typing arrives this way, and skips the generators of the parser.
        """
        size = len(data) - 6
        if not 0 <= size <= 125 or data[0] != 0x82 or data[1] != 0x80 | size:
            return False
        if self._unread or self.read_paused or self._is_deaf or not self._is_between_messages():
            return False
        self.curr_msg_data_type = "bytes"
        self.frames = [apply_mask(data[6:], data[2:6])]
        self.send_receive_event_to_app()
        return True

    def _is_between_messages(self) -> bool:
        if self.conn.state is not State.OPEN or self.conn.current_size is not None or self.conn.debug:
            return False
        waiting: Any = self.conn.parser
        while waiting.gi_yieldfrom is not None:
            waiting = waiting.gi_yieldfrom
        return waiting.gi_code is _BETWEEN_FRAMES

    def _parse(self) -> None:
        while self._unread and not self.read_paused:
            if self._is_deaf:
                self._unread.clear()
                return
            part = bytes(self._unread[:PARSE_BYTES])
            del self._unread[:PARSE_BYTES]
            super().data_received(part)
            if not self.handshake_initiated and self.conn.handshake_exc is not None:
                # Too many or too long headers, to which the library would not respond, leaving the connection open.
                self._is_deaf = True
                self.transport.write(HEADERS_TOO_LARGE)
                self.transport.close()

    async def receive(self) -> ASGIReceiveEvent:
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            self._parse()
            if not self.read_paused:
                self.transport.resume_reading()
        return message

    async def send(self, message: ASGISendEvent) -> None:
        if self._is_deaf:
            raise ClientDisconnected
        await super().send(message)
        if self.close_sent:
            # The peer's close frame may be in the unparsed data.
            self._parse()

    def handle_ping(self) -> None:
        if not self.handshake_complete:
            self._let_go()
        elif self._pays_for_frame():
            pong = b"".join(self.conn.data_to_send())
            if self.writable.is_set():
                self.transport.write(pong)
            else:
                # RFC 6455, 5.5.3: the most recent ping may be answered alone.
                self._late_pong = pong

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._late_pong and not self.close_sent:
            self.transport.write(self._late_pong)
        self._late_pong = b""

    def handle_pong(self, event: Frame) -> None:
        if self._pays_for_frame():
            super().handle_pong(event)

    def handle_cont(self, event: Frame) -> None:
        if self._pays_for_frame():
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        if not self.handshake_complete:
            self._let_go()
        elif not self.close_sent or self._pays_for_frame():
            super().send_receive_event_to_app()

    def _pays_for_frame(self) -> bool:
        """Count a frame that the application will not see. Returns False once the peer has sent too many."""
        if self._is_deaf:
            return False
        now = self.loop.time()
        if now - self._unseen_since > UNSEEN_SECONDS:
            self._unseen, self._unseen_since = 0, now
        self._unseen += 1
        if self._unseen > UNSEEN_FRAMES:
            self._shut(TOO_MANY_FRAMES, "too many frames")
        return not self._is_deaf

    def handle_parser_exception(self) -> None:
        if self._is_deaf:
            return
        if not self.handshake_complete:
            self._let_go()
            return
        if not isinstance(self.conn.parser_exc, PayloadTooBig):
            super().handle_parser_exception()
        self._is_deaf = True
        if not self.close_sent:
            # Messages before the one that is too large are valid.
            self.handle_events()
            self._shut(TOO_LARGE, "frame too large")

    def _let_go(self) -> None:
        """Drop a peer that sends data before the handshake is complete, without a close frame (RFC 6455, 4.1)."""
        self._is_deaf = True
        self.transport.abort()

    def _shut(self, code: int, reason: str) -> None:
        """Close the connection. Whatever still arrives is discarded, because a reset would overtake the close frame."""
        self._is_deaf = True
        # Drop what the protocol object was going to send.
        self.conn.data_to_send()
        if self.close_sent or self.transport.is_closing():
            self.transport.abort()
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(Frame(Opcode.CLOSE, Close(code, reason).serialize()).serialize(mask=False))
        self.close_sent = True
        self.close_timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def keepalive_timeout(self) -> None:
        if self.read_paused and self.writable.is_set():
            # The pong may be in the unread data: the application is the slow one.
            self.pong_timer = None
            self.pending_ping_payload = None
            self.schedule_ping()
        else:
            super().keepalive_timeout()
            self._end_soon()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        self._end_soon()

    def _end_soon(self) -> None:
        """Abort soon. Otherwise a peer that reads nothing would keep the connection until TCP gives up."""
        if not self.disconnected and self._linger is None:
            self._linger = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._admission.leave(self.transport)
        super().connection_lost(exc)
        self._unread.clear()
        if self._linger is not None:
            self._linger.cancel()
