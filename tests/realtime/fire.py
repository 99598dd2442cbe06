"""What is done to two processes while a trace is typed at them: for the short tests here and the long ones in chaos."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.realtime.conftest import pair
from tests.realtime.page import at
from tests.realtime.replay import Ended, replay, require_all_of
from tests.realtime.test_layer_away import Redis

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live import LiveServer, Person


def everybody(here: LiveServer, there: LiveServer) -> tuple[list[Person], str]:
    alice, bob = here.person("alice"), here.person("bob")
    session_id = alice.new_session(content="")["id"]
    alice.let_in(session_id, bob)
    return [alice, at(there, bob)], session_id


def cast(people: list[Person], raw: dict[str, Any]) -> list[Person]:
    """Who plays each agent of the trace, by turns of the processes."""
    return [people[number % len(people)] for number in range(raw["numAgents"])]


async def from_the_database(servers: tuple[LiveServer, LiveServer], person: Person, session_id: str, e: Ended) -> None:
    """Both processes end by kill -9, and one starts anew: what it shows it has read."""
    for server in servers:
        await asyncio.to_thread(server.kill)
    for server in servers:
        await asyncio.to_thread(server.start)
    await require_all_of(e, person, session_id)


async def kill_one(
    folder: Path, database: str, redis: str, raw: dict[str, Any], limit: int | None = None, kills: int = 1
) -> Ended:
    with pair(folder, {"DATABASE_URL": database, "REDIS_URL": redis, "ROOM_TICK_SECONDS": "1"}) as (here, there):
        people, session_id = everybody(here, there)
        done: list[float] = []

        async def kill(share: float) -> None:
            if len(done) < kills and share > (len(done) + 1) / (kills + 1):
                done.append(share)
                await asyncio.to_thread(there.kill)
                await asyncio.to_thread(there.start)

        ended = await replay(cast(people, raw), session_id, raw, limit=limit, disturb=kill)
        assert len(done) == kills
        await from_the_database((here, there), people[0], session_id, ended)
        return ended


async def without_redis(folder: Path, database: str, raw: dict[str, Any], limit: int | None = None) -> Ended:
    redis = Redis()
    try:
        settings = {"DATABASE_URL": database, "REDIS_URL": redis.url, "ROOM_TICK_SECONDS": "1"}
        with pair(folder, settings) as (here, there):
            people, session_id = everybody(here, there)
            done: list[str] = []

            async def disturb(share: float) -> None:
                if share > 0.2 and not done:
                    done.append("flushed")
                    await asyncio.to_thread(redis.forget)
                elif share > 0.4 and done == ["flushed"]:
                    done.append("stopped")
                    await asyncio.to_thread(redis.end)
                elif share > 0.7 and len(done) == 2:
                    done.append("started")
                    await asyncio.to_thread(redis.start)

            # Slow enough that something is typed in each of the states.
            ended = await replay(cast(people, raw), session_id, raw, limit=limit, pace_ms=400, disturb=disturb)
            assert done == ["flushed", "stopped", "started"]
            await from_the_database((here, there), people[0], session_id, ended)
            return ended
    finally:
        redis.end()


async def lossy(folder: Path, database: str, redis: str, raw: dict[str, Any], limit: int | None = None) -> Ended:
    settings = {
        "DATABASE_URL": database,
        "REDIS_URL": redis,
        "ROOM_TICK_SECONDS": "1",
        "DJANGO_SETTINGS_MODULE": "tests.realtime.lossy_settings",
    }
    with pair(folder, settings) as (here, there):
        people, session_id = everybody(here, there)
        ended = await replay(cast(people, raw), session_id, raw, limit=limit)
        await from_the_database((here, there), people[0], session_id, ended)
        return ended
