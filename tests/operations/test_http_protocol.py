"""What the application hears of unusual requests, over real sockets on our HTTP protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from codecrafter.admission import Admission
from codecrafter.http_protocol import HttpProtocol

Served = Callable[[bytes], Any]


class Echo:
    """Answers with the length of the body, once `may_answer` is set; notes scopes, and how many were open at once."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message["body"])
            more = message["more_body"]
        await self.may_answer.wait()
        body = str(size).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(app: Echo, admission: Admission | None = None) -> AsyncIterator[Callable[..., Any]]:
    config = uvicorn.Config(app, ws="none", log_config=None)
    config.load()
    loop, made = asyncio.get_running_loop(), []

    def protocol(*args: Any) -> HttpProtocol:
        made.append(HttpProtocol(config, admission or Admission(100, 100, 1 << 20), {}))
        return made[-1]

    server = await loop.create_server(protocol, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()[:2]
    writers: list[asyncio.StreamWriter] = []

    async def ask(data: bytes) -> tuple[asyncio.StreamReader, HttpProtocol]:
        reader, writer = await asyncio.open_connection(*address)
        writers.append(writer)
        writer.write(data)
        await writer.drain()
        while len(made) < len(writers):
            await asyncio.sleep(0)
        return reader, made[-1]

    try:
        yield ask
    finally:
        for writer in writers:
            writer.close()
        server.close()


def request(*lines: str, body: bytes = b"") -> bytes:
    return "\r\n".join([*(lines or ["GET / HTTP/1.1"]), "Host: here", "", ""]).encode() + body


async def head_of(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(30):
        return await reader.readuntil(b"\r\n\r\n")


async def test_head_below_the_limit_is_taken():
    app = Echo()
    async with serving(app) as ask:
        reader, _ = await ask(request("GET /" + "x" * 60_000 + " HTTP/1.1", "Connection: close"))
        assert (await head_of(reader)).startswith(b"HTTP/1.1 200 ")
    assert len(app.scopes[0]["path"]) == 60_001


async def test_more_headers_than_any_client_sends_are_refused():
    app = Echo()
    async with serving(app) as ask:
        reader, _ = await ask(request("GET / HTTP/1.1", *(f"a{number}: b" for number in range(128))))
        assert (await head_of(reader)).startswith(b"HTTP/1.1 431 ")
    assert not app.scopes


async def test_body_in_chunks_of_one_byte_is_taken():
    chunks = b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n"
    async with serving(Echo()) as ask:
        reader, _ = await ask(request("POST / HTTP/1.1", "Transfer-Encoding: chunked", body=chunks))
        await head_of(reader)
        assert await reader.readexactly(5) == b"50000"


async def test_trailer_is_no_header():
    app = Echo()
    body = b"1\r\nx\r\n0\r\nCookie: sessionid=other\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
    async with serving(app) as ask:
        reader, _ = await ask(request("POST / HTTP/1.1", "Transfer-Encoding: chunked", body=body))
        assert (await head_of(reader)).startswith(b"HTTP/1.1 200 ")
    assert {name for name, _ in app.scopes[0]["headers"]} == {b"host", b"transfer-encoding"}


async def test_requests_sent_ahead_are_all_answered_and_few_are_kept():
    app = Echo()
    app.may_answer.clear()
    count = 5000
    async with serving(app) as ask:
        reader, protocol = await ask(request() * count)
        while not app.scopes:
            await asyncio.sleep(0)
        most = 0
        app.may_answer.set()
        for _ in range(count):
            assert (await head_of(reader)).startswith(b"HTTP/1.1 200 ")
            assert await reader.readexactly(1) == b"0"
            most = max(most, len(protocol.pipeline))
    assert len(app.scopes) == count
    assert 0 < most < 200


async def test_body_that_nobody_wants_any_more_ends_the_connection():
    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async with serving(refuse) as ask:
        reader, _ = await ask(request("POST / HTTP/1.1", "Content-Length: 1000000000", body=b"x" * 5000))
        assert (await head_of(reader)).startswith(b"HTTP/1.1 401 ")
        async with asyncio.timeout(30):
            assert await reader.read() == b""


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n"]
)
async def test_what_is_not_http_is_refused(sent):
    async with serving(Echo()) as ask:
        reader, _ = await ask(sent)
        assert (await head_of(reader)).startswith(b"HTTP/1.1 400 ")


async def test_bodies_are_refused_when_too_many_bytes_of_them_are_kept():
    app, half = Echo(), b"x" * 600
    async with serving(app, Admission(100, 100, 2000)) as ask:
        asked = request("POST / HTTP/1.1", "Content-Length: 1000")
        first, _ = await ask(asked + half)
        second, _ = await ask(asked + half)
        assert (await head_of(second)).startswith(b"HTTP/1.1 503 ")
        # What is over is not counted, and neither is what was refused.
        third, _ = await ask(request("POST / HTTP/1.1", "Content-Length: 300", body=half[:300]))
        assert (await head_of(third)).startswith(b"HTTP/1.1 200 ")
        fourth, _ = await ask(request("POST / HTTP/1.1", "Content-Length: 300", body=half[:300]))
        assert (await head_of(fourth)).startswith(b"HTTP/1.1 200 ")
        assert not first.at_eof()


async def test_behind_proxies_requests_count_for_whom_the_proxy_names(settings):
    settings.TRUSTED_PROXIES = 1
    app = Echo()
    app.may_answer.clear()
    async with serving(app, Admission(100, 4, 1000)) as ask:
        for _ in range(3):
            await ask(request("GET / HTTP/1.1", "X-Forwarded-For: 198.51.100.7, 203.0.113.1"))
        refused, _ = await ask(request("GET / HTTP/1.1", "X-Forwarded-For: 198.51.100.8, 203.0.113.1"))
        assert (await head_of(refused)).startswith(b"HTTP/1.1 503 ")
        other, _ = await ask(request("GET / HTTP/1.1", "X-Forwarded-For: 198.51.100.7, 203.0.113.2"))
        app.may_answer.set()
        assert (await head_of(other)).startswith(b"HTTP/1.1 200 ")


async def test_connection_that_goes_leaves_its_place():
    async with serving(Echo(), Admission(8, 8, 1000)) as ask:
        for _ in range(30):
            reader, _ = await ask(request("GET / HTTP/1.1", "Connection: close"))
            assert (await head_of(reader)).startswith(b"HTTP/1.1 200 ")
            await reader.read()
