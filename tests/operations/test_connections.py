"""Peers that send too much, too slowly, or nothing, on real servers: they are ended, and others are served."""

from __future__ import annotations

import re
import resource
import socket
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.live import LiveServer

HEAD = b"Host: localhost\r\n"
UPGRADE = b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
CHUNKED = b"POST /api/auth/login HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
HALF_A_BODY = b"POST /api/auth/login HTTP/1.1\r\n" + HEAD + b"Content-Length: 9000000\r\n\r\n{"
HALF_A_HEAD = b"GET / HTTP/1.1\r\n" + HEAD


@pytest.fixture(scope="module")
def hasty(tmp_path_factory):
    """A server that waits for nobody longer than a second."""
    settings = {
        "HTTP_HEAD_SECONDS": "1",
        "HTTP_STALL_SECONDS": "1",
        "HTTP_BODY_SECONDS": "3",
        "HTTP_KEEP_ALIVE_SECONDS": "1",
    }
    with LiveServer(tmp_path_factory.mktemp("hasty") / "data", settings) as live:
        yield live


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """A patient server that may open 512 files: 256 connections, 128 from one address, 96 of them with requests."""
    settings = {"HTTP_HEAD_SECONDS": "600", "HTTP_STALL_SECONDS": "600", "HTTP_BODY_SECONDS": "600"}
    with LiveServer(tmp_path_factory.mktemp("narrow") / "data", settings, descriptors=(400, 512)) as live:
        yield live


@contextmanager
def connection(server: LiveServer, data: bytes = b"", address: str = "127.0.0.1"):
    with socket.create_connection(("127.0.0.1", server.port), timeout=60, source_address=(address, 0)) as made:
        made.sendall(data)
        yield made


def answer(peer: socket.socket) -> bytes:
    """All that comes until the server closes."""
    received = b""
    try:
        while piece := peer.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def turned_away(server: LiveServer, reason: str) -> float:
    text = httpx.get(f"{server.url}/metrics").text
    found = re.search(rf'^http_turned_away_total{{reason="{reason}"}} (\S+)', text, re.MULTILINE)
    return float(found[1]) if found else 0


ENDLESS = {
    "a header": (b"GET /health HTTP/1.1\r\n" + HEAD + b"X-Long: ", b"x" * 65536),
    "headers": (b"GET /health HTTP/1.1\r\n" + HEAD, (b"a: " + b"x" * 60000 + b"\r\n") * 2),
    "small headers": (b"GET /health HTTP/1.1\r\n" + HEAD, b"a:\r\n" * 20_000),
    "a request line": (b"GET /", b"x" * 65536),
    "empty lines": (b"", b"\r\n" * 32768),
    "a chunk's extension": (CHUNKED + b"1;", b"x" * 65536),
    "trailers": (CHUNKED + b"1\r\n{\r\n0\r\n", (b"a: " + b"x" * 1000 + b"\r\n") * 64),
    "a handshake": (
        b"GET /ws/sessions/x HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
        b"a: b\r\n" * 9999,
    ),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_request_without_an_end_is_refused_and_read_no_further(hasty, what):
    first, more = ENDLESS[what]
    with connection(hasty, first) as peer:
        peer.settimeout(1)
        sent = 0
        try:
            while sent < 256 << 20:
                sent += peer.send(more)
        except OSError:
            pass
        peer.settimeout(60)
        # The system's buffers at both ends take some megabytes.
        assert sent < 32 << 20
        assert answer(peer).startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert httpx.get(f"{hasty.url}/health").status_code == 200


SLOW = {
    "nothing": (b"", b""),
    "half a head": (HALF_A_HEAD, b"HTTP/1.1 408 "),
    "half a body": (HALF_A_BODY, b"HTTP/1.1 408 "),
    "half a chunk": (CHUNKED + b"ff\r\n{", b"HTTP/1.1 408 "),
    "half a handshake": (HALF_A_HEAD + UPGRADE, b"HTTP/1.1 408 "),
    "no second request": (b"GET /health HTTP/1.1\r\n" + HEAD + b"\r\n", b"HTTP/1.1 200 "),
}


@pytest.mark.parametrize("what", SLOW)
def test_silent_peer_is_let_go(hasty, what):
    sent, said = SLOW[what]
    with connection(hasty, sent) as peer:
        assert answer(peer).startswith(said)


DRIPPING = {
    "a head": (b"GET / HTTP/1.1\r\n", b"a:\r\n", b"HTTP/1.1 408 "),
    "a body": (HALF_A_BODY, b" ", b"HTTP/1.1 408 "),
    # Fast enough in each second, but it would take hours.
    "a body at the least rate": (HALF_A_BODY, b" " * 200, b"HTTP/1.1 408 "),
    "the head of a second request": (b"GET /health HTTP/1.1\r\n" + HEAD + b"\r\nGET / HTTP/1.1\r\n", b"a:\r\n", b""),
    "empty lines": (b"GET /health HTTP/1.1\r\n" + HEAD + b"\r\n", b"\r\n", b""),
}


@pytest.mark.parametrize("what", DRIPPING)
def test_peer_that_sends_too_slowly_is_let_go(hasty, what):
    first, drop, said = DRIPPING[what]
    with connection(hasty, first) as peer:
        peer.settimeout(0.1)
        received, is_open = b"", True
        while is_open:
            try:
                peer.sendall(drop)
                piece = peer.recv(65536)
                received += piece
                is_open = bool(piece)
            except TimeoutError:
                pass
            except OSError:
                is_open = False
    assert received.startswith(said)


@pytest.mark.parametrize("last", [b"", b"Connection: close\r\n"], ids=["kept", "closed"])
def test_peer_that_does_not_read_its_answers_is_let_go(hasty, last):
    static = Path(hasty.environment["STATIC_ROOT"])
    large = max((path for path in static.rglob("*.js")), key=lambda path: path.stat().st_size)
    request = f"GET /static/{large.relative_to(static)} HTTP/1.1\r\n".encode() + HEAD
    before = turned_away(hasty, "answer_not_read")
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(("127.0.0.1", hasty.port))
        peer.sendall((request + b"\r\n") * 40 + request + last + b"\r\n")
        deadline = time.monotonic() + 60
        while turned_away(hasty, "answer_not_read") == before:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_server_takes_the_hard_limit_of_open_files(narrow):
    assert resource.prlimit(narrow.pid, resource.RLIMIT_NOFILE) == (512, 512)


FLOODS = {
    "one address": lambda number: "127.0.0.1",
    "many addresses": lambda number: f"127.0.{1 + number // 250}.{1 + number % 250}",
}


@pytest.mark.parametrize("where", FLOODS)
@pytest.mark.parametrize("sent", [b"", HALF_A_HEAD], ids=["nothing", "half a head"])
def test_flood_of_silent_connections_keeps_nobody_out(narrow, where, sent):
    alice = narrow.person("alice")
    with ExitStack() as stack:
        for number in range(700):
            stack.enter_context(connection(narrow, sent, FLOODS[where](number)))
        for _ in range(20):
            assert httpx.get(f"{narrow.url}/health", timeout=60).status_code == 200
        alice.new_session()
        assert turned_away(narrow, "evicted") > 0
        # Descriptors are left for what a request needs.
        assert len(list(Path(f"/proc/{narrow.pid}/fd").iterdir())) < 400
    assert "Too many open files" not in narrow.log()


def test_address_with_too_many_requests_is_refused_and_others_are_served(narrow):
    with ExitStack() as stack:
        peers = [stack.enter_context(connection(narrow, HALF_A_BODY, "127.0.0.9")) for _ in range(120)]
        refused = answer(peers[-1])
        assert refused.startswith(b"HTTP/1.1 503 ") and b"\r\nretry-after: 5\r\n" in refused
        assert b'"code": "too_busy"' in refused
        with connection(narrow, b"GET /login HTTP/1.1\r\nConnection: close\r\n" + HEAD + b"\r\n", "127.0.0.9") as same:
            assert answer(same).startswith(b"HTTP/1.1 503 ")
        # A probe from there would restart a server that is well.
        probe = b"GET /health HTTP/1.1\r\nConnection: close\r\n" + HEAD + b"\r\n"
        with connection(narrow, probe, "127.0.0.9") as same:
            assert answer(same).startswith(b"HTTP/1.1 200 ")
        assert httpx.get(f"{narrow.url}/login", timeout=60).status_code == 200
