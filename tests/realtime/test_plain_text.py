"""A shared text holds text only: whatever else Yjs can carry is refused before anybody hears of it."""

from __future__ import annotations

import asyncio

import pycrdt
import pytest

from realtime.wire.protocol import encode_update
from sessions_app.document import blocks, changes
from sessions_app.document.changes import SEED_CLIENT_ID
from sessions_app.document.errors import Malformed
from tests.live import LiveServer, Person
from tests.realtime.page import page
from tests.realtime.test_stock_client import stock

FILE = "f_" + "0" * 32
# The seed's own blocks: clock 0 is the entry file's path, from clock 1 on comes the text.
IN_FILES, IN_TEXT = bytes([SEED_CLIENT_ID, 0]), bytes([SEED_CLIENT_ID, 1])
NOWHERE = bytes([99, 5])
LEFT, RIGHT, KEY = 0x80, 0x40, 0x20


def string(text: str) -> bytes:
    return bytes([len(text.encode())]) + text.encode()


def update(info: int, place: bytes, content: bytes, client: int = 77, clock: int = 0) -> bytes:
    """One block."""
    return bytes([1, 1, client, clock, info]) + place + content + b"\x00"


def root(name: str, key: str | None = None) -> bytes:
    return b"\x01" + string(name) + (string(key) if key is not None else b"")


NUMBER, DEEP = b"\x01\x7d\x05", b"\x01" + b"\x75\x01" * 300_000 + b"\x7e"
HOSTILE = {
    "json": update(LEFT | 2, IN_TEXT, b"\x01" + string('"x"')),
    "binary": update(LEFT | 3, IN_TEXT, b"\x01\xff"),
    "embed": update(LEFT | 5, IN_TEXT, string('{"image":"x"}')),
    "embed at the start": update(RIGHT | 5, IN_TEXT, string('{"image":"x"}')),
    "embed in a text that is no file yet": update(5, root(FILE), string("{}")),
    "embed that must wait": update(LEFT | 5, NOWHERE, string("{}")),
    "embed after a gap": update(LEFT | 5, IN_TEXT, string("{}"), clock=3),
    "embed in the files": update(KEY | 5, root("files", FILE), string("{}")),
    "format": update(LEFT | 6, IN_TEXT, string("bold") + string("true")),
    "array": update(LEFT | 7, IN_TEXT, b"\x00"),
    "map": update(LEFT | 7, IN_TEXT, b"\x01"),
    "text": update(LEFT | 7, IN_TEXT, b"\x02"),
    "xml element": update(LEFT | 7, IN_TEXT, b"\x03" + string("p")),
    "xml as the files": update(KEY | 7, root("files", "main"), b"\x03" + string("p")),
    "text in a type": update(4, b"\x00" + IN_TEXT, string("x")),
    "subdocument": update(LEFT | 9, IN_TEXT, string("guid") + b"\x76\x00"),
    "moved": update(LEFT | 11, IN_TEXT, b"\x00" + IN_TEXT),
    "value": update(LEFT | 8, IN_TEXT, NUMBER),
    "value at the start": update(RIGHT | 8, IN_TEXT, NUMBER),
    "value called a path": update(LEFT | KEY | 8, IN_TEXT, NUMBER),
    "value in the root": update(8, root("main"), NUMBER),
    "value of the text's own map": update(KEY | 8, root("main", "k"), NUMBER),
    "value in a type": update(8, b"\x00" + IN_TEXT, NUMBER),
    "value beside a text that is no file yet": bytes([1, 2, 77, 0, 4])
    + (root(FILE) + string("x") + bytes([LEFT | 8, 77, 0]) + NUMBER + b"\x00"),
    "nested path": update(KEY | 8, root("files", "main"), b"\x01\x76\x00"),
    "deep path": update(KEY | 8, root("files", "main"), DEEP),
    "deep subdocument": update(LEFT | 9, IN_TEXT, string("guid") + DEEP[1:]),
}

# It could go into the map of files once its neighbour is there, so it is held; and nobody is shown it before.
WAITS = update(LEFT | 8, NOWHERE, NUMBER)


@pytest.fixture(scope="module")
def people(server: LiveServer) -> tuple[Person, Person, Person]:
    return server.person("alice"), server.person("bob"), server.person("carol")


@pytest.fixture
def room(people: tuple[Person, Person, Person]) -> tuple[Person, Person, Person, str]:
    alice, bob, carol = people
    session = alice.new_session(content="print(1)\n")
    alice.let_in(session["id"], bob, "write")
    alice.let_in(session["id"], carol, "read")
    return alice, bob, carol, session["id"]


async def committed(person: Person, session_id: str, text: str) -> None:
    async with asyncio.timeout(60):
        while person.text(session_id) != text:
            await asyncio.sleep(0.02)


async def test_nothing_but_text_gets_into_a_text(room):
    alice, bob, _, session_id = room
    async with page(alice, session_id) as one, stock(alice, session_id) as client:
        for number, (name, hostile) in enumerate(HOSTILE.items()):
            async with page(bob, session_id) as writer:
                await writer.socket.send(encode_update(hostile))
                await writer.until(lambda writer=writer: writer.said("refused"))
                assert writer.said("refused")[0]["code"] == "invalid", name
                await writer.socket.wait_closed()
                assert writer.socket.close_code == 4400, name
            await client.do("insert", at=0, text=str(number % 10))
            await one.until(lambda number=number: one.text.startswith(str(number % 10)))
            assert one.main.diff() == [(one.text, None)], name
        await client.until(lambda client: client.text == one.text)
        # An edit is shown to others before it is committed, and the npm client hears of no commit.
        await committed(alice, session_id, one.text)
        assert all(message.get("status") != "disconnected" for message in client.said)
        async with page(bob, session_id) as newcomer:
            assert newcomer.text == one.text


async def test_value_that_must_wait_is_held_and_shown_to_nobody(room):
    alice, bob, _, session_id = room
    async with page(alice, session_id) as one, page(bob, session_id) as writer:
        await writer.socket.send(encode_update(WAITS))
        writer.sent += 1
        await writer.type("x", at=0)
        await one.until(lambda: one.text.startswith("x"))
        await one.type("y", at=0)
        await one.saved()
        # Acknowledgements keep their order: what was held is not said to be saved, nor what came after it.
        assert writer.acked < writer.sent
        async with page(alice, session_id) as newcomer:
            assert newcomer.text == one.text == alice.text(session_id)
            assert newcomer.doc.get_state() == one.doc.get_state()


async def test_reader_with_anything_but_text_harms_nobody(room):
    alice, _, carol, session_id = room
    async with page(alice, session_id) as one:
        for name, hostile in HOSTILE.items():
            async with page(carol, session_id) as reader:
                await reader.socket.send(encode_update(hostile))
                await reader.until(lambda reader=reader: reader.said("refused"))
                assert reader.said("refused")[0]["code"] in ("invalid", "read_only"), name
        await one.type("!")
        await one.saved()
        assert alice.text(session_id) == "print(1)\n!"


async def test_formatting_is_refused_however_it_is_made(room):
    alice, bob, _, session_id = room
    async with page(alice, session_id) as one:
        for change in (
            lambda main: main.format(0, 3, {"bold": True}),
            lambda main: main.insert(0, "x", {"bold": True}),
            lambda main: main.insert_embed(0, {"image": "x"}),
        ):
            async with page(bob, session_id) as writer:
                await writer.edit(change)
                await writer.until(lambda writer=writer: writer.said("refused"))
                assert writer.said("refused")[0]["code"] == "invalid"
        await one.type("!")
        await one.saved()
        assert alice.text(session_id) == "print(1)\n!"


async def test_files_can_be_added_and_renamed_by_everybody(room):
    alice, bob, _, session_id = room
    async with page(alice, session_id) as one, page(bob, session_id) as other:
        listed, others = (person.doc.get("files", type=pycrdt.Map) for person in (one, other))
        listed[FILE] = "a.py"
        await one.flush()
        await other.until(lambda: others.get(FILE) == "a.py")
        for name in ("b.py", "c.py"):
            others[FILE] = name
            others["main"] = f"main_{name}"
            await other.flush()
        await one.until(lambda: listed["main"] == "main_c.py")
        del listed[FILE]
        listed[FILE] = "d.py"
        listed["main"] = "e.py"
        await one.flush()
        await other.until(lambda: others["main"] == "e.py" and others.get(FILE) == "d.py")
        await one.saved()
        await other.saved()
        async with page(bob, session_id) as newcomer:
            assert newcomer.doc.get("files", type=pycrdt.Map).to_py() == {"main": "e.py", FILE: "d.py"}


def test_blocks_that_pycrdt_writes_are_read_to_the_same_clocks():
    doc = pycrdt.Doc(client_id=2**53 - 2)
    doc.apply_update(changes.seed("é😀\n", "main.py"))
    text, files = doc.get("main", type=pycrdt.Text), doc.get("files", type=pycrdt.Map)
    for number in range(60):
        text.insert(0, f"😀é{number}")
        del text[0:4]
        if number % 3 == 0:
            files["main"] = f"{number}.py"
    update_of_all = doc.get_update()
    found, extent = blocks.read(update_of_all)
    ranges = blocks.ranges_in(b"files", found, {})
    values = [block for block in found if block.is_value]
    assert extent.needs({}) == {}
    assert len(values) == 1
    assert all(blocks.covers(ranges, value) for value in values)


@pytest.mark.parametrize("cut", range(1, 30))
def test_cut_off_updates_are_unreadable(cut):
    whole = changes.seed("some text", "main.py")
    with pytest.raises(Malformed):
        blocks.read(whole[: min(cut, len(whole) - 2)])
