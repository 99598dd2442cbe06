"""Sockets that no honest client would open or speak on: each ends, and the people of the room work on."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pycrdt
import pytest

from sessions_app.document.updates import merge
from tests.live import PASSWORD
from tests.realtime.page import close_code, page
from tests.realtime.raw import ask, close_of, flood, frame_of, masked, raw_socket
from tests.realtime.test_limits import memory_bytes, works

if TYPE_CHECKING:
    from tests.live import LiveServer, Person
    from tests.realtime.page import Page

QUERY_AWARENESS = b"\x03"
STEP_1 = b"\x00\x00\x01\x00"


@pytest.fixture(scope="module")
def people(strict: LiveServer) -> tuple[Person, Person]:
    return strict.person("alice"), strict.person("bob")


@pytest.fixture
def room(people: tuple[Person, Person]) -> tuple[Person, Person, str]:
    alice, bob = people
    session_id = alice.new_session(content="")["id"]
    alice.let_in(session_id, bob)
    return alice, bob, session_id


ENDLESS = {
    "pings": (masked(9) * 20_000, 1008),
    "large pings": (masked(9, bytes(125)) * 5000, 1008),
    "pongs": (masked(10) * 20_000, 1008),
    "empty fragments": (masked(2, fin=False) + masked(0, fin=False) * 20_000, 1008),
    "a message of small fragments": (masked(2, b"\x00", fin=False) + masked(0, b"\x00", fin=False) * 20_000, 1008),
    "empty messages": (masked(2) * 20_000, 4400),
    "text where bytes are due": (masked(1, b"{}") * 5000, 4400),
    "a compressed message, which was not agreed on": (masked(2, b"\x00" * 100, rsv1=True), 1002),
    "an unmasked message": (b"\x82\x01\x03", 1002),
    "an unknown opcode": (masked(3, b"x"), 1002),
    "a ping of 126 bytes": (masked(9, bytes(126)), 1002),
    "a fragment of nothing": (masked(0, b"x"), 1002),
    "text that is no UTF-8": (masked(1, b"\xff\xfe"), 1007),
    "the largest length that can be written": (b"\x82\xff" + b"\xff" * 8 + bytes(4), 4413),
    "a length of 2^62": (b"\x82\xff\x40" + bytes(7) + bytes(4), 4413),
}


@pytest.mark.parametrize("name", ENDLESS)
async def test_what_is_no_conversation_ends_and_nobody_else_notices(room, strict, name):
    frames, code = ENDLESS[name]
    alice, bob, session_id = room
    async with page(alice, session_id) as one:
        await works(one)
        before = memory_bytes(strict)
        reader, writer = await raw_socket(bob, session_id)
        writer.write(frames)
        assert (await close_of(reader))[0] == code
        await works(one)
        assert memory_bytes(strict) - before < 16 << 20
        writer.transport.abort()


async def test_message_that_comes_in_two_pieces_is_understood_wherever_it_is_cut(room):
    _, bob, session_id = room
    # What follows the header looks like a whole message of its own.
    mask = b"\x82\x82\x00\x01"
    frame = b"\x82\x84" + mask + bytes(byte ^ key for byte, key in zip(STEP_1, mask, strict=True))
    for cut in range(1, len(frame)):
        reader, writer = await raw_socket(bob, session_id)
        writer.write(frame[:cut])
        await asyncio.sleep(0.05)
        writer.write(frame[cut:])
        opcode, payload = await frame_of(reader)
        assert (opcode, payload[:2]) == (2, b"\x00\x01"), cut
        writer.transport.abort()


async def test_message_within_one_that_has_not_ended_is_refused(room):
    _, bob, session_id = room
    reader, writer = await raw_socket(bob, session_id)
    writer.write(masked(2, STEP_1[:1], fin=False))
    await asyncio.sleep(0.05)
    writer.write(masked(2, STEP_1))
    assert (await close_of(reader))[0] == 1002
    writer.close()


async def test_pings_of_a_peer_that_reads_no_answer_cost_no_memory(room, strict):
    alice, bob, session_id = room
    async with page(alice, session_id) as one:
        await works(one)
        before = memory_bytes(strict)
        reader, writer = await raw_socket(bob, session_id)
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        await flood(writer, masked(9, bytes(125)) * 1000, 32 << 20)
        await works(one)
        assert memory_bytes(strict) - before < 16 << 20
        writer.transport.abort()


REFUSED_HANDSHAKES: dict[str, tuple[dict[str, str], str]] = {
    "another host": ({"Host": "evil.example"}, "400"),
    "no version": ({"Sec-WebSocket-Version": "1"}, "400"),
    "no key": ({"Sec-WebSocket-Key": "short"}, "400"),
}


@pytest.mark.parametrize("name", REFUSED_HANDSHAKES)
async def test_handshake_that_is_wrong_is_refused(room, strict, name):
    headers, status = REFUSED_HANDSHAKES[name]
    _, bob, session_id = room
    head, _, writer = await ask(strict, f"/ws/sessions/{session_id}", bob.headers | headers)
    assert head.split(" ")[1] == status
    writer.close()


async def test_huge_and_many_headers_are_refused_and_cost_nothing(room, strict):
    alice, bob, session_id = room
    path = f"/ws/sessions/{session_id}"
    async with page(alice, session_id) as one:
        before = memory_bytes(strict)
        for more in ([f"X-Large: {'x' * 2_000_000}"], [f"X-{number}: 1" for number in range(5000)]):
            head, _, writer = await ask(strict, path, bob.headers, *more)
            assert head.startswith("HTTP/1.1 431 ")
            writer.transport.abort()
        await works(one)
        assert memory_bytes(strict) - before < 16 << 20


async def test_of_many_subprotocols_ours_is_chosen(room, strict):
    _, bob, session_id = room
    offered = ", ".join([*(f"p{number}" for number in range(200)), "codecrafter.v1"])
    head, _, writer = await ask(strict, f"/ws/sessions/{session_id}", bob.headers | {"Sec-WebSocket-Protocol": offered})
    assert head.startswith("HTTP/1.1 101")
    assert "sec-websocket-protocol: codecrafter.v1\r\n" in head.lower()
    writer.close()


async def test_compression_is_never_agreed_on(room, strict):
    _, bob, session_id = room
    offer = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    head, _, writer = await ask(strict, f"/ws/sessions/{session_id}", bob.headers | offer)
    assert head.startswith("HTTP/1.1 101")
    assert "extensions" not in head.lower()
    writer.close()


def cookie_of(server: LiveServer, person: Person) -> str:
    with httpx.Client(base_url=server.url, timeout=60, headers={"Referer": server.url}) as client:
        client.get("/login")
        form = {"login": person.username, "password": PASSWORD, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
        assert client.post("/login", data=form).status_code == 302
        return f"sessionid={client.cookies['sessionid']}"


async def test_cookie_opens_a_socket_for_our_own_origin_only(room, strict):
    _, bob, session_id = room
    cookie, path = {"Cookie": cookie_of(strict, bob)}, f"/ws/sessions/{session_id}"
    own = strict.url
    for origin, status in (
        (own, "101"),
        (None, "403"),
        ("null", "403"),
        ("https://evil.example", "403"),
        (f"{own}.evil.example", "403"),
        (f"http://evil.example/{own}", "403"),
        (own.replace("127.0.0.1", "127.0.0.1@evil.example"), "403"),
        (f"http://127.0.0.1:{strict.port + 1}", "403"),
        (own.replace("127.0.0.1", "127.0.0.2"), "403"),
        (own.replace("127.0.0.1", "localhost"), "403"),
    ):
        head, _, writer = await ask(strict, path, cookie | ({} if origin is None else {"Origin": origin}))
        assert head.split(" ")[1] == status, origin
        writer.close()
    # Two headers where one is due: the last one counts for us, and so it must be good whatever the first is.
    head, _, writer = await ask(strict, path, cookie | {"Origin": own}, "Origin: https://evil.example")
    assert not head.startswith("HTTP/1.1 101")
    writer.close()


async def test_wrong_token_beside_a_good_cookie_opens_nothing(room, strict):
    _, bob, session_id = room
    good = {"Cookie": cookie_of(strict, bob), "Origin": strict.url}
    for headers in (
        {"Authorization": "Bearer nonsense"},
        {"Authorization": f"Bearer {bob.access[:-2]}"},
    ):
        head, reader, writer = await ask(strict, f"/ws/sessions/{session_id}", good | headers)
        assert head.startswith("HTTP/1.1 101")
        assert (await close_of(reader))[0] == 4401
        writer.close()


async def test_ticket_opens_one_socket_of_fifty_at_once_and_none_later(room, strict):
    _, bob, session_id = room
    ticket = bob.call("POST", f"/api/sessions/{session_id}/ticket", 201)["ticket"]
    path = f"/ws/sessions/{session_id}?ticket={ticket}"

    async def come() -> int:
        head, reader, writer = await ask(strict, path, {})
        assert head.startswith("HTTP/1.1 101")
        # The one that is let in says nothing and is closed for it.
        code, _ = await close_of(reader)
        writer.close()
        return code

    assert Counter(await asyncio.gather(*(come() for _ in range(50)))) == {4401: 49, 4508: 1}
    assert await come() == 4401
    other = bob.new_session(content="")["id"]
    ticket = bob.call("POST", f"/api/sessions/{session_id}/ticket", 201)["ticket"]
    assert await close_code(None, f"{strict.ws_url}/ws/sessions/{other}?ticket={ticket}") == 4401
    assert (
        await close_code(None, f"{strict.ws_url}/ws/sessions/{session_id}?ticket={secrets.token_urlsafe(32)}") == 4401
    )


async def test_peer_that_reads_nothing_costs_little_and_its_connection_ends(room, strict):
    """Its close frame cannot be written, and TCP would keep it for a quarter of an hour."""
    alice, bob, session_id = room
    async with page(alice, session_id) as one:
        await one.type("x" * 90_000)
        await one.saved()
        before = memory_bytes(strict)
        reader, writer = await raw_socket(bob, session_id)
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        # Answers for more than the kernel holds.
        await flood(writer, masked(2, STEP_1) * 1000, 8 << 20)
        assert memory_bytes(strict) - before < 16 << 20
        alice.call("DELETE", f"/api/sessions/{session_id}/collaborators/{bob.id}", 204)
        async with asyncio.timeout(60):
            while _is_open(strict, writer):
                await asyncio.sleep(0.2)
        await works(one)


def _is_open(server: LiveServer, writer: asyncio.StreamWriter) -> bool:
    """Whether the server still holds its end, as the kernel sees it."""
    ends = f"0100007F:{server.port:04X} 0100007F:{writer.get_extra_info('sockname')[1]:04X} "
    return ends in Path("/proc/net/tcp").read_text()


async def test_other_contents_under_the_same_numbers_never_make_pages_differ(room):
    """What waits for its beginning is shown to nobody before that has come: by then it may be something else."""
    alice, bob, session_id = room
    typed, other = (typed_by(77, words) for words in (("h", "i", "j"), ("mno", "p")))
    async with page(alice, session_id) as one, page(bob, session_id) as liar:
        await say(liar, merge([typed[0], typed[2]]))
        async with page(alice, session_id) as newcomer:
            await say(liar, other[1])
            await one.type("!")
            await one.saved()
            await newcomer.until(lambda: "!" in newcomer.text)
            async with page(alice, session_id) as later:
                assert one.text == newcomer.text == later.text == alice.text(session_id)
            # Once it is complete, everybody has it.
            await say(liar, merge(typed[:2]))
            await one.until(lambda: len(one.text) == len("hijp!"))
            await newcomer.sees(one.text)
            await liar.saved()
            assert alice.text(session_id) == one.text
            assert sorted(one.text) == sorted("hijp!")


async def say(liar: Page, update: bytes) -> None:
    """Send the update, and wait until it has been read."""
    heard = len(liar.binaries)
    liar.sent += 1
    await liar.socket.send(pycrdt.create_update_message(update) + QUERY_AWARENESS)
    await liar.until(lambda: any(frame[0] == 1 for frame in liar.binaries[heard:]))


def typed_by(client_id: int, words: tuple[str, ...]) -> list[bytes]:
    """The updates of a client of this number that puts one word in front of the other in an empty text."""
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=client_id)
    updates: list[bytes] = []
    doc.observe(lambda event: updates.append(event.update))
    text = doc.get("main", type=pycrdt.Text)
    for word in words:
        text.insert(0, word)
    return updates
