"""What was acknowledged is on disk: traces replayed through a server that is killed, stopped or out of its database."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pycrdt
import pytest

from sessions_app.document import updates
from sessions_app.document.opening import Limits
from sessions_app.document.replica import Replica
from tests.live import LiveServer, Person
from tests.realtime import traces
from tests.realtime.page import page

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = Limits(1 << 30, 1 << 30)
# How many frames a page may be ahead of its acknowledgements: the other page builds on them, and what the server has
# to hold for one socket because another's was read later is bounded.
AHEAD_MAX_FRAMES = 256


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server of our own: it is killed."""
    folder = tmp_path_factory.mktemp("mortal") / "data"
    # No pages are asked for here, and collecting their files takes seconds.
    (folder / "static").mkdir(parents=True)
    with LiveServer(folder) as live:
        yield live


@pytest.fixture(scope="module")
def people(mortal: LiveServer) -> tuple[Person, Person]:
    return mortal.person("alice"), mortal.person("bob")


@pytest.fixture
def room(people: tuple[Person, Person]) -> tuple[Person, Person, str]:
    alice, bob = people
    session = alice.new_session(content="")
    alice.let_in(session["id"], bob, "write")
    return alice, bob, session["id"]


async def document_of(person: Person, session_id: str) -> tuple[bytes, str]:
    async with page(person, session_id) as one:
        return one.doc.get_update(), one.text


class Replay:
    """A trace typed into a session, each agent over a socket of its own."""

    def __init__(self, room: tuple[Person, Person, str], trace: traces.Trace) -> None:
        self.alice, self.bob, self.session_id = room
        self.trace = trace
        # What each agent holds, and offers again after a reconnect.
        self.docs: list[pycrdt.Doc[Any]] = [pycrdt.Doc() for _ in range(trace.agents)]
        self.acknowledged: list[bytes] = []

    async def type(self, first: int, last: int, crash: LiveServer | None = None) -> None:
        async with AsyncExitStack() as stack:
            pages = [
                await stack.enter_async_context(page(person, self.session_id, doc=doc))
                for doc, person in zip(self.docs, [self.alice, self.bob] * self.trace.agents, strict=False)
            ]
            sent: list[tuple[int, int, bytes]] = []
            for agent, update in self.trace.steps[first:last]:
                for one in pages:
                    one.doc.apply_update(update)
                    one._local.clear()
                typist = pages[agent]
                await typist.until(lambda one=typist: one.sent - one.acked < AHEAD_MAX_FRAMES)
                typist.sent += 1
                sent.append((agent, typist.sent, update))
                await typist.socket.send(pycrdt.create_update_message(update))
            if crash is None:
                for one in pages:
                    await one.saved()
            else:
                await pages[0].until(lambda: pages[0].acked > 0)
                await asyncio.to_thread(crash.kill)
                for one in pages:
                    await one.socket.wait_closed()
            self.acknowledged += [update for agent, number, update in sent if number <= pages[agent].acked]

    async def require_everything_acknowledged(self) -> str:
        update, text = await document_of(self.bob, self.session_id)
        assert self.acknowledged
        replica = Replica(update, LIMITS)
        assert not replica.has_news(updates.merge(self.acknowledged))
        replica.close()
        return text


async def crash_in_the_middle(room: tuple[Person, Person, str], trace: traces.Trace, mortal: LiveServer) -> str:
    replay, steps = Replay(room, trace), len(trace.steps)
    await replay.type(0, steps // 3)
    await replay.type(steps // 3, 2 * steps // 3, crash=mortal)
    await asyncio.to_thread(mortal.start)
    await replay.require_everything_acknowledged()
    await replay.type(2 * steps // 3, steps)
    return await replay.require_everything_acknowledged()


async def test_killed_server_loses_no_acknowledged_edit(room, mortal):
    alice, _, session_id = room
    seed, _ = await document_of(alice, session_id)
    trace = traces.made_trace(seed)
    assert await crash_in_the_middle(room, trace, mortal) == trace.end
    assert alice.text(session_id) == trace.end


async def test_trace_of_two_people_ends_at_its_text_over_a_crash(room, mortal):
    alice, _, session_id = room
    raw = traces.real_trace("clownschool")
    seed, _ = await document_of(alice, session_id)
    trace = traces.concurrent(seed, raw)
    assert await crash_in_the_middle(room, trace, mortal) == trace.end


async def test_trace_of_one_programmer_ends_at_its_text(room):
    alice, _, session_id = room
    raw = traces.real_trace("rustcode")
    seed, _ = await document_of(alice, session_id)
    trace = traces.sequential(seed, raw)
    assert trace.end == raw["endContent"]
    replay = Replay(room, trace)
    await replay.type(0, len(trace.steps))
    assert await replay.require_everything_acknowledged() == trace.end
    assert alice.text(session_id) == trace.end


async def test_stopped_server_says_good_bye_and_has_everything(room, mortal):
    alice, bob, session_id = room
    async with page(alice, session_id) as one, page(bob, session_id) as other:
        for number in range(50):
            await one.type(f"{number} ")
        stopping = asyncio.create_task(asyncio.to_thread(mortal.stop))
        await one.socket.wait_closed()
        await other.socket.wait_closed()
        assert one.socket.close_code == other.socket.close_code == 1012
        assert one.acked == one.sent
        text = one.text
        await stopping
    await asyncio.to_thread(mortal.start)
    assert alice.text(session_id) == text


async def test_without_its_database_nothing_is_called_saved_and_nothing_is_lost(room, mortal):
    alice, bob, session_id = room
    async with page(alice, session_id) as one, page(bob, session_id) as other:
        await one.type("before\n")
        await one.saved()
        lock = sqlite3.connect(mortal.data_dir / "codecrafter.sqlite3", isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        try:
            await one.type("meanwhile\n")
            await other.sees("before\nmeanwhile\n")
            await asyncio.sleep(0.5)
            assert one.acked < one.sent
        finally:
            lock.execute("ROLLBACK")
            lock.close()
        await one.saved()
    assert alice.text(session_id) == "before\nmeanwhile\n"
