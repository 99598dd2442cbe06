"""uvicorn's HTTP protocol (used by server.py), with limits on how much a peer may send, and how slowly.

uvicorn itself buffers heads of any size, waits for slow peers indefinitely, queues every pipelined request, and takes
the trailers of a body for headers of its request.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httptools
from django.conf import settings
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from codecrafter.admission import TURNED_AWAY
from web.client import customer_of, forwarded_address
from web.problems import CONTENT_TYPE, problem

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    import uvicorn

    from codecrafter.admission import Admission

MAX_HEADERS = 128
# Data is parsed in pieces of this size; between two, the application may pause reading.
PARSE_BYTES = 4096
# A body in one-byte chunks has five bytes of framing around each.
FRAMING_BYTES_PER_BODY_BYTE = 8
# Closing at once would lose a response to a peer that is still sending.
LINGER_SECONDS = 2
LINGER_BYTES = 1024 * 1024
# Answered however busy the server is: they are cheap, and a server that does not answer them is restarted.
PROBES = (b"/health",)


@dataclass(frozen=True)
class Refusal:
    status: HTTPStatus
    code: str
    detail: str
    retry_after_seconds: int = 0

    def encode(self) -> bytes:
        body = json.dumps(problem(self.status, self.code, self.detail)).encode()
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"content-type: {CONTENT_TYPE}",
            f"content-length: {len(body)}",
            *([f"retry-after: {self.retry_after_seconds}"] if self.retry_after_seconds else []),
            "connection: close",
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body


MALFORMED = Refusal(HTTPStatus.BAD_REQUEST, "malformed_request", "This is not a valid HTTP request.")
HEAD_TOO_LARGE = Refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "head_too_large",
    "The request line and headers are too large. Send fewer or shorter ones.",
)
TOO_SLOW = Refusal(
    HTTPStatus.REQUEST_TIMEOUT,
    "request_too_slow",
    "The request did not arrive in time. Nothing was done; send it again.",
)
TOO_BUSY = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "too_busy",
    "Too many requests are open, from your address or in total. Nothing was done; try again in a few seconds.",
    retry_after_seconds=5,
)


class _Refused(Exception):
    """Raised in a callback of the parser, which wraps it."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal


class _Awaited(Enum):
    HEAD = "head"
    BODY = "body"
    NOTHING = "nothing"


class _Flow(FlowControl):
    """Has the protocol parse what is left before the transport resumes reading."""

    def __init__(self, transport: asyncio.Transport, on_resume: Callable[[], None]) -> None:
        super().__init__(transport)
        self._on_resume = on_resume

    def resume_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self._on_resume()


class HttpProtocol(HttpToolsProtocol):
    def __init__(
        self,
        config: uvicorn.Config,
        server_state: Admission,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._admission = server_state
        self._address = ""
        # Received but not parsed yet; only while reading is paused.
        self._unread = bytearray()
        self._is_deaf = False
        self._discarded_bytes = 0
        self._awaited = _Awaited.HEAD
        self._awaited_since = self._window_since = self.loop.time()
        self._in_message = self._in_head = False
        # Totals of the connection, and what they were when the message began.
        self._fed_bytes = self._body_bytes = 0
        self._fed_bytes_before = self._body_bytes_before = 0
        self._window_body_bytes = 0
        # When writing was paused, and how much was left then.
        self._stall: tuple[float, int] | None = None

    # The transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _Flow(transport, self._parse_soon)
        if not settings.TRUSTED_PROXIES and self.client:
            self._address = customer_of(self.client[0])
        if not self._admission.enter(transport, self._address):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_deaf = True
        self._unread.clear()
        self._admission.leave(self.transport)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            self._discard(data)
            return
        if len(data) > PARSE_BYTES or not self._may_parse():
            self._unread += data
            self._parse()
        else:
            self._feed(data)

    def _discard(self, data: bytes) -> None:
        self._discarded_bytes += len(data)
        if self._discarded_bytes > LINGER_BYTES:
            self.transport.pause_reading()

    def _parse_soon(self) -> None:
        # Deferred, because uvicorn is in the middle of starting or ending a request.
        self.loop.call_soon(self._parse)

    def _may_parse(self) -> bool:
        """Whether to parse more. Pipelined requests wait unparsed, so that few of them are in memory."""
        return not (self._is_deaf or self.flow.read_paused or self.pipeline)

    def _parse(self) -> None:
        while self._unread and self._may_parse():
            piece = bytes(self._unread[:PARSE_BYTES])
            del self._unread[:PARSE_BYTES]
            self._feed(piece)
        if not self._unread and self._may_parse():
            self.transport.resume_reading()

    def _feed(self, piece: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._awaited is _Awaited.NOTHING and not self._is_answering():
            self._await(_Awaited.HEAD)
        self._fed_bytes += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self._is_deaf = True
                self._unread.clear()
                self.transport.resume_reading()
                self.handle_websocket_upgrade()
            return
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause.refusal if isinstance(cause, _Refused) else MALFORMED)
            return
        body = self._body_bytes - self._body_bytes_before
        framing = self._fed_bytes - self._fed_bytes_before - body
        if framing > settings.HTTP_HEAD_MAX_BYTES + FRAMING_BYTES_PER_BODY_BYTE * body:
            self._refuse(HEAD_TOO_LARGE)

    # The parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_message = self._in_head = True
        self._fed_bytes_before, self._body_bytes_before = self._fed_bytes, self._body_bytes

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            # A trailer, which proxies in front have not checked.
            return
        if len(self.headers) >= MAX_HEADERS:
            raise _Refused(HEAD_TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        is_upgrade = self.parser.should_upgrade() and self._should_upgrade()
        if is_upgrade and (self._is_answering() or self._has_body()):
            raise _Refused(MALFORMED)
        if not self._admission.begin(self.transport, self._caller()) and not self._is_probe():
            raise _Refused(TOO_BUSY)
        self._in_head = False
        self._await(_Awaited.BODY)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if not self._admission.hold(self.transport, len(body)):
            raise _Refused(TOO_BUSY)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        self._await(_Awaited.NOTHING)
        super().on_message_complete()

    def _caller(self) -> str:
        if not settings.TRUSTED_PROXIES:
            return self._address
        forwarded = b",".join(value for name, value in self.headers if name == b"x-forwarded-for")
        return customer_of(forwarded_address(self.client[0] if self.client else "", forwarded.decode("latin-1")))

    def _has_body(self) -> bool:
        return any(
            name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 \t"))
            for name, value in self.headers
        )

    def _is_probe(self) -> bool:
        return self.url in PROBES and not self._has_body()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    # The answer

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._parse_soon()
        if self.transport.is_closing() or self._is_answering():
            return
        if self._in_message and not self._in_head:
            # Nobody needs the rest of the body.
            self._end()
            return
        self._admission.end(self.transport, self._address)
        if self._in_message:
            self._await(_Awaited.HEAD)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall = (self.loop.time(), self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stall = None

    def timeout_keep_alive_handler(self) -> None:
        self._end()

    # Timeouts

    def _await(self, what: _Awaited) -> None:
        self._awaited = what
        self._awaited_since = self._window_since = self.loop.time()
        self._window_body_bytes = self._body_bytes

    def look(self, now: float) -> None:
        """End the connection if its peer is too slow. The server calls this several times a second."""
        if self._awaited is _Awaited.HEAD and now - self._awaited_since > settings.HTTP_HEAD_SECONDS:
            if self._fed_bytes:
                self._refuse(TOO_SLOW)
            else:
                self.transport.abort()
        elif self._awaited is _Awaited.BODY:
            self._look_at_body(now)
        if self.flow.write_paused or self.transport.is_closing():
            self._look_at_answer(now)

    def _look_at_body(self, now: float) -> None:
        if not self.transport.is_reading():
            # The application is the slow one.
            self._awaited_since += now - self._window_since
            self._window_since, self._window_body_bytes = now, self._body_bytes
        elif now - self._awaited_since > settings.HTTP_BODY_SECONDS:
            self._refuse(TOO_SLOW)
        elif now - self._window_since > settings.HTTP_STALL_SECONDS:
            if self._body_bytes - self._window_body_bytes < settings.HTTP_BYTES_PER_SECOND * (now - self._window_since):
                self._refuse(TOO_SLOW)
            self._window_since, self._window_body_bytes = now, self._body_bytes

    def _look_at_answer(self, now: float) -> None:
        left = self.transport.get_write_buffer_size()
        since, left_then = self._stall = self._stall or (now, left)
        if now - since > settings.HTTP_STALL_SECONDS:
            if left_then - left < settings.HTTP_BYTES_PER_SECOND * (now - since):
                TURNED_AWAY.labels("answer_not_read").inc()
                self.transport.abort()
            self._stall = (now, left)

    # The end

    def _refuse(self, refusal: Refusal) -> None:
        """Answer in place of the application and close."""
        TURNED_AWAY.labels(refusal.code).inc()
        cycle, is_answering = self.cycle, self._is_answering()
        if is_answering:
            cycle.disconnected = True
            cycle.message_event.set()
        if self.pipeline or (is_answering and (cycle.response_started or self._in_head)):
            # The peer expects another response, and would mistake this one for it.
            self._is_deaf = True
            self.transport.abort()
        elif not self.transport.is_closing():
            self.transport.write(refusal.encode())
            self._end()

    def _end(self) -> None:
        """Close once the peer has read what was written, or has had the time to."""
        self._is_deaf = True
        self._unread.clear()
        self._awaited = _Awaited.NOTHING
        self._unset_keepalive_if_required()
        self._admission.end(self.transport, self._address)
        if not self.transport.is_closing():
            self.transport.write_eof()
            # Whatever still arrives is discarded, because a reset would overtake the response.
            self.transport.resume_reading()
            self.loop.call_later(LINGER_SECONDS, self.transport.abort)
