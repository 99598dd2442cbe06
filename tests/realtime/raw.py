"""A socket without a WebSocket library: for what no library would send."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.live import LiveServer, Person

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


async def ask(
    server: LiveServer, path: str, headers: dict[str, str], *more: str
) -> tuple[str, asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for a socket; the status line and headers of the answer. `more` are header lines as they are."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 24)
    given = {"Host": f"127.0.0.1:{server.port}", **HANDSHAKE, **headers}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), *more, "", ""]
    writer.write("\r\n".join(lines).encode("latin-1"))
    async with asyncio.timeout(60):
        try:
            return (await reader.readuntil(b"\r\n\r\n")).decode("latin-1"), reader, writer
        except (asyncio.IncompleteReadError, ConnectionError):
            return "", reader, writer


async def raw_socket(person: Person, session_id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    head, reader, writer = await ask(person.server, f"/ws/sessions/{session_id}", person.headers)
    assert head.startswith("HTTP/1.1 101 "), head
    return reader, writer


def masked(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv1: bool = False) -> bytes:
    """One frame of a client. The mask is zero, so that the payload stays as it is."""
    first = opcode | (0x80 if fin else 0) | (0x40 if rsv1 else 0)
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = b"\xfe" + struct.pack("!H", size)
    else:
        length = b"\xff" + struct.pack("!Q", size)
    return bytes([first]) + length + b"\x00\x00\x00\x00" + payload


async def frame_of(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Opcode and payload of the next frame of the server."""
    async with asyncio.timeout(60):
        first, second = await reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            size = struct.unpack("!H", await reader.readexactly(2))[0]
        elif size == 127:
            size = struct.unpack("!Q", await reader.readexactly(8))[0]
        return first & 0x0F, await reader.readexactly(size)


async def close_of(reader: asyncio.StreamReader) -> tuple[int, str]:
    """The code and the reason that the server closes with; what it says before is passed over."""
    async with asyncio.timeout(60):
        while True:
            opcode, payload = await frame_of(reader)
            if opcode == 8:
                return struct.unpack("!H", payload[:2])[0], payload[2:].decode()


async def flood(writer: asyncio.StreamWriter, piece: bytes, most: int) -> int:
    """Write as fast as the server reads; what it took until it took nothing for two seconds, or closed."""
    sent = 0
    try:
        while sent < most:
            writer.write(piece)
            sent += len(piece)
            await asyncio.wait_for(writer.drain(), 2)
    except (TimeoutError, ConnectionError):
        pass
    return sent - writer.transport.get_write_buffer_size()
