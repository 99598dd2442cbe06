"""Clients without a CRDT (codecrafter.json.v1) beside pages, on a real server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.realtime.page import close_code, page
from tests.realtime.plain_client import all_at_once, plain_client
from tests.realtime.test_live_document import resyncs

UNITS = ("code_points", "utf16")
WOMAN = "\N{WOMAN}"


@pytest.fixture(scope="module")
def people(server):
    return [server.person(name) for name in ("alice", "bob", "carol")]


@pytest.fixture
def room(people):
    """(session id, alice who owns it, bob who writes, carol who reads)"""
    alice, bob, carol = people
    session_id = alice.new_session(content="one\ntwo\n")["id"]
    alice.let_in(session_id, bob)
    alice.let_in(session_id, carol, "read")
    return session_id, alice, bob, carol


async def test_joining_answers_with_everything(room):
    session_id, alice, bob, _ = room
    async with page(bob, session_id), plain_client(alice, session_id) as one:
        state = one.said("state")[0]
        assert (state["content"], state["unit"], state["language"]) == ("one\ntwo\n", "code_points", "python")
        assert (state["title"], state["permission"]) == ("Together", "owner")
        assert {person["username"] for person in state["people"]} == {alice.username, bob.username}
        assert 0 <= state["version"] < 2**53
        assert one.said("hello")[0]["user"]["id"] == alice.id
        await one.send(type="join-session")
        # The same again, and counted in code points when nothing is said.
        assert await one.next("state", after=1) == state


@pytest.mark.parametrize("unit", UNITS)
async def test_changes_go_both_ways_between_clients_and_pages(room, unit):
    session_id, alice, bob, _ = room
    async with (
        plain_client(alice, session_id, unit) as one,
        plain_client(bob, session_id, "code_points") as other,
        page(bob, session_id) as yjs,
    ):
        ref = await one.insert(4, f"é{WOMAN}日\n")
        await yjs.sees(f"one\né{WOMAN}日\ntwo\n")
        await other.sees(yjs.text)
        change = (await other.next("code-change"))["user"]
        assert change == {"id": alice.id, "username": alice.username}
        mine = await one.next("code-change")
        assert mine["ref"] == ref and "ref" not in other.said("code-change")[0]
        await one.saved()
        ack = one.said("ack")[0]
        assert (ack["ref"], ack["version"]) == (ref, mine["version"])
        await yjs.type("!", at=len(f"one\né{WOMAN}".encode()))
        await one.sees(f"one\né{WOMAN}!日\ntwo\n")
        assert one.said("code-change")[-1]["user"] == {"id": bob.id, "username": bob.username}
        await other.sees(one.text)
        await other.insert(5, "", delete=3)
        await one.sees("one\né\ntwo\n")
        await other.saved()
        await one.insert(4, "", delete=2)
        await yjs.sees("one\ntwo\n")
        await one.sees("one\ntwo\n")
        await other.sees("one\ntwo\n")
        await one.saved()
    assert alice.text(session_id) == "one\ntwo\n"


async def test_what_is_acknowledged_is_on_disk(room):
    session_id, alice, _, _ = room
    async with plain_client(alice, session_id) as one:
        await one.insert(0, "# first\n")
        await one.saved()
        assert alice.text(session_id) == "# first\none\ntwo\n"
        assert one.said("ack")[0]["seq"] == 2


async def test_change_made_at_an_older_version_is_moved_to_where_it_was_meant(room):
    session_id, alice, bob, _ = room
    async with plain_client(alice, session_id) as one, plain_client(bob, session_id, "utf16") as other:
        start = other.version
        # Both at the start: of two inserts at one place the first stays in front.
        await one.insert(0, f"{WOMAN} zero\n")
        await one.insert(0, "# ", delete=3)
        await other.until(lambda: other.version == start + 2)
        # "two" as it stood at the start, where nobody had inserted anything yet.
        await other.change([{"retain": 4}, {"delete": 3}, {"insert": "2"}], version=start)
        for client in (one, other):
            await client.sees(f"{WOMAN} zero\n# \n2\n")


async def test_version_that_is_not_known_here_is_refused_with_the_text(room, server):
    session_id, alice, bob, _ = room
    elsewhere = alice.new_session(content="other\n")["id"]
    async with plain_client(alice, elsewhere) as away:
        foreign = away.version
    async with plain_client(bob, session_id) as one:
        for number, version in enumerate((foreign, one.version - 1, one.version + 1, 0, 7)):
            one.version = -1
            ref = await one.change([{"insert": "misplaced"}], version=version)
            refused = await one.next("refused", after=number)
            assert (refused["code"], refused["ref"]) == ("version_passed", ref)
            assert (one.text, refused["content"]) == ("one\ntwo\n", "one\ntwo\n")
        await one.insert(0, "placed ")
        await one.sees("placed one\ntwo\n")
        await one.saved()
    assert alice.text(session_id) == "placed one\ntwo\n"


async def test_change_that_is_sent_again_is_made_once(room):
    session_id, alice, _, _ = room
    async with plain_client(alice, session_id) as one:
        start = one.version
        ref = await one.change([{"insert": "once "}])
        await one.saved()
        first = one.said("ack")[0]
    # The same room still knows it; nothing else on this connection has that ref.
    async with plain_client(alice, session_id) as again:
        await again.change([{"insert": "once "}], version=start, ref=ref, again=True)
        ack = await again.next("ack")
        assert (ack["ref"], ack["version"]) == (ref, first["version"])
        assert again.text == "once one\ntwo\n"
        await again.change([{"insert": "new "}], version=start, ref="never-arrived", again=True)
        await again.sees("once new one\ntwo\n")
        await again.change([{"insert": "x"}], version=3, ref=ref, again=True)
        assert (await again.next("refused"))["code"] == "version_passed"


async def test_reader_is_refused_and_a_demoted_writer_from_then_on(room):
    session_id, alice, bob, carol = room
    async with plain_client(carol, session_id) as reader, plain_client(bob, session_id) as writer:
        assert reader.said("state")[0]["permission"] == "read"
        await reader.insert(0, "no")
        assert (await reader.next("refused"))["code"] == "read_only"
        await writer.insert(0, "yes ")
        await writer.saved()
        alice.call(
            "PATCH",
            f"/api/sessions/{session_id}/collaborators/{bob.id}",
            200,
            json={"permission": "read", "is_bot": False},
        )
        assert (await writer.next("access"))["permission"] == "read"
        await writer.insert(0, "no ")
        assert (await writer.next("refused"))["code"] == "read_only"
        alice.call("DELETE", f"/api/sessions/{session_id}/collaborators/{bob.id}", 204)
        await writer.socket.wait_closed()
        assert writer.socket.close_code == 4403
        await reader.sees("yes one\ntwo\n")
    assert alice.text(session_id) == "yes one\ntwo\n"


BAD_CHANGES: list[tuple[dict[str, Any], str, str]] = [
    ({"delta": None}, "refused", "invalid"),
    ({"delta": [{"retain": 100}, {"insert": "x"}]}, "refused", "invalid"),
    ({"delta": [{"delete": 9}]}, "refused", "invalid"),
    ({"delta": [{"insert": "a\r\n"}]}, "refused", "invalid"),
    ({"delta": [{"insert": "\ud800"}]}, "refused", "invalid"),
    ({"version": "1"}, "refused", "invalid"),
    ({"version": None}, "refused", "invalid"),
    ({"version": True}, "refused", "invalid"),
    ({"again": 1}, "refused", "invalid"),
    ({"delta": [{"insert": "x" * 600_000}]}, "refused", "too_large"),
    ({"ref": 1}, "error", "bad_frame"),
    ({"ref": "r" * 65}, "error", "bad_frame"),
    ({"ref": "\ud800"}, "error", "bad_frame"),
]


@pytest.mark.parametrize(("wrong", "kind", "code"), BAD_CHANGES)
async def test_bad_change_is_refused_by_name_and_changes_nothing(room, wrong, kind, code):
    session_id, alice, _, _ = room
    async with plain_client(alice, session_id) as one:
        await one.send(**{"type": "code-change", "delta": [{"insert": "x"}], "version": one.version} | wrong)
        assert (await one.next(kind))["code"] == code
        await one.insert(0, "fine ")
        await one.sees("fine one\ntwo\n")


async def test_half_of_a_surrogate_pair_cannot_be_reached(room):
    session_id, alice, bob, _ = room
    async with plain_client(alice, session_id, "utf16") as one, page(bob, session_id) as yjs:
        await one.insert(0, WOMAN)
        await one.saved()
        await one.change([{"retain": 1}, {"insert": "x"}])
        assert (await one.next("refused"))["code"] == "invalid"
        await yjs.sees(f"{WOMAN}one\ntwo\n")


async def test_nothing_is_told_and_nothing_taken_before_joining(room):
    session_id, alice, bob, _ = room
    async with plain_client(alice, session_id, joins=False) as one, plain_client(bob, session_id) as other:
        await one.send(type="code-change", delta=[{"insert": "x"}], version=other.version, ref="r")
        refused = await one.next("error")
        assert (refused["code"], refused["ref"]) == ("join_first", "r")
        await other.insert(0, "y")
        await other.saved()
        await one.send(type="join-session", unit="bytes")
        assert (await one.next("error", after=1))["code"] == "bad_frame"
        assert not one.said("state") and not one.said("code-change")
        await one.send(type="join-session", unit="utf16")
        assert (await one.next("state"))["content"] == "yone\ntwo\n"


async def test_cursors_are_seen_by_pages_and_clients(room):
    session_id, alice, bob, carol = room
    text = f"é{WOMAN}one\n"
    alice.call("PATCH", f"/api/sessions/{session_id}", 200, json={"content": text})
    async with (
        page(bob, session_id) as yjs,
        plain_client(carol, session_id, "utf16") as one,
        plain_client(alice, session_id) as other,
    ):
        await one.send(type="cursor-move", anchor=1, head=4, version=one.version)
        await yjs.until(lambda: any(state["cursor"] for state in yjs.present.values()))
        (state,) = [state for state in yjs.present.values() if state["cursor"]]
        assert state["user"] == {
            "id": carol.id,
            "name": carol.username,
            "hue": state["user"]["hue"],
            "permission": "read",
        }
        assert yjs.doc.client_id not in yjs.present
        seen = await other.next("cursor-move")
        while seen["anchor"] is None:
            seen = await other.next("cursor-move", after=other.said("cursor-move").index(seen) + 1)
        assert (seen["anchor"], seen["head"], seen["user"]["username"]) == (1, 3, carol.username)
        # The client of the page has the same two places.
        places = [state["cursor"][end] for end in ("anchor", "head")]
        await yjs.announce({"cursor": {"anchor": places[0], "head": places[1]}}, clock=1)
        await one.until(lambda: any(m["anchor"] is not None for m in one.said("cursor-move")))
        theirs = [m for m in one.said("cursor-move") if m["anchor"] is not None][-1]
        assert (theirs["anchor"], theirs["head"], theirs["user"]["id"]) == (1, 4, bob.id)
        # Typing before a cursor moves it along with its text.
        start = one.version
        await other.insert(0, f"{WOMAN}{WOMAN}")
        await one.until(lambda: one.version == start + 1)
        count = len(other.said("cursor-move"))
        await one.send(type="cursor-move", position=1, version=start)
        assert (await other.next("cursor-move", after=count))["head"] == 3
        await one.send(type="cursor-move", position=len("éWWWWWWone\n"), version=one.version)
        await other.until(lambda: other.said("cursor-move")[-1]["head"] == len(other.text))
        async with plain_client(bob, session_id) as late:
            found = {c["user"]["id"]: c["head"] for c in late.said("state")[0]["cursors"]}
            assert found[carol.id] == len(late.text)
        await one.send(type="cursor-move", position=None)
        await other.until(lambda: other.said("cursor-move")[-1]["head"] is None)


@pytest.mark.parametrize(
    "wrong",
    [{"position": -1}, {"position": 99}, {"anchor": 1}, {"anchor": 1, "head": "2"}, {"position": 1, "version": "x"}],
)
async def test_cursor_that_is_nowhere_is_an_error(room, wrong):
    session_id, alice, _, _ = room
    async with plain_client(alice, session_id) as one:
        await one.send(type="cursor-move", ref="c", **wrong)
        told = await one.next("error")
        assert (told["code"], told["ref"]) == ("bad_frame", "c")


async def test_leaving_takes_the_cursor_away(room):
    session_id, alice, bob, _ = room
    async with page(bob, session_id) as yjs:
        async with plain_client(alice, session_id) as one:
            await one.send(type="cursor-move", position=2)
            await yjs.until(lambda: any(state["cursor"] for state in yjs.present.values()))
        await yjs.until(lambda: not yjs.present)


async def test_chat_presence_and_changes_of_the_session_are_told_alike(room):
    session_id, alice, bob, _ = room
    async with plain_client(alice, session_id) as one, page(bob, session_id) as yjs:
        await one.send(type="chat", text="hello", ref="r")
        assert (await one.next("chat"))["ref"] == "r"
        await yjs.until(lambda: yjs.said("chat"))
        alice.call("PATCH", f"/api/sessions/{session_id}", 200, json={"title": "Named", "language": "ruby"})
        assert (await one.next("session.changed"))["title"] == "Named"
        await one.until(lambda: {n["kind"] for n in one.said("notice")} == {"title_changed", "language_changed"})
        assert one.said("presence")


@pytest.mark.parametrize("frame", [b"\x00\x00\x01\x00", b"", b"\xff"])
async def test_binary_frame_ends_the_connection(room, frame):
    session_id, alice, _, _ = room
    async with connect(
        alice.socket_url(session_id),
        additional_headers=alice.headers,
        subprotocols=["codecrafter.json.v1"],  # type: ignore[list-item]
    ) as socket:
        await socket.send(frame)
        with pytest.raises(ConnectionClosed):
            while True:
                await socket.recv()
        assert socket.close_code == 4400


async def test_messages_of_clients_are_unknown_to_pages(room):
    session_id, alice, _, _ = room
    async with page(alice, session_id) as yjs:
        for kind in ("join-session", "code-change", "cursor-move"):
            await yjs.socket.send(json.dumps({"type": kind}))
        await yjs.until(lambda: len(yjs.said("error")) == 3)
        assert {told["code"] for told in yjs.said("error")} == {"unknown_message"}
    assert await close_code(alice, alice.socket_url(session_id), '{"type":"join-session"}', offer=False) == 4400


async def test_client_that_does_not_read_gets_the_state_when_it_does(room):
    session_id, alice, bob, _ = room
    before = resyncs(alice, "slow_reader")
    async with page(alice, session_id) as yjs, plain_client(bob, session_id) as slow:
        slow.socket.transport.pause_reading()
        while resyncs(alice, "slow_reader") == before:
            for _ in range(20):
                await yjs.type("é" * 30_000)
                await yjs.edit(lambda main: main.clear())
            await yjs.saved()
        await yjs.type("the end")
        await yjs.saved()
        slow.socket.transport.resume_reading()
        await slow.sees("the end")
        assert len(slow.said("state")) > 1
        await slow.insert(0, "back at ")
        await yjs.sees("back at the end")


@pytest.mark.parametrize("seed", range(3))
async def test_everybody_ends_with_the_same_text_and_nothing_is_misplaced(room, seed):
    session_id, alice, bob, _ = room
    async with (
        page(alice, session_id) as one,
        page(bob, session_id) as other,
        plain_client(alice, session_id, "utf16") as third,
        plain_client(bob, session_id) as fourth,
        plain_client(bob, session_id, "utf16") as fifth,
    ):
        text = await all_at_once([one, other], [third, fourth, fifth], seed)
    assert alice.text(session_id) == text
