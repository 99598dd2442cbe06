"""Clients that nobody here wrote: y-websocket from npm under Node, and pycrdt's Provider."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

import pycrdt
import pytest
from websockets.asyncio.client import connect

from tests.live import ROOT
from tests.realtime.asgi import until
from tests.realtime.page import page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.live import LiveServer, Person

SYNCED = {"type": "sync", "synced": True}
DONE = {"type": "done"}
MODULES = ROOT / "frontend" / "node_modules" / "y-websocket"


def _unavailable(reason: str) -> None:
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


class Stock:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.text = ""
        self.people: list[Any] = []
        self.said: list[dict[str, Any]] = []
        self._changed = asyncio.Event()

    async def do(self, command: str, **fields: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": command, **fields}).encode() + b"\n")
        await self.process.stdin.drain()

    async def listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            message = json.loads(line)
            self.said.append(message)
            self.text = message.get("text", self.text)
            self.people = message.get("people", self.people)
            self._changed.set()

    async def until(self, condition: Callable[[Self], Any]) -> None:
        async with asyncio.timeout(60):
            while not condition(self):
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def stock(person: Person, session_id: str) -> AsyncIterator[Stock]:
    node = shutil.which("node")
    if node is None or not MODULES.is_dir():
        _unavailable("Node or frontend/node_modules is absent")
    version = await asyncio.create_subprocess_exec(str(node), "--version", stdout=asyncio.subprocess.PIPE)
    major = int((await version.communicate())[0].decode().lstrip("v").split(".")[0])
    if major < 20:
        _unavailable("Node has a WebSocket from version 20 on")
    flags = ["--experimental-websocket"] if major < 22 else []
    process = await asyncio.create_subprocess_exec(
        str(node),
        *flags,
        "--no-warnings",
        str(ROOT / "tests" / "realtime" / "stock_client.mjs"),
        f"{person.server.ws_url}/ws/sessions",
        session_id,
        person.access,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=16 * 1024 * 1024,
    )
    client = Stock(process)
    listener = asyncio.create_task(client.listen())
    try:
        await client.until(lambda client: SYNCED in client.said)
        yield client
    finally:
        if process.returncode is None:
            await client.do("quit")
        await asyncio.wait_for(process.wait(), 10)
        listener.cancel()


@pytest.fixture(scope="module")
def people(server: LiveServer) -> tuple[Person, Person]:
    return server.person("alice"), server.person("bob")


@pytest.fixture
def room(people: tuple[Person, Person]) -> tuple[Person, Person, str]:
    alice, bob = people
    session = alice.new_session(content="print(1)\n")
    alice.let_in(session["id"], bob, "write")
    return alice, bob, session["id"]


async def test_stock_clients_and_a_page_end_with_the_same_text(room):
    alice, bob, session_id = room
    async with page(alice, session_id) as one, stock(bob, session_id) as two, stock(alice, session_id) as three:
        for round_number in range(20):
            await one.type(f"é{round_number}", at=0)
            # Nobody has a character outside the BMP here: these clients would cut it in two.
            await two.do("insert", at=1, text=f"ö{round_number}")
            await three.do("insert", at=2, text="x\n")
            await three.do("delete", at=0, length=1)
        for client in (two, three):
            # What one of them still had to do would fall into the other's last line.
            await client.do("done")
            await client.until(lambda client: DONE in client.said)
        await two.do("insert", at=0, text="# end of two 😀\n")
        await three.do("insert", at=0, text="# end of three\n")
        await one.until(lambda: "# end of two 😀\n" in one.text and "# end of three\n" in one.text)
        await one.saved()
        await two.until(lambda client: client.text == one.text)
        await three.until(lambda client: client.text == one.text)
        # Others see an edit before it is on disk, and these clients do not hear when it is.
        await until(lambda: alice.text(session_id) == one.text)


async def test_stock_client_is_seen_with_its_real_name_and_again_after_a_reconnect(room):
    alice, bob, session_id = room
    async with stock(alice, session_id) as watcher, stock(bob, session_id) as moving:
        await moving.do("announce", state={"user": {"name": "the king"}})

        def sees_bob(client: Stock) -> bool:
            return any(user and user.get("name") == bob.username for user in client.people)

        await watcher.until(sees_bob)
        for number in range(3):
            await moving.do("reconnect")
            await moving.until(lambda client, number=number: client.said.count(SYNCED) > number + 1)
            # Whether the old socket's end or the new one's start came first, this is where it settles.
            await asyncio.sleep(0.5)
            watcher.people = []
            await watcher.do("people")
            await watcher.until(lambda client: client.people)
            assert sees_bob(watcher)


async def test_stock_client_gets_its_offline_edits_in_after_a_reconnect(room):
    alice, bob, session_id = room
    async with stock(bob, session_id) as client, page(alice, session_id) as one:
        await client.do("insert", at=0, text="a")
        await client.do("reconnect")
        await client.do("insert", at=0, text="b")
        await one.until(lambda: one.text.startswith("ba"))


@pytest.mark.parametrize("clock", [2**53 - 1, 2**53 - 2, 2**32, 2**32 - 1], ids=hex)
async def test_clock_at_the_top_of_its_range_harms_nobody_who_hears_it(room, clock):
    """A stock client says again what it hears of others: what the server wrote must be what the server reads."""
    alice, bob, session_id = room
    carol = alice.server.person("carol")
    alice.let_in(session_id, carol, "read")
    async with page(alice, session_id) as one, stock(bob, session_id) as client, page(carol, session_id) as reader:
        for client_id in (reader.doc.client_id, 2**53 - 1, 2**32, 0):
            await reader.announce({"cursor": None}, clock=clock, client_id=client_id)
        named = {"name": carol.username}
        await client.until(lambda client: sum(named.items() <= (user or {}).items() for user in client.people) == 4)
        await reader.announce(None, clock=clock)
        await client.until(lambda client: sum(named.items() <= (user or {}).items() for user in client.people) == 3)
        await client.do("insert", at=0, text="still here")
        await one.until(lambda: one.text.startswith("still here"))
        assert all(message.get("status") != "disconnected" for message in client.said)
        assert reader.socket.close_code is None


async def test_pycrdt_provider_syncs(room):
    alice, bob, session_id = room

    class Channel(pycrdt.Channel):
        def __init__(self, socket: Any) -> None:
            self._socket = socket

        @property
        def path(self) -> str:
            return session_id

        async def send(self, message: bytes) -> None:
            await self._socket.send(message)

        async def recv(self) -> bytes:
            return await self._socket.recv()

        def __aiter__(self) -> Self:
            return self

        async def __anext__(self) -> bytes:
            return await self.recv()

    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    async with (
        page(alice, session_id) as one,
        connect(bob.socket_url(session_id), additional_headers=bob.headers, compression=None) as socket,
        pycrdt.Provider(doc, Channel(socket)),
    ):
        await one.type("from the page\n")
        async with asyncio.timeout(60):
            while str(doc.get("main", type=pycrdt.Text)) != one.text:
                await asyncio.sleep(0.01)
        doc.get("main", type=pycrdt.Text).insert(0, "from the provider\n")
        await one.until(lambda: one.text.startswith("from the provider\n"))


async def test_emoji_that_a_stock_client_replaces_by_code_units_costs_nothing_else(room):
    alice, bob, session_id = room
    async with stock(bob, session_id) as client, page(alice, session_id) as one:
        await one.edit(lambda main: main.insert(0, "hi 😀!\n"))
        await client.until(lambda client: client.text.startswith("hi 😀!"))
        # As a text area does that keeps the half which both have.
        await client.do("delete", at=4, length=1)
        await client.do("insert", at=4, text="\ude01")
        await client.do("insert", at=0, text="after ")
        await one.until(lambda: one.text.startswith("after hi ") and "😀" not in one.text)
        await one.type("# and on\n")
        await one.saved()
        assert "!\n" in one.text and alice.text(session_id) == one.text
        await client.until(lambda client: client.text.endswith("# and on\n"))
        assert not any(message.get("status") == "disconnected" for message in client.said)
