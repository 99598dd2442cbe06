"""Hostile, stalled and idle sockets on a real server."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from tests.realtime.conftest import pair
from tests.realtime.hostile import bent_frames, stalled_reader
from tests.realtime.page import at, page

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(14_400)
FRAMES = int(os.environ.get("CHAOS_FRAMES", "100000"))
PARTS = 20


async def test_bent_frames(server):
    """(e) The process lives, the others type on, and the document is theirs alone.

    In parts, each with people who have just signed in: an access token ends after 15 minutes.
    """
    sent = sockets = 0
    for seed in range(PARTS):
        more, used = await bent_frames(server.person("alice"), server.person("mallory"), FRAMES // PARTS, seed)
        sent, sockets = sent + more, sockets + used
    print(f"\nproved: {sent} bent frames on {sockets} sockets; the process lives, the others' documents are equal")


async def test_reader_that_stops_reading_for_thirty_seconds(server):
    """(f) Memory is flat, and one diff later the reader has the text."""
    typed, grown = await stalled_reader(server.person("alice"), 30)
    assert grown < 64 * 1024 * 1024
    print(f"\nproved: {typed / 1e6:.0f} MB typed past a stalled reader, memory grew by {grown / 1e6:.1f} MB")


async def test_sockets_idle_longer_than_every_time_out_hear_what_comes_then(tmp_path: Path, postgres_url, redis_url):
    """Two processes on Redis with its own time-outs, idle for 45 s; a tick that never comes, so Redis carried it."""
    settings = {"DATABASE_URL": postgres_url, "REDIS_URL": redis_url, "ROOM_TICK_SECONDS": "600"}
    with pair(tmp_path, settings) as (here, there):
        alice = here.person("alice")
        session_id = alice.new_session(content="")["id"]
        async with page(alice, session_id) as one, page(at(there, alice), session_id) as other:
            await asyncio.sleep(45)
            await one.type("still here")
            await other.sees("still here")
            assert not one.said("degraded")
    print("\nproved: sockets idle for 45 s on two processes hear each other over Redis")
