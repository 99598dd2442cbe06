"""One room in this process, through the ASGI application and, for its parts, by themselves."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

import pycrdt
import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from websockets.frames import Frame, Opcode

from accounts.actions import suspend
from accounts.models import User
from codecrafter.asgi import application
from realtime import registry
from realtime.connection import outbox
from realtime.connection.connection import Connection, open_connection
from realtime.connection.identity import Identity, SignIn
from realtime.connection.outbox import Outbox, Shared
from realtime.room.gate import Gate
from realtime.room.unsaved import Acknowledgements, Change, Unsaved
from realtime.wire import protocol
from realtime.wire.awareness import AwarenessTable
from realtime.wire.protocol import AwarenessEntry
from sessions_app import events
from sessions_app.document import blocks, contents, slices, update_log
from sessions_app.document.errors import Broken
from sessions_app.document.opening import Limits
from sessions_app.document.replica import Replica
from sessions_app.document.update_log import Loaded
from sessions_app.models import CodeSession, Update
from tests.realtime.asgi import Socket, socket, until

pytestmark = pytest.mark.django_db(transaction=True)


async def test_acknowledged_means_there_is_a_row(session, alice):
    async with socket(alice, session) as one:
        assert (await one.text("hello"))["head"] == 1
        update = await one.type(session, "x")
        assert await one.text("ack") == {"type": "ack", "received": 1, "seq": 2}
        row = await Update.objects.aget(document_id=session.pk, seq=2)
        assert (bytes(row.payload), row.user_id, row.origin) == (update, alice.pk, "socket")


async def test_text_is_replaced_piece_by_piece_where_it_and_what_is_new_would_be_too_long(session, alice, settings):
    lines = 1500
    settings.TEXT_MAX_BYTES = lines * 15
    await sync_to_async(contents.replace_entry_text)(session.pk, "abcdefghi\n" * lines, alice.pk)
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.apply_update((await sync_to_async(update_log.load)(session.pk)).update)
    before, text = doc.get_state(), doc.get("main", type=pycrdt.Text)
    with doc.transaction():
        for at in reversed(range(0, lines * 10, 10)):
            text.insert(at, "ABCDEFGHI")
            del text[at + 9 : at + 18]
    async with socket(alice, session) as one:
        await one.send_to(bytes_data=protocol.encode_update(doc.get_update(before)))
        assert (await one.text("ack"))["received"] == 1
    assert await sync_to_async(contents.entry_text)(session) == "ABCDEFGHI\n" * lines


async def test_character_taken_out_by_another_process_is_told_before_what_was_typed_in_it(session, alice, bob):
    """Merged into one frame, pycrdt would put what was typed between two halves that it has."""
    await sync_to_async(contents.replace_entry_text)(session.pk, "a😀b", alice.pk)
    loaded = await sync_to_async(update_log.load)(session.pk)
    ((client, half),) = blocks.read(loaded.update)[1].halves
    number = slices.varuint
    beside = number(client) + number(half - 1) + number(client) + number(half)
    typed_in = b"\x01\x01" + number(777) + b"\x00\xc4" + beside + b"\x01X\x00"
    other = Replica(loaded.update, Limits(1000, 10_000))
    taken_out = other.take_out([(client, half)])
    other.close()
    page: pycrdt.Doc[Any] = pycrdt.Doc()
    async with socket(alice, session) as one:
        await one.send_to(bytes_data=protocol.encode_step1(b"\x00"))
        (answer,) = protocol.decode(await one.binary(b"\x00\x01"))
        page.apply_update(answer.update)
        room = registry.current().get(session.pk)
        assert room is not None
        room.edits.absorb([taken_out, typed_in], loaded.head + 2, [None, str(bob.pk)])
        while str(page.get("main", type=pycrdt.Text)) != "aXb":
            (told,) = protocol.decode(await one.binary(b"\x00\x02"))
            page.apply_update(told.update)


async def test_stock_client_hears_no_text_frames(session, alice):
    async with socket(alice, session, stock=True) as one:
        await one.send_to(bytes_data=protocol.encode_step1(b"\x00"))
        assert (await one.receive_output(10))["bytes"].startswith(b"\x00\x01")
        assert (await one.receive_output(10))["bytes"].startswith(b"\x00\x00")
        await one.type(session, "x")
        assert await one.receive_nothing(0.3)


async def test_several_messages_in_one_frame_are_taken_and_one_is_sent_per_frame(session, alice):
    async with socket(alice, session, stock=True) as one:
        await one.send_to(bytes_data=protocol.encode_step1(b"\x00") + b"\x03")
        for _ in range(3):
            assert len(protocol.decode((await one.receive_output(10))["bytes"])) == 1


async def test_events_reach_the_page_as_text_frames(session, alice):
    async with socket(alice, session) as one:
        await one.text("hello")
        await sync_to_async(events.announce)(
            session.pk, {"type": "run.output", "job_id": "j", "stream": "stdout", "offset": 0, "data_base64": "aGk="}
        )
        assert (await one.text("run.output"))["data_base64"] == "aGk="


async def test_suspended_account_is_signed_out_of_its_open_sockets(session, alice, bob):
    async with socket(bob, session) as one:
        await one.text("hello")
        by = await User.objects.acreate(username="root", email="root@example.org", is_superuser=True)
        await sync_to_async(suspend)(bob, by=by, reason="spam")
        assert await one.close_code() == 4401


def browser(client: Client, session: CodeSession) -> Socket:
    """The page's socket in the browser of a Django test client, with the cookie that it has now."""
    cookie = f"sessionid={client.cookies['sessionid'].value}"
    headers = [(b"cookie", cookie.encode()), (b"origin", b"http://localhost"), (b"host", b"localhost")]
    return Socket(application, f"/ws/sessions/{session.pk}", headers=headers, subprotocols=["codecrafter.v1"])


def check_now(session: CodeSession) -> None:
    events.ring(events.group_name(session.pk), {"type": "room.check"})


async def comes_back(client: Client, session: CodeSession) -> bool:
    """Whether the browser may open the socket again; otherwise it is told for good that it is signed out."""
    again = browser(client, session)
    await again.connect()
    first = await again.receive_output(10)
    assert first.get("code") == 4401 or json.loads(first["text"])["type"] == "hello"
    await again.disconnect()
    return first["type"] == "websocket.send"


async def test_logging_out_closes_the_sockets_of_that_browser(session, alice, client):
    await sync_to_async(client.force_login)(alice)
    leaving = browser(client, session)
    async with socket(alice, session) as other:
        await leaving.connect()
        await leaving.text("hello")
        await other.text("hello")
        key = client.cookies["sessionid"].value
        await sync_to_async(client.post)("/logout")
        check_now(session)
        assert await leaving.close_code() == 4501
        client.cookies["sessionid"] = key
        assert not await comes_back(client, session)
        await sync_to_async(events.announce)(
            session.pk, {"type": "run.output", "job_id": "j", "stream": "stdout", "offset": 0, "data_base64": ""}
        )
        assert await other.text("run.output")
    await leaving.wait()


async def test_signing_in_again_in_another_tab_lets_the_open_page_come_back(session, alice, client):
    await sync_to_async(client.force_login)(alice)
    page = browser(client, session)
    await page.connect()
    await page.text("hello")
    before = client.cookies["sessionid"].value
    await sync_to_async(client.post)("/logout")
    await sync_to_async(client.force_login)(alice)
    assert client.cookies["sessionid"].value != before
    check_now(session)
    assert await page.close_code() == 4501
    await page.wait()
    assert await comes_back(client, session)


async def test_changed_password_closes_every_socket(session, alice, client):
    other = Client()
    await sync_to_async(client.force_login)(alice)
    await sync_to_async(other.force_login)(alice)
    here, there = browser(client, session), browser(other, session)
    for one in (here, there):
        await one.connect()
        await one.text("hello")
    async with socket(alice, session) as by_token:
        await by_token.text("hello")
        alice.set_password("another horse entirely")
        await alice.asave()
        assert await here.close_code() == await there.close_code() == 4501
        assert await by_token.close_code() == 4401
    await here.wait()
    await there.wait()
    await sync_to_async(client.force_login)(alice)
    assert await comes_back(client, session)
    assert not await comes_back(other, session)


async def test_archived_session_closes_its_sockets(session, alice, bob):
    from sessions_app import actions
    from sessions_app.access import access_to

    async with socket(bob, session) as one:
        await one.text("hello")
        access = await sync_to_async(access_to)(alice, session.pk)
        await sync_to_async(actions.archive_session)(access, alice)
        assert await one.close_code() == 4403


async def test_socket_ends_with_its_token(session, alice):
    async with socket(alice, session, seconds=2) as one:
        await one.text("hello")
        assert await one.close_code() == 4401


async def test_moderator_reads_and_does_not_write(session, mod):
    async with socket(mod, session) as one:
        assert (await one.text("hello"))["permission"] == "read"
        await one.type(session, "x")
        assert (await one.text("refused"))["code"] == "read_only"


async def test_log_that_cannot_be_read_refuses_instead_of_showing_an_empty_text(session, alice):
    await Update.objects.filter(document_id=session.pk).adelete()
    async with socket(alice, session) as one:
        assert await one.close_code() == 4503
    assert not len(registry.current())


async def test_silent_socket_is_kept_alive(session, alice, settings):
    settings.SOCKET_KEEP_ALIVE_SECONDS = 0.4
    async with socket(alice, session, stock=True) as one:
        for _ in range(3):
            assert (await one.binary(b"\x01")) == protocol.KEEP_ALIVE


async def test_idle_room_leaves_memory_and_opens_again(session, alice, settings):
    settings.ROOM_TICK_SECONDS, settings.ROOM_IDLE_SECONDS = 0.1, 0.1
    async with socket(alice, session) as one:
        await one.type(session, "x")
        await one.text("ack")
        await asyncio.sleep(0.5)
        assert registry.current().get(session.pk)
    await until(lambda: not len(registry.current()))
    async with socket(alice, session) as one:
        assert (await one.text("hello"))["head"] == 2


async def test_many_who_come_at_once_share_one_load(session, alice, monkeypatch):
    loads = []
    real = update_log.load

    def counted(session_id: Any) -> Loaded:
        loads.append(session_id)
        return real(session_id)

    monkeypatch.setattr(update_log, "load", counted)

    async def come() -> None:
        async with socket(alice, session) as one:
            await one.text("hello")

    await asyncio.gather(*(come() for _ in range(10)))
    assert loads == [session.pk]


async def test_commit_that_fails_is_repeated_and_only_then_acknowledged(session, alice, monkeypatch):
    from django.db import OperationalError

    failures = iter([True, True, False])
    real = update_log.append

    def flaky(entries: Any) -> Any:
        if next(failures, False):
            raise OperationalError("the database is away")
        return real(entries)

    monkeypatch.setattr(update_log, "append", flaky)
    async with socket(alice, session) as one:
        await one.text("hello")
        await one.type(session, "x")
        assert (await one.text("ack"))["received"] == 1
    assert await Update.objects.filter(document_id=session.pk).acount() == 2


async def test_update_that_breaks_the_replica_costs_nobody_anything(session, alice, bob, monkeypatch):
    async with socket(alice, session) as one, socket(bob, session) as other:
        await one.text("hello")
        await one.type(session, "kept ")
        await one.text("ack")
        real, poison = Replica.apply, b"\x00\x01\x07\x01\x03\x09"

        def fragile(self: Replica, update: bytes, *count: Any, **how: Any) -> bytes | None:
            if update == poison:
                raise Broken("half-way")
            return real(self, update, *count, **how)

        monkeypatch.setattr(Replica, "apply", fragile)
        await other.send_to(bytes_data=protocol.encode_update(poison))
        assert (await other.text("refused"))["code"] == "invalid"
        assert await other.close_code() == 4400
        await one.type(session, "on ")
        assert (await one.text("ack"))["received"] == 2
    assert await sync_to_async(contents.entry_text)(session) == "on kept print(1)\n"


async def test_drain_commits_acknowledges_and_says_good_bye(session, alice):
    async with socket(alice, session) as one:
        await one.text("hello")
        await one.type(session, "x")
        draining = asyncio.create_task(registry.drain(spread_seconds=0.1))
        assert (await one.text("ack"))["received"] == 1
        assert await one.close_code() == 1012
        await draining


def caret(client: int, clock: int) -> dict[str, Any]:
    position = {"item": {"client": client, "clock": clock}}
    return {"anchor": position, "head": position}


def connection(name: str = "alice", number: int = 1) -> Connection:
    async def catch_up(state: bytes | None) -> list[bytes]:
        return [b"diff from " + state] if state is not None else []

    identity = Identity(str(UUID(int=number)), UUID(int=number), name, 1)
    made = open_connection(identity, "write", SignIn(""))
    made.outbox.catch_up = catch_up
    return made


async def written(one: Outbox) -> list[Any]:
    out: list[Any] = []

    async def send(message: dict[str, Any]) -> None:
        out.append(message.get("bytes") or message.get("text") or message.get("code"))

    writer = asyncio.create_task(one.write(send))
    await asyncio.sleep(0.05)
    writer.cancel()
    return out


async def test_outbox_of_a_slow_reader_stays_small_and_ends_in_one_diff():
    one = connection().outbox
    for number in range(1000):
        one.put_update(Shared(b"u" * 1000), b"state %d" % number)
        one.put_awareness(Shared(b"cursor"))
        assert one.queued_bytes <= outbox.QUEUE_MAX_BYTES
    one.put_text(Shared('{"type":"notice"}'))
    assert await written(one) == ['{"type":"notice"}', b"diff from state 0"]
    one.put_update(Shared(b"next"), b"state")
    assert await written(one) == [b"next"]


async def test_socket_that_reads_nothing_and_is_told_much_is_let_go():
    one = connection().outbox
    for _ in range(400):
        one.put_text(Shared("t" * 10_000))
    assert one.closing == (1013, "too slow")


async def test_acknowledgements_keep_their_order_and_wait_for_missing_parts():
    one, unsaved = connection(), Unsaved(Gate())
    acknowledgements = Acknowledgements(unsaved)

    async def told() -> list[Any]:
        return [json.loads(text) for text in await written(one.outbox)]

    def commit() -> None:
        unsaved.send()
        unsaved.note_committed()

    first, second, third = (acknowledgements.arrived(one) for _ in range(3))
    unsaved.add(Change(b"first and third", None))
    acknowledgements.await_commit(one, first, 1)
    acknowledgements.await_commit(one, third, 1)
    assert await told() == []
    commit()
    acknowledgements.committed(5)
    assert await told() == [{"type": "ack", "received": 1, "seq": 5}]
    unsaved.add(Change(b"second", None))
    acknowledgements.await_commit(one, second, 5)
    assert await told() == []
    assert acknowledgements.are_due
    commit()
    acknowledgements.committed(6)
    assert await told() == [{"type": "ack", "received": 3, "seq": 6}]
    assert not acknowledgements.are_due


async def test_awareness_clock_only_grows_whatever_a_client_says():
    table, one, again = AwarenessTable(), connection(), connection()
    clocks = []
    for number, (who, clock) in enumerate([(one, 5), (one, 2**53 - 1), (again, 5), (again, 0)]):
        assert table.take(who, [AwarenessEntry(7, clock, {"cursor": caret(7, number)})], 0) == {7}
        (entry,) = protocol.decode(table.encode({7})[0])[0].entries
        assert entry.state["cursor"] == caret(7, number)
        clocks.append(entry.clock)
        if number == 1:
            assert table.leave(one, 1) == {7}
    assert clocks == sorted(set(clocks))
    # The client is remembered by pages longer than by the server: a table made later goes on above.
    later = AwarenessTable()
    assert later.take(one, [AwarenessEntry(7, 0, {})], 0) == {7}
    (entry,) = protocol.decode(later.encode({7})[0])[0].entries
    assert entry.clock >= clocks[0]


async def test_client_id_moves_to_its_owners_newer_socket_and_to_nobody_elses():
    table, one, again, stranger = AwarenessTable(), connection(), connection(), connection("mallory", 2)
    table.take(one, [AwarenessEntry(7, 1, {})], 0)
    assert table.take(stranger, [AwarenessEntry(7, 99, {})], 0) == set()
    assert table.take(again, [AwarenessEntry(7, 1, {})], 0) == set()
    assert table.leave(one, 0) == set()
    assert table.leave(again, 0) == {7}


async def test_cursors_of_a_process_that_fell_silent_expire():
    table, one = AwarenessTable(), connection()
    frame = protocol.encode_awareness([AwarenessEntry(9, 3, {"user": {"id": str(UUID(int=2))}})])
    assert table.take_remote("other", frame, 0) == {9}
    table.take(one, [AwarenessEntry(7, 1, {})], 0)
    assert table.expire(10) == set()
    assert table.expire(40) == {9}
    assert table.present() == {7}


async def test_frame_passes_the_outbox_only_while_nothing_waits_there():
    """The order of frames is the order of the calls, whichever way each one takes."""
    out: list[bytes] = []
    takes = True

    def write_frame(frame: bytes) -> bool:
        if takes:
            out.append(frame)
        return takes

    async def send(message: dict[str, Any]) -> None:
        out.append(protocol.encode_websocket_frame(message.get("bytes") or message["text"]))

    one = Outbox(speaks_json=True, write_frame=write_frame)
    one.put_update(Shared(b"first"), b"")
    writer = asyncio.create_task(one.write(send))
    await until(lambda: len(out) == 1)
    one.put_update(Shared(b"at once"), b"")
    assert len(out) == 2
    takes = False
    one.put_update(Shared(b"waits"), b"")
    takes = True
    one.put_awareness(Shared(b"waits behind it"))
    one.tell({"type": "error", "code": "c", "detail": "d"})
    assert len(out) == 2
    await until(lambda: len(out) == 5)
    writer.cancel()
    payloads = (b"first", b"at once", b"waits", b"waits behind it", '{"type":"error","code":"c","detail":"d"}')
    assert out == [protocol.encode_websocket_frame(payload) for payload in payloads]


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536, 200_000])
def test_encoded_frame_is_what_another_implementation_writes(size):
    for payload, opcode in ((b"x" * size, Opcode.BINARY), ("é" * (size // 2), Opcode.TEXT)):
        data = payload if isinstance(payload, bytes) else payload.encode()
        assert protocol.encode_websocket_frame(payload) == Frame(opcode, data).serialize(mask=False)
