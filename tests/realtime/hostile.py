"""Frames that were true and are bent, and a reader that does not read: for the short tests here and those in chaos."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pycrdt
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from realtime.wire.protocol import AwarenessEntry, encode_awareness
from tests.realtime.page import page

if TYPE_CHECKING:
    from tests.live import LiveServer, Person


def true_frames(document: bytes) -> list[bytes]:
    """One frame of each kind, as a page of this document sends it."""
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.apply_update(document)
    updates: list[bytes] = []
    subscription = doc.observe(lambda event: updates.append(event.update))
    text = doc.get("main", type=pycrdt.Text)
    text.insert(0, "hello é😀")
    del text[0:3]
    doc.unobserve(subscription)
    return [
        *(pycrdt.create_update_message(update) for update in updates),
        pycrdt.create_sync_message(doc),
        b"\x00\x01" + pycrdt.create_update_message(doc.get_update())[2:],
        encode_awareness([AwarenessEntry(doc.client_id, 1, {"cursor": None, "user": {"name": "x"}})]),
        b"\x03",
    ]


def bend(frame: bytes, chance: random.Random) -> bytes:
    bent = bytearray(frame)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(bent)) if bent else 0
        kind = chance.randrange(5)
        if kind == 0 and bent:
            bent[at] ^= 1 << chance.randrange(8)
        elif kind == 1 and bent:
            bent[at] = chance.choice((0, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        elif kind == 2:
            del bent[at:]
        elif kind == 3:
            bent[at:at] = chance.randbytes(chance.randint(1, 8))
        else:
            bent += bent[:at]
    return bytes(bent)


async def bent_frames(owner: Person, attacker: Person, count: int, seed: int = 7) -> tuple[int, int]:
    """Send `count` bent frames to a session in which two others type. Returns (frames sent, sockets used)."""
    session_id = owner.new_session(content="safe\n")["id"]
    owner.let_in(session_id, attacker)
    chance = random.Random(seed)
    sent = sockets = 0
    async with page(owner, session_id) as one, page(owner, session_id) as other:
        frames = true_frames(one.doc.get_update())
        while sent < count:
            sockets += 1
            async with connect(
                attacker.socket_url(session_id), additional_headers=attacker.headers, compression=None, max_size=None
            ) as socket:
                try:
                    # One after the other, so that each is taken or ends the socket; what follows an end is not counted.
                    while sent < count:
                        await socket.send(bend(chance.choice(frames), chance))
                        sent += 1
                        await socket.send(b"\x03")
                        async with asyncio.timeout(60):
                            while not (await socket.recv()).startswith(b"\x01"):  # type: ignore[arg-type]
                                pass
                except ConnectionClosed as closed:
                    assert closed.rcvd is not None and closed.rcvd.code in (4400, 4413, 1013), closed
            if sockets % 50 == 0:
                await one.type(f"{sockets} ")
                await other.until(lambda: one.text == other.text)
        await one.type("still typing")
        await one.saved()
        # What the attacker sent last may be taken after that.
        async with asyncio.timeout(60):
            while not one.text == other.text == await asyncio.to_thread(owner.text, session_id):
                await asyncio.sleep(0.1)
        assert "still typing" in one.text
    return sent, sockets


def resident_bytes(server: LiveServer) -> int:
    assert server._server.process is not None
    return int(Path(f"/proc/{server._server.process.pid}/statm").read_text().split()[1]) * 4096


async def stalled_reader(owner: Person, seconds: float, bytes_at_once: int = 50_000) -> tuple[int, int]:
    """One socket stops reading for so long while another types. Returns (bytes typed, growth of memory)."""
    session_id = owner.new_session(content="")["id"]
    async with page(owner, session_id) as writer, page(owner, session_id) as reader:
        assert reader.listener is not None

        async def rewrite() -> None:
            await writer.edit(lambda text: text.clear())
            await writer.type("x" * bytes_at_once)

        # Buffers and the room are as large as they get before anything is counted.
        for _ in range(5):
            await rewrite()
        await writer.saved()
        await reader.until(lambda: reader.text == writer.text)
        before = resident_bytes(owner.server)
        reader.listener.cancel()
        typed = 0
        until = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < until:
            await rewrite()
            typed += bytes_at_once
            await writer.saved()
        grown = resident_bytes(owner.server) - before
        await writer.type("the end")
        await writer.saved()
        reader.listener = asyncio.create_task(reader.listen())
        await reader.until(lambda: reader.text == writer.text, 60)
    return typed, grown
