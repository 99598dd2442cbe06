"""Two people in one session, over real sockets to a real server process."""

from __future__ import annotations

import contextlib
import random
import uuid

import pycrdt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from realtime.wire.protocol import AwarenessEntry, encode_awareness
from tests.live import LiveServer, Person
from tests.realtime.page import Page, caret, close_code, page
from tests.realtime.test_stock_client import Stock, stock


@pytest.fixture(scope="module")
def people(server: LiveServer) -> tuple[Person, Person, Person]:
    return server.person("alice"), server.person("bob"), server.person("carol")


@pytest.fixture
def room(people: tuple[Person, Person, Person]) -> tuple[Person, Person, Person, str]:
    """Alice owns, bob writes, carol reads."""
    alice, bob, carol = people
    session = alice.new_session(content="print(1)\n")
    alice.let_in(session["id"], bob, "write")
    alice.let_in(session["id"], carol, "read")
    return alice, bob, carol, session["id"]


async def test_edits_flow_both_ways_and_are_saved(room):
    alice, bob, _, session_id = room
    async with page(alice, session_id) as one, page(bob, session_id) as other:
        assert one.text == other.text == "print(1)\n"
        await one.type("héllo 😀\n")
        await other.type("# top\n", at=0)
        await one.sees("# top\nprint(1)\nhéllo 😀\n")
        await other.sees("# top\nprint(1)\nhéllo 😀\n")
        await one.saved()
        await other.saved()
        assert alice.text(session_id) == one.text


async def test_first_frame_says_who_and_what(room):
    alice, _, _, session_id = room
    async with page(alice, session_id) as one:
        hello = one.texts[0]
        assert hello["type"] == "hello"
        assert hello["user"] == {"id": alice.id, "username": alice.username, "hue": hello["user"]["hue"]}
        assert hello["permission"] == "owner"
        assert hello["head"] == 1
        assert hello["limits"].keys() == {"frame_bytes", "text_bytes", "updates_per_second", "chat_characters"}
        assert uuid.UUID(hello["epoch"])


async def test_readers_edit_is_refused_and_reaches_nobody(room):
    alice, _, carol, session_id = room
    async with page(alice, session_id) as one, page(carol, session_id) as reader:
        await reader.type("sneaked in")
        await reader.until(lambda: reader.said("refused"))
        assert reader.said("refused")[0]["code"] == "read_only"
        # The answer to the server's own step 1 is counted too, and may go before the edit or after it.
        assert 1 <= reader.said("refused")[0]["received"] <= reader.sent
        await reader.edit(lambda main: main.clear())
        # That answer may be refused as well, when it goes after the edit.
        await reader.until(lambda: len(reader.said("refused")) >= 2)
        await reader.saved()
        await one.type("fine")
        await one.saved()
        await reader.until(lambda: "fine" in reader.text)
        assert alice.text(session_id) == one.text == "print(1)\nfine"


async def test_stock_reader_is_told_by_an_auth_message(room):
    _, _, carol, session_id = room
    async with page(carol, session_id, stock=True) as reader:
        await reader.type("sneaked in")
        await reader.until(lambda: any(frame[:2] == b"\x02\x00" for frame in reader.binaries))
        assert not reader.texts


async def test_readers_first_sync_is_not_an_edit(room):
    alice, _, carol, session_id = room
    async with page(alice, session_id) as one:
        await one.edit(lambda main: main.clear())
        await one.saved()
        async with page(carol, session_id) as reader:
            await reader.saved()
            assert not reader.said("refused")


async def test_newcomer_does_not_see_what_was_deleted_before(room):
    alice, bob, _, session_id = room
    async with page(alice, session_id) as one, page(bob, session_id):
        await one.edit(lambda main: main.__delitem__(slice(0, 5)))
        async with page(bob, session_id) as newcomer:
            await newcomer.sees("(1)\n")


async def test_offline_edits_of_two_people_merge(room):
    alice, bob, _, session_id = room
    first, second = pycrdt.Doc(), pycrdt.Doc()
    async with page(alice, session_id, doc=first), page(bob, session_id, doc=second):
        pass
    first.get("main", type=pycrdt.Text).insert(0, "A")
    second.get("main", type=pycrdt.Text).insert(0, "B")
    async with page(alice, session_id, doc=first) as one, page(bob, session_id, doc=second) as other:
        await one.until(lambda: {"A", "B"} <= set(one.text))
        await other.until(lambda: other.text == one.text)
        await one.saved()
        await other.saved()
        assert alice.text(session_id) == one.text


async def test_update_with_a_missing_dependency_is_not_acknowledged_until_it_arrives(room):
    alice, bob, _, session_id = room
    async with page(bob, session_id) as other, page(alice, session_id) as one:
        updates: list[bytes] = []
        lost = pycrdt.Doc()
        lost.apply_update(one.doc.get_update())
        lost.observe(lambda event: updates.append(event.update))
        text = lost.get("main", type=pycrdt.Text)
        text.insert(0, "a")
        text.insert(1, "b")
        await one.saved()
        asked = [frame for frame in one.binaries if frame[:2] == b"\x00\x00"]
        one.sent += 1
        await one.socket.send(pycrdt.create_update_message(updates[1]))
        await one.until(lambda: len([frame for frame in one.binaries if frame[:2] == b"\x00\x00"]) > len(asked))
        assert one.acked < one.sent
        one.sent += 1
        await one.socket.send(pycrdt.create_update_message(updates[0]))
        await one.saved()
        await other.sees("abprint(1)\n")
        assert alice.text(session_id) == "abprint(1)\n"


async def test_everybody_knows_who_is_here(room):
    alice, bob, _, session_id = room
    async with page(alice, session_id) as one:
        async with page(bob, session_id) as other:
            names = {alice.username, bob.username}
            for someone in (one, other):
                await someone.until(
                    lambda someone=someone: {p["username"] for p in someone.said("presence")[-1]["people"]} == names
                )
        await one.until(lambda: len(one.said("presence")[-1]["people"]) == 1)


async def test_server_owns_the_identity_in_awareness(room):
    alice, bob, _, session_id = room
    async with page(alice, session_id) as one, page(bob, session_id) as other:
        await one.announce({"user": {"name": "bob", "color": "red"}, "cursor": caret(one.doc, 3)}, clock=1)
        await other.until(lambda: one.doc.client_id in other.present)
        seen = other.present[one.doc.client_id]
        assert seen["cursor"] == caret(one.doc, 3)
        assert seen["user"]["id"] == alice.id
        assert seen["user"]["name"] == alice.username
        assert seen["user"]["hue"] in range(8)
        # Somebody else's client id is passed over.
        await other.announce({"cursor": caret(one.doc, 99)}, clock=50, client_id=one.doc.client_id)
        await other.announce({"cursor": None}, clock=1)
        await one.until(lambda: other.doc.client_id in one.present)
        async with page(bob, session_id) as newcomer:
            await newcomer.until(lambda: one.doc.client_id in newcomer.present)
            assert newcomer.present[one.doc.client_id]["cursor"] == caret(one.doc, 3)


ITEM = {"item": {"client": 1, "clock": 0}}


@pytest.mark.parametrize(
    "cursor",
    [
        3,
        [],
        {},
        {"anchor": ITEM},
        {"anchor": {}, "head": ITEM},
        {"anchor": ITEM, "head": {"item": {"client": 1, "clock": -1}}},
        {"anchor": ITEM, "head": {"item": {"client": 1, "clock": 0.5}}},
        {"anchor": ITEM, "head": {"item": {"client": True, "clock": 0}}},
        {"anchor": ITEM, "head": {"item": {"client": 1, "clock": 2**53}}},
        {"anchor": ITEM, "head": {"item": {"client": "1", "clock": 0}}},
        {"anchor": ITEM, "head": {"type": 7}},
        {"anchor": ITEM, "head": {"tname": "elsewhere"}},
        {"anchor": ITEM, "head": {"tname": ["main"]}},
        {"anchor": ITEM, "head": {**ITEM, "assoc": 1e9}},
    ],
    ids=str,
)
async def test_cursor_that_is_none_is_not_passed_on(room, cursor):
    alice, _, carol, session_id = room
    async with page(alice, session_id) as one, page(carol, session_id) as reader:
        await reader.announce({"cursor": cursor, "selection": ITEM, "__proto__": {"user": 1}}, clock=1)
        await one.until(lambda: reader.doc.client_id in one.present)
        seen = one.present[reader.doc.client_id]
        assert seen.keys() == {"cursor", "user"}
        assert seen["cursor"] is None


async def test_cursor_of_every_kind_that_yjs_writes_is_passed_on_and_what_is_more_is_not(room):
    alice, _, carol, session_id = room
    end = {"type": None, "tname": "main", "item": None, "assoc": -1, "more": 1}
    start = {"item": {"client": 1, "clock": 0, "more": 1}}
    async with page(alice, session_id) as one, page(carol, session_id) as reader:
        await reader.announce({"cursor": {"anchor": start, "head": end, "more": 1}}, clock=1)
        await one.until(lambda: reader.doc.client_id in one.present)
        seen = one.present[reader.doc.client_id]["cursor"]
        assert seen == {"anchor": ITEM, "head": {"tname": "main", "assoc": -1}}


async def test_nobody_is_invisible_after_a_quick_reconnect(room):
    alice, bob, _, session_id = room
    async with page(bob, session_id) as other:
        async with page(alice, session_id) as one:
            await one.announce({"cursor": caret(one.doc, 1)}, clock=1)
            await other.until(lambda: one.doc.client_id in other.present)
        await other.until(lambda: one.doc.client_id not in other.present)
        async with page(alice, session_id, doc=one.doc) as again:
            await again.announce({"cursor": caret(one.doc, 1)}, clock=1)
            await other.until(lambda: one.doc.client_id in other.present)


async def test_echo_that_comes_late_takes_nobodys_client_id(room):
    """Stock clients say again what they heard of others; the answer to somebody's last move may cross their leaving."""
    alice, bob, _, session_id = room
    async with page(bob, session_id) as other:
        async with page(alice, session_id) as one:
            await one.announce({"cursor": None}, clock=1)
            await other.until(lambda: one.doc.client_id in other.present)
            echo = other.present[one.doc.client_id], other.clocks[one.doc.client_id]
        await other.until(lambda: one.doc.client_id not in other.present)
        await other.announce(*echo, client_id=one.doc.client_id)
        await other.type("after the echo")
        await other.saved()
        async with page(alice, session_id, doc=one.doc) as again:
            await again.announce({"cursor": None}, clock=1)
            await other.until(lambda: one.doc.client_id in other.present)


async def test_session_that_one_may_not_see_looks_absent(room, server):
    alice, _, _, session_id = room
    mallory = server.person("mallory")
    assert await close_code(mallory, mallory.socket_url(session_id)) == 4404
    assert await close_code(alice, alice.socket_url(str(uuid.uuid4()))) == 4404
    assert await close_code(alice, alice.socket_url("not-a-session")) == 4404
    assert await close_code(alice, f"{server.ws_url}/ws/elsewhere") == 4404


async def test_trailing_slash_is_accepted(room):
    alice, _, _, session_id = room
    async with page(alice, session_id, query="/") as one:
        assert one.text


async def test_nobody_gets_in_without_signing_in(room, server):
    _, _, _, session_id = room
    assert await close_code(None, f"{server.ws_url}/ws/sessions/{session_id}") == 4401


async def test_client_of_another_history_is_refused(room):
    alice, _, _, session_id = room
    assert await close_code(alice, alice.socket_url(session_id) + f"?epoch={uuid.uuid4()}") == 4409
    assert await close_code(alice, alice.socket_url(session_id) + "?epoch=garbage") == 4409
    async with page(alice, session_id) as one:
        epoch = one.said("hello")[0]["epoch"]
    async with page(alice, session_id, query=f"?epoch={epoch}") as one:
        assert one.text


async def works_on(client: Stock, other: Page) -> None:
    """The npm client, which says again what it hears of others, was not sent away and shows the same text."""
    await client.do("insert", at=0, text="stock ")
    await other.until(lambda: other.text.startswith("stock "))
    await client.until(lambda client: client.text == other.text)
    assert all(message.get("status") != "disconnected" for message in client.said)


@pytest.mark.parametrize(
    ("frame", "offer", "code"),
    [
        (b"\x00", True, 4400),
        (b"", True, 4400),
        (b"\x09\x01\x01", True, 4400),
        (b"\x00\x02\x05abc", True, 4400),
        (b"\x00\x02\x03\xff\xff\xff", True, 4400),
        (b"\x00\x00\x02\xff\x01", True, 4400),
        (b"\x01\x03\x01\x01\x01", True, 4400),
        (b"\x00\x02" + b"\x80" * 9 + b"\x01", True, 4400),
        ("hello", False, 4400),
        (b"\x00\x02\x81\x80\x40" + b"\x00" * (1024 * 1024 + 1), True, 4413),
    ],
    ids=[
        "short",
        "empty",
        "unknown",
        "cut",
        "corrupt",
        "bad-state",
        "bad-awareness",
        "long-number",
        "text",
        "oversized",
    ],
)
async def test_bad_frame_closes_its_sender_and_harms_nobody_else(room, frame, offer, code):
    alice, bob, _, session_id = room
    async with page(bob, session_id) as other, stock(bob, session_id) as client:
        assert await close_code(alice, alice.socket_url(session_id), frame, offer=offer) == code
        await other.type("still here")
        await other.saved()
        await works_on(client, other)


async def test_text_frame_that_is_not_understood_is_answered(room):
    alice, _, _, session_id = room
    async with page(alice, session_id) as one:
        for text in ("not json", "[]", '{"type":"dance"}', "{" * 5000):
            await one.socket.send(text)
        await one.until(lambda: len(one.said("error")) == 4)
        await one.type("x")
        await one.saved()


async def test_text_that_grows_too_large_is_refused(room):
    alice, bob, _, session_id = room
    async with page(bob, session_id) as other:
        async with page(alice, session_id) as one:
            await one.type("a" * 300_000)
            await one.saved()
            await one.type("b" * 300_000)
            await one.until(lambda: one.said("refused"))
            assert one.said("refused")[0]["code"] == "too_large"
            await one.socket.wait_closed()
            assert one.socket.close_code == 4413
        await other.type("!")
        await other.saved()
        assert len(alice.text(session_id)) == len("print(1)\n") + 300_001


async def test_lost_access_closes_the_socket_and_a_demotion_is_said(room):
    alice, bob, _, session_id = room
    async with page(alice, session_id), page(bob, session_id) as other:
        alice.call("PATCH", f"/api/sessions/{session_id}/collaborators/{bob.id}", 200, json={"permission": "read"})
        await other.until(lambda: other.said("access"))
        assert other.said("access")[-1]["permission"] == "read"
        await other.type("too late")
        await other.until(lambda: other.said("refused"))
        alice.call("DELETE", f"/api/sessions/{session_id}/collaborators/{bob.id}", 204)
        await other.socket.wait_closed()
        assert other.socket.close_code == 4403
        assert "too late" not in alice.text(session_id)


async def test_content_written_over_rest_appears_live_and_keeps_what_others_typed(room):
    alice, bob, _, session_id = room
    async with page(bob, session_id) as other:
        await other.type("# mine\n")
        await other.saved()
        text = alice.text(session_id)
        alice.call("PATCH", f"/api/sessions/{session_id}", 200, json={"content": text.replace("1", "😀")})
        await other.sees("print(😀)\n# mine\n")


def resyncs(person: Person, cause: str) -> float:
    lines = person.http.get("/metrics").text.splitlines()
    return sum(
        float(line.split()[-1]) for line in lines if line.startswith(f'realtime_resyncs_total{{cause="{cause}"}}')
    )


async def test_reader_that_stops_reading_gets_the_whole_text_later(room):
    alice, bob, _, session_id = room
    before = resyncs(alice, "slow_reader")
    async with page(alice, session_id) as one, page(bob, session_id) as slow:
        slow.socket.transport.pause_reading()
        while resyncs(alice, "slow_reader") == before:
            for _ in range(20):
                await one.type("x" * 60_000)
                await one.edit(lambda main: main.__delitem__(slice(0, 50_000)))
            await one.edit(lambda main: main.clear())
            await one.saved()
        await one.type("the end")
        await one.saved()
        slow.socket.transport.resume_reading()
        await slow.until(lambda: slow.text == one.text)


async def test_noise_from_one_person_harms_nobody_else(room):
    alice, bob, _, session_id = room
    chance = random.Random(11)
    async with page(bob, session_id) as other, stock(bob, session_id) as client:
        await other.type("é😀" * 20)
        await other.saved()
        async with page(alice, session_id) as victim:
            victim.main.insert(0, "noise")
            frames = [pycrdt.create_update_message(update) for update in victim._local]
            frames += [pycrdt.create_sync_message(victim.doc), b"\x01\x05\x01\x07\x01\x02{}", b"\x03"]
            for clock in (1, 2**53 - 1):
                frames.append(encode_awareness([AwarenessEntry(7, clock, {"cursor": caret(victim.doc, 0)})]))
        for number in range(40):
            async with connect(
                alice.socket_url(session_id), additional_headers=alice.headers, compression=None
            ) as socket:
                with contextlib.suppress(ConnectionClosed):
                    for _ in range(25):
                        frame = bytearray(chance.choice(frames))
                        for _ in range(chance.randint(0, 3)):
                            frame[chance.randrange(len(frame))] = chance.randrange(256)
                        await socket.send(bytes(frame))
            await other.type(str(number % 10))
        await works_on(client, other)
        # A room commits in the order in which it shows: once this is on disk, so is all that came before.
        await other.type("!")
        await other.saved()
        async with page(alice, session_id) as one:
            await one.until(lambda: one.text == other.text)
        assert alice.text(session_id) == other.text
