"""A room in which nobody moves is silent, and keeps the cursors of everybody who is there and of nobody else.

With y-websocket's own clients, which repeat every frame about cursors that they hear and drop what is not renewed.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from realtime.wire.awareness import AwarenessTable
from realtime.wire.protocol import Awareness, AwarenessEntry, decode
from tests.live import ROOT, LiveServer
from tests.realtime.page import page
from tests.realtime.test_room import connection
from tests.realtime.test_stock_client import MODULES, _unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from tests.live import Person

# The clocks of clients run so many times as fast, and so does the server's interval.
FAST = 5


class Crowd:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, command: str, **fields: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": command, **fields}).encode() + b"\n")
        await self._process.stdin.drain()

    async def look(self) -> dict[str, Any]:
        await self.do("look")
        assert self._process.stdout is not None
        return json.loads(await self._process.stdout.readline())

    async def until(self, condition: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        async with asyncio.timeout(60):
            while not condition(seen := await self.look()):
                await asyncio.sleep(0.1)
        return seen

    async def settled(self) -> dict[str, Any]:
        """What the crowd looks like once a second passed in which nobody heard of a cursor."""
        before = await self.look()
        async with asyncio.timeout(60):
            while True:
                await asyncio.sleep(1)
                seen = await self.look()
                if seen["heard"] == before["heard"]:
                    return seen
                before = seen


@asynccontextmanager
async def crowd(session_id: str, people: Sequence[Person], speed: int = 1) -> AsyncIterator[Crowd]:
    node = shutil.which("node")
    if node is None or not MODULES.is_dir():
        _unavailable("Node or frontend/node_modules is absent")
    process = await asyncio.create_subprocess_exec(
        str(node),
        *("--experimental-websocket", "--no-warnings", str(ROOT / "tests" / "realtime" / "stock_crowd.mjs")),
        f"{people[0].server.ws_url}/ws/sessions",
        session_id,
        json.dumps([person.access for person in people]),
        str(speed),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    try:
        made = Crowd(process)
        await made.until(lambda seen: seen["synced"])
        yield made
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 10)


@pytest.fixture
def room(server: LiveServer) -> tuple[str, Person, Person]:
    return room_of(server)


def room_of(server: LiveServer) -> tuple[str, Person, Person]:
    alice, bob = server.person("alice"), server.person("bob")
    session_id = alice.new_session(content="print(1)\n")["id"]
    alice.let_in(session_id, bob)
    return session_id, alice, bob


@pytest.mark.parametrize("tabs", [(1, 1), (2, 0), (2, 1), (8, 7)], ids=str)
async def test_after_the_last_move_a_room_is_silent(room, tabs):
    session_id, alice, bob = room
    people = [alice] * tabs[0] + [bob] * tabs[1]
    async with crowd(session_id, people) as everybody:
        for _ in range(10):
            await everybody.do("move")
            await asyncio.sleep(0.05)
        seen = await everybody.settled()
        assert seen["cursors"] == [len(people)] * len(people)
        await asyncio.sleep(2)
        later = await everybody.look()
        for kind in ("heard", "said"):
            assert all(now - before <= 1 for before, now in zip(seen[kind], later[kind], strict=True)), (seen, later)


async def test_person_who_reloads_a_page_sees_no_ghost_and_leaves_none(room):
    session_id, alice, bob = room
    async with crowd(session_id, [alice, alice, bob]) as everybody:
        await everybody.do("move")
        await everybody.settled()
        for _ in range(2):
            await everybody.do("reload", index=0)
            await everybody.until(lambda seen: seen["synced"])
            await everybody.do("move")
        # Sooner than a client lets go by itself of what is not renewed.
        async with asyncio.timeout(15):
            seen = await everybody.until(lambda seen: len(seen["seen"][2]) == 2)
        assert [sorted(names) for names in seen["seen"]] == [
            sorted([alice.username, bob.username]),
            sorted([alice.username, bob.username]),
            [alice.username, alice.username],
        ]


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("hasty") / "data"
    (folder / "static").mkdir(parents=True)
    with LiveServer(folder, {"SOCKET_KEEP_ALIVE_SECONDS": str(20 / FAST)}) as live:
        yield live


async def test_cursors_that_rest_stay_and_one_frame_renews_them_all(hasty):
    session_id, alice, bob = room_of(hasty)
    people = [alice] * 3 + [bob] * 3
    async with (
        crowd(session_id, people, FAST) as everybody,
        page(alice, session_id, query="?renewals=off") as quiet,
    ):
        await everybody.do("move")
        await quiet.until(lambda: sum(bool(state["cursor"]) for state in quiet.present.values()) == len(people))
        before, told = await everybody.look(), len([frame for frame in quiet.binaries if len(frame) > 3])
        seconds = 9
        for _ in range(seconds):
            await asyncio.sleep(1)
            seen = await everybody.look()
            # Of what rests for 30 s they drop, by their own clocks.
            assert seen["cursors"] == [len(people)] * len(people)
        renewals = seconds * FAST / 15
        assert all(now - was <= renewals + 1 for was, now in zip(before["heard"], seen["heard"], strict=True))
        # What they say by themselves, and the repeated frame.
        assert all(now - was <= 2 * renewals + 2 for was, now in zip(before["said"], seen["said"], strict=True))
        assert len([frame for frame in quiet.binaries if len(frame) > 3]) == told


def entry_of(table: AwarenessTable, client_id: int) -> AwarenessEntry:
    (message,) = decode(table.encode({client_id})[0])
    assert isinstance(message, Awareness)
    return message.entries[0]


def test_echo_is_no_news_whoever_repeats_it_and_binds_nothing():
    table, one, other, stranger = AwarenessTable(), connection(), connection(), connection("bob", 2)
    table.take(one, [AwarenessEntry(1, 1, {})], 0)
    table.take(other, [AwarenessEntry(2, 1, {})], 0)
    table.take(stranger, [AwarenessEntry(3, 1, {})], 0)
    told = [entry_of(table, client_id) for client_id in (1, 2, 3)]
    for who in (one, other, stranger):
        assert table.take(who, told, 1) == set()
    assert [sorted(who.client_ids) for who in (one, other, stranger)] == [[1], [2], [3]]
    # Nor does a late one, or one of a socket that broke: it would stay with the other tab.
    table.take(one, [AwarenessEntry(1, 2, {"cursor": {"anchor": {"tname": "main"}, "head": {"tname": "main"}}})], 2)
    table.linger(one, 3)
    assert table.take(other, told, 3) == set()
    assert table.let_go(3, 6) == {1}
    assert table.take(other, told, 7) == set()
    assert table.present() == {2, 3}


def test_what_another_tab_of_the_browser_passes_on_stays_with_its_own_socket():
    """y-websocket's tabs tell each other of their cursors directly, with the clocks of the clients."""
    table, one, other = AwarenessTable(), connection(), connection()
    table.take(one, [AwarenessEntry(1, 4, {})], 0)
    table.take(other, [AwarenessEntry(2, 1, {})], 0)
    assert table.take(other, [AwarenessEntry(1, 4, {"user": {"name": "me"}})], 1) == set()
    assert table.leave(other, 2) == {2}
    assert table.present() == {1}


def test_renewal_of_a_client_changes_nothing():
    table, one = AwarenessTable(), connection()
    assert table.take(one, [AwarenessEntry(1, 1, {})], 0) == {1}
    clock = entry_of(table, 1).clock
    assert table.take(one, [AwarenessEntry(1, 2, {})], 15) == set()
    assert entry_of(table, 1).clock == clock
