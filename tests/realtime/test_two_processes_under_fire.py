"""The first part of a real trace, by stock providers at two processes that crash, lose Redis or lose its messages.

The whole trace: make chaos (tests/chaos).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.realtime import fire, traces

if TYPE_CHECKING:
    from pathlib import Path

STEPS = 240


@pytest.fixture(scope="module")
def raw() -> dict:
    return traces.real_trace("clownschool")


async def test_process_is_killed_in_the_middle(tmp_path: Path, postgres_url, redis_url, raw):
    ended = await asyncio.wait_for(fire.kill_one(tmp_path, postgres_url, redis_url, raw, STEPS), 300)
    assert ended.acknowledged


async def test_redis_is_flushed_and_stopped_in_the_middle(tmp_path: Path, postgres_url, redis_url, raw):
    await asyncio.wait_for(fire.without_redis(tmp_path, postgres_url, raw, STEPS), 300)


async def test_messages_between_processes_are_lost_and_overtake_each_other(
    tmp_path: Path, postgres_url, redis_url, raw
):
    await asyncio.wait_for(fire.lossy(tmp_path, postgres_url, redis_url, raw, STEPS), 300)
