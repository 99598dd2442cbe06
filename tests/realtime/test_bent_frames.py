"""Bent frames and a reader that does not read, in short; 100,000 frames and 30 seconds: make chaos."""

from __future__ import annotations

import pytest

from tests.realtime.hostile import bent_frames, stalled_reader


@pytest.mark.timeout(300)
async def test_bent_frames_end_their_own_socket_only(server):
    sent, _ = await bent_frames(server.person("alice"), server.person("mallory"), 60)
    assert sent == 60


@pytest.mark.timeout(300)
async def test_reader_that_stops_reading_costs_little_and_ends_with_the_same_text(server):
    typed, grown = await stalled_reader(server.person("alice"), 3)
    assert typed
    assert grown < 64 * 1024 * 1024
