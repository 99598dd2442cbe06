"""The short ways past the parser and past `send`: what the application hears, and what the peer is told, must be
the same as on the long ones."""

from __future__ import annotations

import asyncio
import random
import socket
from functools import partial
from typing import Any

import pytest
import uvicorn
import uvloop

from codecrafter.admission import Admission
from codecrafter.socket_protocol import SocketProtocol
from realtime.wire.protocol import encode_websocket_frame
from tests.realtime.raw import HANDSHAKE, masked

REQUEST = "\r\n".join(["GET / HTTP/1.1", "Host: here", *(f"{k}: {v}" for k, v in HANDSHAKE.items()), "", ""]).encode()


class Parsing(SocketProtocol):
    def _take_alone(self, data: bytes) -> bool:
        return False


class Counting(SocketProtocol):
    taken = 0

    def _take_alone(self, data: bytes) -> bool:
        is_taken = super()._take_alone(data)
        Counting.taken += is_taken
        return is_taken


class Wire(asyncio.Transport):
    """Keeps what is written; nothing is ever slow."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def conversation(kind: type[SocketProtocol], pieces: list[bytes]) -> tuple[list[Any], bytes]:
    """What the application hears of the pieces, one read after the other, and what it and the server answer."""
    heard: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            message = await receive()
            heard.append(message)
            if message["type"] == "websocket.disconnect":
                return

    config = uvicorn.Config(application, ws_max_size=300, ws_per_message_deflate=False, log_config=None)
    protocol = kind(config, Admission(100, 100, 1 << 20), {})
    wire = Wire()
    protocol.connection_made(wire)
    for piece in [REQUEST, *pieces]:
        if not wire.is_closed:
            protocol.data_received(piece)
        for _ in range(4):
            await asyncio.sleep(0)
    protocol.connection_lost(None)
    await asyncio.gather(*protocol.tasks)
    return heard, wire.written


def frame(chance: random.Random) -> bytes:
    """Mostly a good one."""
    opcode = chance.choice([2] * 40 + [1, 0, 9, 10, 8, 3])
    size = chance.choice([0, 1, 4, 30, 124, 125] * 5 + [126, 200, 400])
    first = opcode | chance.choice([0x80] * 30 + [0, 0xC0])
    # With four bytes behind it, the second mask looks like the beginning of another message.
    mask = chance.choice([chance.randbytes(4), b"\x82\x82\x00\x01"])
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2)
    return bytes([first]) + length + mask + chance.randbytes(size)


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_way_a_message_takes_the_same_is_heard_and_answered(seed):
    chance = random.Random(seed)
    Counting.taken = 0
    for _ in range(200):
        pieces = []
        for _ in range(chance.randint(1, 8)):
            sent = b"".join(frame(chance) for _ in range(chance.choice([1, 1, 1, 2])))
            cut = chance.choice([0, 0, 2, chance.randint(0, len(sent))])
            pieces += [piece for piece in (sent[:cut], sent[cut:]) if piece]
        assert await conversation(Counting, pieces) == await conversation(Parsing, pieces)
    assert Counting.taken > 100


EARLY = {
    "unmasked": b"\x82\x01\x03",
    "too large": b"\x82\xff" + b"\xff" * 12,
    "no UTF-8": masked(1, b"\xff"),
    "a ping": masked(9),
    "a good message": masked(2, b"\x00\x00\x01\x00"),
}


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("name", EARLY)
async def test_peer_that_speaks_before_it_is_let_in_is_let_go_without_a_word(caplog, name, at_once):
    let_in = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await let_in.wait()
        await send({"type": "websocket.accept"})

    config = uvicorn.Config(application, ws_max_size=300, ws_per_message_deflate=False, log_config=None)
    wire = Wire()
    protocol = SocketProtocol(config, Admission(100, 100, 1 << 20), {})
    protocol.connection_made(wire)
    for piece in [REQUEST + EARLY[name]] if at_once else [REQUEST, EARLY[name]]:
        protocol.data_received(piece)
        await asyncio.sleep(0)
    assert wire.is_closed
    let_in.set()
    await asyncio.gather(*protocol.tasks)
    assert wire.written == b""
    assert not caplog.records


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_peer_that_reads_slowly_is_told_everything_whole_and_in_order(run):
    told, heard = run(conversation_with_slow_reader(random.Random(3)))
    assert heard == told


async def conversation_with_slow_reader(chance: random.Random) -> tuple[list[bytes], list[bytes]]:
    told: list[bytes] = []
    ways = {"frame": 0, "send": 0, "send instead": 0}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        write = scope["extensions"]["codecrafter.frames"]["write"]
        await receive()
        await send({"type": "websocket.accept"})
        # How often the reader is behind is the machine's.
        while len(told) < 1500 or min(ways.values()) < 50:
            told.append(chance.randbytes(chance.choice([3, 60, 60, 60, 125, 4000, 70_000])))
            way = "send"
            if chance.random() < 0.9:
                way = "frame" if write(encode_websocket_frame(told[-1])) else "send instead"
            ways[way] += 1
            if way != "frame":
                await send({"type": "websocket.send", "bytes": told[-1]})
            await asyncio.sleep(chance.choice([0, 0, 0.001]))
        await send({"type": "websocket.close"})
        assert not write(b"after the end")

    config = uvicorn.Config(application, ws_per_message_deflate=False, log_config=None)
    config.load()
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    server = await loop.create_server(partial(SocketProtocol, config, Admission(100, 100, 1 << 20), {}), sock=listener)
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        peer.connect(listener.getsockname())
        reader, writer = await asyncio.open_connection(sock=peer, limit=8192)
        writer.write(REQUEST)
        await reader.readuntil(b"\r\n\r\n")
        heard = []
        while (opcode := (await reader.readexactly(1))[0]) == 0x82:
            size = (await reader.readexactly(1))[0]
            if size >= 126:
                size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8))
            heard.append(await reader.readexactly(size))
            await asyncio.sleep(chance.choice([0, 0, 0, 0.001]))
        assert opcode == 0x88
        writer.close()
    server.close()
    return told, heard
