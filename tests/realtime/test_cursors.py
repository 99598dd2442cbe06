"""Who points where: nobody vanishes who comes back, nobody stays who is gone, and nobody moves another's cursor."""

from __future__ import annotations

import asyncio

import pytest

from realtime.connection import outbox
from realtime.connection.outbox import Outbox, Shared
from realtime.wire import protocol
from realtime.wire.awareness import AwarenessTable
from realtime.wire.protocol import AwarenessEntry, decode, encode_awareness
from tests.realtime.page import Page, at, caret, page
from tests.realtime.test_room import connection, written


def entries(frames: list[bytes]) -> dict[int, AwarenessEntry]:
    return {entry.client_id: entry for frame in frames for message in decode(frame) for entry in message.entries}


def told_of(one: Page, client_id: int) -> list[bool]:
    """Whether the client was there, as often as the page was told."""
    frames = [frame for frame in one.binaries if frame[0] == 1]
    found = [entries([frame]).get(client_id) for frame in frames]
    return [entry.state is not None for entry in found if entry is not None]


async def test_page_that_comes_back_at_once_was_never_away_for_the_others(server):
    alice, bob = server.person("alice"), server.person("bob")
    session_id = alice.new_session(content="x\n")["id"]
    alice.let_in(session_id, bob)
    async with page(alice, session_id) as one:
        async with page(bob, session_id) as other:
            await other.announce({"cursor": None}, clock=1)
            await one.until(lambda: other.doc.client_id in one.present)
        async with page(bob, session_id, doc=other.doc) as again:
            # With the clock that it had: y-websocket issue 122.
            await again.announce({"cursor": caret(other.doc, 1)}, clock=1)
            await one.until(lambda: (one.present.get(other.doc.client_id) or {}).get("cursor"))
            assert all(told_of(one, other.doc.client_id))
        await one.until(lambda: other.doc.client_id not in one.present)


async def test_page_that_comes_back_at_another_process_was_never_away_for_the_others(with_redis):
    here, there = with_redis
    alice, bob = here.person("alice"), here.person("bob")
    session_id = alice.new_session(content="x\n")["id"]
    alice.let_in(session_id, bob)
    async with page(alice, session_id) as one, page(at(there, alice), session_id) as far:
        async with page(bob, session_id) as other:
            client_id = other.doc.client_id
            await other.announce({"cursor": None}, clock=1)
            for watcher in (one, far):
                await watcher.until(lambda watcher=watcher: client_id in watcher.present)
        async with page(at(there, bob), session_id, doc=other.doc) as again:
            await again.announce({"cursor": caret(other.doc, 1)}, clock=1)
            for watcher in (one, far):
                await watcher.until(lambda watcher=watcher: (watcher.present.get(client_id) or {}).get("cursor"))
            # Past the time of grace of the first socket.
            await asyncio.sleep(3.5)
            for watcher in (one, far):
                assert client_id in watcher.present
                assert all(told_of(watcher, client_id))


async def test_process_that_stops_takes_its_cursors_with_it(with_redis):
    here, there = with_redis
    alice, bob = here.person("alice"), here.person("bob")
    session_id = alice.new_session(content="x\n")["id"]
    alice.let_in(session_id, bob)
    async with page(at(there, alice), session_id) as one, page(bob, session_id) as other:
        await other.announce({"cursor": None}, clock=1)
        await one.until(lambda: other.doc.client_id in one.present)
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(here.stop)
        stopped = loop.time()
        try:
            await one.until(lambda: other.doc.client_id not in one.present)
            # It was told; who hears nothing believes in a dead process for half a minute.
            assert loop.time() - stopped < 15
        finally:
            await asyncio.to_thread(here.start)


@pytest.fixture
def table() -> AwarenessTable:
    return AwarenessTable()


def state(user_id: str) -> dict[str, object]:
    return {"cursor": None, "user": {"id": user_id, "name": "somebody"}}


def test_broken_socket_leaves_its_cursor_for_a_while(table):
    one, again = connection(), connection()
    table.take(one, [AwarenessEntry(7, 1, {})], 0)
    table.linger(one, 10)
    assert table.present() == {7}
    assert table.take(again, [AwarenessEntry(7, 1, {})], 11) == set()
    assert table.let_go(10, 13) == set()
    table.linger(again, 20)
    assert table.let_go(20, 23) == {7}
    assert table.present() == set()


def test_of_several_selections_those_are_taken_that_are_some_and_not_too_many(table):
    ends = {"anchor": {"tname": "main"}, "head": {"tname": "main"}}
    cursor = {**ends, "others": [ends, {"anchor": 1}, "x", {**ends, "style": "red"}, *([ends] * 40)]}
    table.take(connection(), [AwarenessEntry(7, 1, {"cursor": cursor})], 0)
    assert table.states({7})[7]["cursor"] == {**ends, "others": [ends] * 10}
    table.take(connection(), [AwarenessEntry(8, 1, {"cursor": {**ends, "others": {"anchor": 1}}})], 0)
    assert table.states({8})[8]["cursor"] == ends


def test_client_that_moved_to_another_process_is_let_go_here(table):
    one = connection()
    table.take(one, [AwarenessEntry(7, 1, {})], 0)
    clock = entries(table.encode({7}))[7].clock
    moved = encode_awareness([AwarenessEntry(7, clock + 1, state(one.user_id))])
    assert table.take_remote("other", moved, 1) == {7}
    # Its socket here is noticed to be dead only now, and nobody is told that it left.
    assert table.leave(one, 2) == set()
    assert table.present() == {7}


def test_client_that_another_process_says_has_left_is_announced_again(table):
    one = connection()
    table.take(one, [AwarenessEntry(7, 1, {})], 0)
    clock = entries(table.encode({7}))[7].clock
    assert table.take_remote("other", encode_awareness([AwarenessEntry(7, clock + 5, None)]), 1) == {7}
    said = entries(table.encode({7}))[7]
    assert said.clock > clock + 5
    assert said.state is not None
    # An older word of its leaving is the past.
    assert table.take_remote("other", encode_awareness([AwarenessEntry(7, clock, None)]), 1) == set()


def test_somebody_elses_claim_at_another_process_moves_nobodys_cursor(table):
    one = connection()
    table.take(one, [AwarenessEntry(7, 1, {})], 0)
    clock = entries(table.encode({7}))[7].clock
    assert table.take_remote("other", encode_awareness([AwarenessEntry(7, clock + 5, state("another"))]), 1) == set()
    assert entries(table.encode({7}))[7].state["user"]["id"] == one.user_id


def test_no_frame_about_a_crowd_is_too_long_to_be_said_again(table):
    """The npm client repeats each frame that it hears, and a frame with too many entries would close it for good."""
    for number in range(250):
        table.take(connection(number=number), [AwarenessEntry(number, 1, {})], 0)
    frames = table.encode(table.present())
    assert all(len(decode(frame)[0].entries) <= protocol.MAX_AWARENESS_ENTRIES // 2 for frame in frames)
    assert entries(frames).keys() == table.present()


async def test_reader_who_was_too_slow_for_cursors_gets_the_table_later():
    asked: list[bytes | None] = []

    async def catch_up(since: bytes | None) -> list[bytes]:
        asked.append(since)
        return [b"table"]

    one = Outbox(speaks_json=True)
    one.catch_up = catch_up
    for _ in range(300):
        one.put_awareness(Shared(b"c" * 1000))
    assert one.queued_bytes <= outbox.QUEUE_MAX_BYTES
    assert (await written(one))[-1] == b"table"
    assert asked == [None]
