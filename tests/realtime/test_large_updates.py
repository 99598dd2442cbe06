"""An update that is merged in slices is there whole or not at all, whatever happens to its socket meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pycrdt
import pytest
from asgiref.sync import sync_to_async

from realtime import registry
from realtime.connection.connection import Frame
from realtime.room.gate import Gate
from realtime.room.large_updates import LargeUpdates
from realtime.wire import close_codes, protocol
from sessions_app.document import contents, update_log
from tests.realtime.asgi import Socket, socket, typed, until
from tests.realtime.test_room import connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from realtime.room.room import Room
    from sessions_app.models import CodeSession

pytestmark = pytest.mark.django_db(transaction=True)

LINES = 4000
BEFORE, AFTER = "print(1)\n" * LINES, "print(21)\n" * LINES


async def changed_everywhere(session: CodeSession, *, other_root: str | None = None) -> bytes:
    """The update of a page that was away: a letter in every line, which is more than one slice. It ends with a text in
    another root, if one is given."""
    await sync_to_async(contents.replace_entry_text)(session.pk, BEFORE, None)
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.apply_update((await sync_to_async(update_log.load)(session.pk)).update)
    before, text = doc.get_state(), doc.get("main", type=pycrdt.Text)
    with doc.transaction():
        for at in reversed(range(6, len(BEFORE), 9)):
            text.insert(at, "2")
    if other_root is not None:
        doc.get(other_root, type=pycrdt.Text).insert(0, "of no file")
    return doc.get_update(before)


def room_of(session: CodeSession) -> Room:
    room = registry.current().get(session.pk)
    assert room is not None
    return room


@pytest.fixture
async def half(session, alice, bob) -> AsyncIterator[tuple[Socket, Socket]]:
    """The sockets of the page that was away and of another one, while the update of the first is being merged."""
    update = await changed_everywhere(session)
    async with socket(alice, session) as one, socket(bob, session) as away:
        await one.text("hello")
        await away.send_to(bytes_data=protocol.encode_update(update))
        await one.binary(b"\x00\x02")
        assert room_of(session).edits.large
        yield away, one


async def says(session: CodeSession, text: str) -> bool:
    """Whether the text is this one; pytest would take minutes to show where two so long ones differ."""
    return await sync_to_async(contents.entry_text)(session) == text


async def is_saved(session: CodeSession) -> None:
    await until(lambda: room_of(session).edits.is_settled)


async def test_update_whose_socket_ends_goes_on_to_its_end(session, half):
    away, _ = half
    await away.disconnect()
    await is_saved(session)
    assert await says(session, AFTER)


async def test_update_of_somebody_who_may_only_read_from_now_on_goes_on_to_its_end(session, alice, bob, half):
    from sessions_app import sharing
    from sessions_app.access import access_to

    away, _ = half
    access = await sync_to_async(access_to)(alice, session.pk)
    await sync_to_async(sharing.change_collaborator)(access, alice, bob.pk, "read")
    assert (await away.text("ack"))["received"] == 1
    await is_saved(session)
    assert await says(session, AFTER)


async def test_update_goes_on_to_its_end_while_the_room_cannot_save(session, half, monkeypatch, settings):
    from django.db import OperationalError

    real = update_log.append
    is_away = [True]

    def flaky(entries: Any) -> Any:
        if is_away[0]:
            raise OperationalError("the database is away")
        return real(entries)

    monkeypatch.setattr(update_log, "append", flaky)
    settings.ROOM_UNSAVED_MAX_BYTES = 1
    room, (away, _) = room_of(session), half
    await until(lambda: not room.edits.large)
    assert not room.gate.is_open
    is_away[0] = False
    assert (await away.text("ack"))["received"] == 1
    assert await says(session, AFTER)


async def test_update_goes_on_to_its_end_when_others_fill_the_text_meanwhile(session, alice, bob, settings):
    """It had room when it came, and what they typed had room then."""
    settings.TEXT_MAX_BYTES = len(AFTER) + 10
    update = await changed_everywhere(session)
    more = await typed(session, "y" * 50)
    async with socket(alice, session) as one, socket(bob, session) as away:
        await one.text("hello")
        await away.send_to(bytes_data=protocol.encode_update(update))
        await one.binary(b"\x00\x02")
        await one.send_to(bytes_data=protocol.encode_update(more))
        assert (await one.text("ack"))["received"] == 1
        assert (await away.text("ack"))["received"] == 1
    assert await says(session, "y" * 50 + AFTER)


async def test_update_of_which_a_part_is_refused_is_refused_whole(session, alice, bob):
    update = await changed_everywhere(session, other_root="elsewhere")
    async with socket(alice, session) as one, socket(bob, session) as away:
        await one.text("hello")
        await away.send_to(bytes_data=protocol.encode_update(update))
        assert (await away.text("refused"))["code"] == "invalid"
        assert await away.close_code() == close_codes.BAD_FRAME
        await is_saved(session)
        assert await says(session, BEFORE)


async def test_next_update_of_a_person_waits_for_one_whose_socket_has_ended():
    """Any number of them would heap up otherwise."""
    one, finished = connection(), []
    large = LargeUpdates(Gate(), lambda *_: None)
    frame = Frame(1, 0)
    reading = asyncio.create_task(
        large.take(one, frame, [b""] * 10, lambda *_: True, lambda _, frame: finished.append(frame))
    )
    await asyncio.sleep(0)
    reading.cancel()
    await large.wait_for_own("somebody else")
    assert len(large) == 1
    await large.wait_for_own(one.user_id)
    assert not large
    assert finished == [frame]


async def test_update_does_not_wait_for_a_document_that_does_not_come_back(session, half, monkeypatch):
    """Its page keeps it, and sends it again."""
    monkeypatch.setattr("realtime.room.gate.SPACE_SECONDS", 0.1)
    room, (away, _) = room_of(session), half
    room.gate.close()
    assert await away.close_code() == close_codes.TRY_AGAIN
    await until(lambda: not room.edits.large)
    room.gate.open()


async def test_drain_waits_for_an_update_that_was_begun(session, half):
    away, _ = half
    draining = asyncio.create_task(registry.drain(spread_seconds=0.1))
    assert (await away.text("ack"))["received"] == 1
    assert await away.close_code() == close_codes.RESTARTING
    await draining
    assert await says(session, AFTER)
