"""A page in a room with somebody whose client is not ours: what the page shows stays true, and it stays open."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING, Any

import pycrdt
import pytest
from playwright.sync_api import expect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from realtime.wire.protocol import AwarenessEntry, encode_awareness, encode_update
from tests.e2e.conftest import Visitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.live import LiveServer, Person

ITEM = {"client": 1, "clock": 0}
HOLD_AN_EMBED = """
import pycrdt
from sessions_app.document import update_log
from sessions_app.document.update_log import Entry
updates = []
doc = pycrdt.Doc()
doc.apply_update(update_log.load({session_id!r}).update)
doc.observe(lambda event: updates.append(event.update))
doc.get("main", type=pycrdt.Text).insert_embed(2, {{"image": "x"}})
update_log.append({{__import__("uuid").UUID({session_id!r}): [Entry(updates[0], None, "server")]}})
"""


@pytest.fixture
def ana(server: LiveServer, visit: Callable[[LiveServer, str], Visitor]) -> Iterator[Visitor]:
    """A page whose scripts may say nothing in the console that is an error."""
    ana = visit(server, "ana")
    problems: list[str] = []
    ana.page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    ana.sign_up()
    problems.clear()
    yield ana
    assert not problems


def session_of(owner: Person, guest: Visitor, other: Person, permission: str) -> str:
    session_id: str = owner.new_session(content="print(1)\n")["id"]
    owner.let_in(session_id, guest)
    owner.let_in(session_id, other, permission)
    return session_id


def open_page(visitor: Visitor, session_id: str) -> None:
    visitor.page.goto(f"{visitor.url}/sessions/{session_id}")
    visitor.expect_saved()


def send(person: Person, session_id: str, *frames: bytes) -> None:
    """A client that sends these and leaves, unless it is sent away first."""
    url = person.socket_url(session_id)
    with (
        connect(url, additional_headers=person.headers, compression=None) as socket,
        contextlib.suppress(ConnectionClosed),
    ):
        for frame in frames:
            socket.send(frame)
        socket.recv()


def cursor(client_id: int, state: dict[str, Any] | None, clock: int = 1) -> bytes:
    return encode_awareness([AwarenessEntry(client_id, clock, state)])


def expect_work_goes_on(ana: Visitor, owner: Person, session_id: str, word: str) -> None:
    ana.editor.click()
    ana.page.keyboard.press("Control+End")
    ana.page.keyboard.type(word)
    ana.page.wait_for_function("word => document.querySelector('.cm-content').textContent.includes(word)", arg=word)
    ana.expect_saved()
    expect(ana.page.locator("#state")).to_have_attribute("data-state", "saved")
    # CodeMirror draws the character that stands for an embed as a bullet.
    assert ana.text().replace("•", "") == owner.text(session_id)


def test_bad_cursor_costs_nobody_the_others_cursors_or_the_page(server, ana):
    owner, reader = server.person("owner"), server.person("reader")
    session_id = session_of(owner, ana, reader, "read")
    open_page(ana, session_id)
    start = {"item": ITEM, "assoc": 0}
    bad = [{"item": {"client": 1, "clock": -1}}, {"item": {"client": 1}}, {"item": 5}, {"type": ITEM}, {"tname": 7}, {}]
    text = {"item": {"client": 1, "clock": 2}}
    with connect(owner.socket_url(session_id), additional_headers=owner.headers, compression=None) as other:
        other.send(cursor(500, {"cursor": {"anchor": text, "head": text}}))
        flag = ana.page.locator(".caret-flag", has_text=owner.username)
        expect(flag).to_have_count(1)
        with connect(reader.socket_url(session_id), additional_headers=reader.headers, compression=None) as hostile:
            for number, head in enumerate(bad):
                for clock in (1, 2**53 - 1):
                    hostile.send(cursor(600 + number % 4, {"cursor": {"anchor": start, "head": head}}, clock))
            good = {"anchor": text, "head": text}
            hostile.send(cursor(600, {"cursor": good}, 2**53 - 1))
            expect(ana.page.locator(".caret-flag", has_text=reader.username)).to_have_count(1)
            expect(flag).to_have_count(1)
            expect_work_goes_on(ana, owner, session_id, "# on")


def test_writer_with_anything_but_text_changes_nothing_on_the_page(server, ana):
    owner, writer = server.person("owner"), server.person("writer")
    session_id = session_of(owner, ana, writer, "write")
    open_page(ana, session_id)
    left = b"\x01\x01"
    contents = {5: b"\x02{}", 6: b"\x04bold\x04true", 7: b"\x01", 8: b"\x01\x7d\x05", 9: b"\x01g\x76\x00"}
    for kind, content in contents.items():
        update = bytes([1, 1, 77, 0, 0x80 | kind]) + left + content + b"\x00"
        send(writer, session_id, encode_update(update))
        expect_work_goes_on(ana, owner, session_id, f"# {kind}")


def test_document_that_holds_an_embed_already_opens_and_is_edited_where_it_is_seen(server, ana):
    owner, writer = server.person("owner"), server.person("writer")
    session_id = session_of(owner, ana, writer, "write")
    server.manage("shell", "-v", "0", "-c", HOLD_AN_EMBED.format(session_id=session_id))
    open_page(ana, session_id)
    expect_work_goes_on(ana, owner, session_id, "# here")
    assert owner.text(session_id) == "print(1)\n# here"


def test_noise_in_the_room_leaves_the_page_as_it_was(server, ana):
    owner, writer = server.person("owner"), server.person("writer")
    session_id = session_of(owner, ana, writer, "write")
    open_page(ana, session_id)
    chance, updates = random.Random(5), []
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.observe(lambda event: updates.append(event.update))
    doc["elsewhere"] = pycrdt.Text("noise é😀")
    frames = [encode_update(updates[0]), cursor(9, {"cursor": None}), cursor(9, None), b"\x03", b"\x00\x00\x01\x00"]
    for _ in range(60):
        frame = bytearray(chance.choice(frames))
        for _ in range(chance.randint(0, 3)):
            frame[chance.randrange(len(frame))] = chance.randrange(256)
        send(writer, session_id, bytes(frame))
    expect_work_goes_on(ana, owner, session_id, "# still here")
