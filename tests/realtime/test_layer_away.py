"""Redis ends, hangs, forgets or says nothing: text goes on through the log, and everybody is told that it is slower."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx
import pytest
import redis

from tests.realtime.conftest import pair
from tests.realtime.page import at, page
from tests.services import servers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live import LiveServer


class Redis:
    """One that can be ended and started again at the same address."""

    def __init__(self) -> None:
        self._port = servers.free_port()
        self._running = ExitStack()
        self.url = self.start()

    def start(self) -> str:
        """On the tests' own thread only: a server dies with the thread that started it."""
        return self._running.enter_context(servers.redis(self._port))

    def end(self) -> None:
        self._running.close()

    def hang(self) -> int:
        pid = redis.Redis.from_url(self.url).info("server")["process_id"]
        os.kill(pid, signal.SIGSTOP)
        return pid

    def forget(self) -> None:
        redis.Redis.from_url(self.url).flushall()


@pytest.fixture(scope="module")
def away(redis_url: str) -> Iterator[Redis]:
    """A Redis of our own: it is ended. (redis_url skips or fails where there is none.)"""
    own = Redis()
    yield own
    own.end()


@pytest.fixture(scope="module")
def two(
    tmp_path_factory: pytest.TempPathFactory, postgres_url: str, away: Redis
) -> Iterator[tuple[LiveServer, LiveServer]]:
    # A silent read that the client gives up must not cost the subscription: it is given up after a second here.
    settings = {"DATABASE_URL": postgres_url, "REDIS_URL": away.url, "REDIS_TIMEOUT_SECONDS": "1"}
    with pair(tmp_path_factory.mktemp("away"), settings) as running:
        yield running


def layer_state(server: LiveServer) -> str:
    return httpx.get(f"{server.url}/health/ready", timeout=20).json()["checks"]["channel_layer"]["status"]


async def test_text_goes_on_while_redis_is_gone_and_everybody_is_told(two, away):
    here, there = two
    alice = here.person("alice")
    session_id = alice.new_session(content="")["id"]
    async with page(alice, session_id) as one, page(at(there, alice), session_id) as other:
        assert one.said("hello")[0]["is_degraded"] is False
        await one.type("before ")
        await other.sees("before ")
        await asyncio.to_thread(away.forget)
        await one.type("forgotten ")
        await other.sees("before forgotten ")
        await asyncio.to_thread(away.end)
        for number in range(20):
            await one.type(f"a{number} ")
            await other.type(f"b{number} ", at=0)
        await one.saved()
        await other.saved()
        for someone in (one, other):
            await someone.until(lambda someone=someone: len(someone.text.split()) == 42)
            await someone.until(lambda someone=someone: someone.said("degraded"), 30)
            assert someone.said("degraded")[-1] == {"type": "degraded", "is_degraded": True}
        assert one.text == other.text
        assert await asyncio.to_thread(layer_state, here) != "ok"
        async with page(alice, session_id) as late:
            assert late.said("hello")[0]["is_degraded"] is True
            assert late.text == one.text
        # What only this process has to say is still heard in it.
        await one.socket.send('{"type":"chat","text":"still here"}')
        await one.until(lambda: one.said("chat"))
        away.start()
        for someone in (one, other):
            await someone.until(lambda someone=someone: not someone.said("degraded")[-1]["is_degraded"], 60)
        await one.type("after ")
        await other.until(lambda: other.text == one.text)
        assert await asyncio.to_thread(layer_state, here) == "ok"


async def test_redis_that_hangs_delays_nobody_who_types(two, away):
    here, there = two
    alice = here.person("alice")
    session_id = alice.new_session(content="")["id"]
    async with page(alice, session_id) as one, page(at(there, alice), session_id) as other:
        pid = await asyncio.to_thread(away.hang)
        try:
            for number in range(50):
                await one.type(f"{number} ")
            await one.saved()
            await other.until(lambda: len(other.text.split()) == 50, 60)
            await one.until(lambda: one.said("degraded"), 60)
        finally:
            os.kill(pid, signal.SIGCONT)
        await one.until(lambda: not one.said("degraded")[-1]["is_degraded"], 60)
        await other.type("after ")
        await one.until(lambda: one.text == other.text)
