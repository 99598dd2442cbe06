"""The whole trace of several people, typed by stock providers at two real processes under fire."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.realtime import fire, traces

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(3600)


async def test_kill_9_in_the_middle_ends_at_the_end_of_the_trace(tmp_path: Path, postgres_url, redis_url):
    """(a) kill -9 of a process, three times: the text is endContent, every acknowledged edit is in PostgreSQL."""
    raw = traces.real_trace("clownschool")
    ended = await fire.kill_one(tmp_path, postgres_url, redis_url, raw, kills=3)
    assert ended.text == raw["endContent"]
    print(f"\nproved: {ended.acknowledged} acknowledged frames in PostgreSQL over three kill -9, text is endContent")


async def test_flushall_and_a_stopped_redis_end_at_the_end_of_the_trace(tmp_path: Path, postgres_url, redis_url):
    """(b) FLUSHALL, then no Redis for a third of the trace."""
    raw = traces.real_trace("clownschool")
    ended = await fire.without_redis(tmp_path, postgres_url, raw)
    assert ended.text == raw["endContent"]
    print(f"\nproved: {ended.acknowledged} acknowledged frames over FLUSHALL and a stopped Redis, text is endContent")


async def test_lossy_layer_ends_at_the_end_of_the_trace(tmp_path: Path, postgres_url, redis_url):
    """(c) A layer that drops 20 % and reorders."""
    raw = traces.real_trace("clownschool")
    ended = await fire.lossy(tmp_path, postgres_url, redis_url, raw)
    assert ended.text == raw["endContent"]
    print(f"\nproved: {ended.acknowledged} acknowledged frames over a layer that drops a fifth, text is endContent")
