"""What a socket may say and how many there are: past it, it is read more slowly, or closed with a code that says why.

One server with its limits on, made small; the people in the same room notice nothing.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pycrdt
import pytest

from realtime.wire.protocol import AwarenessEntry, encode_awareness
from tests.realtime.page import Page, caret, close_code, page
from tests.realtime.raw import close_of, flood, masked, raw_socket

if TYPE_CHECKING:
    from tests.live import LiveServer, Person

TOO_MANY, SILENT, TOO_LARGE = 4429, 4508, 4413


@pytest.fixture
def room(strict: LiveServer) -> tuple[Person, Person, str]:
    """Alice owns, bob writes."""
    alice, bob = strict.person("alice"), strict.person("bob")
    session_id = alice.new_session(content="")["id"]
    alice.let_in(session_id, bob)
    return alice, bob, session_id


def limited(person: Person, limit: str) -> float:
    return sample(person, f'realtime_limited_total{{limit="{limit}"}}')


def sample(person: Person, series: str) -> float:
    lines = person.http.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(series))


def memory_bytes(server: LiveServer) -> int:
    assert server._server.process is not None
    pages = Path(f"/proc/{server._server.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


async def works(one: Page) -> None:
    await one.type(secrets.token_hex(2))
    await one.saved()


async def test_updates_past_the_rate_are_taken_more_slowly_and_none_is_lost(room):
    alice, bob, session_id = room
    before = limited(alice, "updates")
    async with page(alice, session_id) as one, page(bob, session_id) as other:
        loop, started = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        for number in range(100):
            await other.type(f"{number} ")
        await other.saved()
        # 20 at once, 80 at 40 per second.
        assert loop.time() - started > 1.5
        await one.until(lambda: one.text.split() == [str(number) for number in range(100)])
        assert alice.text(session_id) == one.text
    assert limited(alice, "updates") > before


async def test_edit_of_many_pieces_in_several_frames_is_taken_and_acknowledged(room):
    """Replacing every comma takes 20 bytes a match on the wire: more than a frame may have, of a text that is small."""
    alice, bob, session_id = room
    matches, pieces = 12_000, 4
    async with page(alice, session_id) as one, page(bob, session_id) as other:
        await other.type("a," * matches)
        await other.saved()
        for piece in range(pieces):
            with other.doc.transaction():
                for match in range(piece * matches // pieces, (piece + 1) * matches // pieces):
                    del other.main[2 * match + 1 : 2 * match + 2]
                    other.main.insert(2 * match + 1, ";")
        limits = other.said("hello")[0]["limits"]
        sizes = [len(update) for update in other._local]
        assert max(sizes) < limits["frame_bytes"] < sum(sizes)
        assert len(other.text) < limits["text_bytes"]
        await other.flush()
        await other.saved()
        await one.sees("a;" * matches)


NO_NEWS = {
    "updates": masked(2, pycrdt.create_update_message(b"\x00\x00")),
    "questions": masked(2, b"\x03"),
    "step 1": masked(2, b"\x00\x00\x01\x00"),
    "cursors": masked(2, b"\x01\x01\x00"),
}


@pytest.mark.parametrize("kind", NO_NEWS)
async def test_flood_is_pushed_back_to_its_sender_and_nobody_else_notices(room, strict, kind):
    alice, bob, session_id = room
    async with page(alice, session_id) as one:
        await works(one)
        before = memory_bytes(strict)
        _, writer = await raw_socket(bob, session_id)
        taken = await flood(writer, NO_NEWS[kind] * 4000, 64 << 20)
        # What the kernel keeps for both ends; a server that reads on would take it all.
        assert taken < 32 << 20
        for _ in range(3):
            await works(one)
        assert memory_bytes(strict) - before < 24 << 20
        print(f"{kind}: {taken >> 10} KiB taken, memory grew by {(memory_bytes(strict) - before) >> 10} KiB")
        writer.transport.abort()


async def test_flood_of_text_frames_is_pushed_back_too(room):
    alice, bob, session_id = room
    before = limited(alice, "texts")
    async with page(alice, session_id) as one, page(bob, session_id) as other:
        for _ in range(200):
            await other.socket.send('{"type":"dance"}')
        await other.until(lambda: len(other.said("error")) == 200)
        await works(one)
    assert limited(alice, "texts") > before


async def test_socket_that_says_nothing_is_closed_and_one_that_spoke_is_not(room):
    alice, bob, session_id = room
    async with page(alice, session_id) as one:
        assert await close_code(bob, bob.socket_url(session_id)) == SILENT
        reader, writer = await raw_socket(bob, session_id)
        # The beginning of a frame is nothing said.
        writer.write(masked(2, b"\x00" * 1000)[:20])
        assert (await close_of(reader))[0] == SILENT
        await works(one)


@pytest.mark.parametrize("size", [200_001, 50_000_000])
async def test_frame_over_the_limit_is_refused_before_it_is_read(room, strict, size):
    alice, bob, session_id = room
    async with page(alice, session_id) as one:
        before = memory_bytes(strict)
        reader, writer = await raw_socket(bob, session_id)
        writer.write(masked(2, b"\x03") + masked(2, bytes(size))[:100_000])
        assert await close_of(reader) == (TOO_LARGE, "frame too large")
        # Final for the npm client, although it goes on sending; and the rest of it is thrown away.
        await flood(writer, bytes(100_000), size)
        assert memory_bytes(strict) - before < 16 << 20
        await works(one)


async def test_text_over_the_limit_is_refused_in_words(room):
    alice, _, session_id = room
    async with page(alice, session_id) as one:
        await one.type("a" * 100_001)
        await one.until(lambda: one.said("refused"))
        assert one.said("refused")[0]["code"] == "too_large"
        await one.socket.wait_closed()
        assert one.socket.close_code == TOO_LARGE
    assert alice.text(session_id) == ""


async def test_of_one_persons_sockets_the_quietest_gives_way(room):
    alice, bob, session_id = room
    async with page(bob, session_id) as first, page(bob, session_id) as second, page(bob, session_id) as third:
        await works(first)
        await works(third)
        async with page(bob, session_id) as fourth:
            await second.socket.wait_closed()
            assert (second.socket.close_code, second.socket.close_reason) == (TOO_MANY, "open too many times")
            for one in (first, third, fourth):
                await works(one)
        assert limited(alice, "user_and_room") >= 1


async def test_of_one_persons_sockets_in_all_sessions_the_quietest_gives_way(room):
    _, bob, session_id = room
    elsewhere = bob.new_session(content="")["id"]
    async with (
        page(bob, session_id) as first,
        page(bob, session_id),
        page(bob, elsewhere),
        page(bob, elsewhere) as last,
        page(bob, elsewhere),
    ):
        await first.socket.wait_closed()
        assert first.socket.close_code == TOO_MANY
        await works(last)


async def test_full_room_takes_nobody_else_and_says_so(room, strict):
    alice, bob, session_id = room
    carol, dave = strict.person("carol"), strict.person("dave")
    alice.let_in(session_id, carol, "read")
    alice.let_in(session_id, dave, "write")
    async with page(alice, session_id), page(alice, session_id), page(bob, session_id), page(bob, session_id) as one:
        assert await close_code(dave, dave.socket_url(session_id)) == TOO_MANY
        async with page(carol, session_id):
            assert sample(alice, 'realtime_connections{permission="read"}') >= 1
            assert sample(alice, 'realtime_connections{permission="write"}') >= 2
            assert await close_code(carol, carol.socket_url(session_id)) == TOO_MANY
        await works(one)
        # Places are free again once somebody leaves.
        await one.socket.close()
        async with page(dave, session_id) as other:
            await works(other)


async def test_of_a_cursor_that_moves_too_often_the_newest_place_is_shown(room):
    alice, bob, session_id = room
    async with page(alice, session_id) as one, page(bob, session_id) as other:
        await other.type("x" * 300)
        await one.until(lambda: len(one.text) == 300)
        heard = len(one.binaries)
        started = asyncio.get_running_loop().time()
        for clock in range(300):
            await other.announce({"cursor": caret(other.doc, clock)}, clock=clock + 1)
        last = caret(other.doc, 299)
        await one.until(lambda: one.present.get(other.doc.client_id, {}).get("cursor") == last)
        seconds = asyncio.get_running_loop().time() - started
        # Ten times a second and a few around it, instead of 300.
        assert len([frame for frame in one.binaries[heard:] if frame[0] == 1]) <= 10 * seconds + 5
        # The text does not wait for the cursors.
        await works(other)


async def test_cursor_larger_than_the_limit_is_refused(room):
    _, bob, session_id = room
    large = encode_awareness([AwarenessEntry(1, 1, {"cursor": None, "junk": "x" * 5000})])
    assert await close_code(bob, bob.socket_url(session_id), large) == 4400
