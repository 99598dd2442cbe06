"""What builds on blocks that have not arrived is held beside the replica; whoever sends such things harms nobody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pycrdt
import pytest
from asgiref.sync import sync_to_async

from realtime import places, registry
from realtime.room import held
from realtime.wire import close_codes, protocol
from sessions_app.document import contents, update_log
from sessions_app.document.changes import SEED_CLIENT_ID
from sessions_app.document.replica import Replica
from sessions_app.document.update_log import Entry
from sessions_app.document.updates import EMPTY_UPDATE, doc_of, lacks, merge
from sessions_app.models import Update
from tests.realtime import yjs
from tests.realtime.asgi import Socket, socket, typed, until

if TYPE_CHECKING:
    from realtime.room.room import Room
    from sessions_app.models import CodeSession

pytestmark = pytest.mark.django_db(transaction=True)

# What the seed of a new session has: the path of its entry file, then its text.
TEXT = (SEED_CLIENT_ID, 1)


async def say(one: Socket, *updates: bytes) -> None:
    await one.send_to(bytes_data=b"".join(map(protocol.encode_update, updates)))


def room_of(session: CodeSession) -> Room:
    room = registry.current().get(session.pk)
    assert room is not None
    return room


async def is_held(session: CodeSession) -> None:
    await until(lambda: any(room_of(session).edits.held.holding))


async def text_of(session: CodeSession) -> str:
    return await sync_to_async(contents.entry_text)(session)


async def test_held_frame_that_turns_out_too_large_leaves_nothing_behind(session, alice, bob, settings):
    settings.TEXT_MAX_BYTES = 100
    async with socket(alice, session) as writer:
        for number in (10, 20, 30):
            async with socket(bob, session) as greedy:
                await say(greedy, yjs.update({number + 1: (0, [yjs.string("x" * 200, left=(number, 0))])}))
                await say(greedy, yjs.update({number: (0, [yjs.string("y", left=TEXT)])}))
                assert await greedy.close_code() == close_codes.TOO_LARGE
        await until(lambda: len(room_of(session).connections) == 1)
        await writer.type(session, "z")
        await writer.text("ack")
        assert not room_of(session).edits.acknowledgements.are_due


async def test_held_frame_that_breaks_the_replica_harms_nobody_who_lets_it_in(session, alice, bob):
    """What is taken in the same turn is judged by a document that is whole."""
    ring = {101: (0, [yjs.string("a", left=(102, 0))]), 102: (0, [yjs.string("b", left=(101, 0))])}
    hostile = yjs.update({100: (0, [yjs.string("evil", left=(50, 0))]), **ring})
    async with socket(bob, session) as holder, socket(alice, session) as victim:
        await holder.text("hello")
        await say(holder, hostile)
        await is_held(session)
        await say(
            victim,
            yjs.update({50: (0, [yjs.string("good", left=TEXT)])}),
            yjs.update({51: (0, [yjs.string("early", left=(100, 3))])}),
        )
        assert (await holder.text("refused"))["code"] == "invalid"
        assert await holder.close_code() == close_codes.BAD_FRAME
        assert (await victim.text("ack"))["received"] == 1
    assert "good" in (text := await text_of(session))
    assert "evil" not in text
    assert "early" not in text
    rows = [bytes(row.payload) async for row in Update.objects.filter(document_id=session.pk)]
    assert not lacks(doc_of(merge(rows)), merge(rows))


async def test_chain_of_held_frames_is_read_once_each_time_it_is_complete(session, alice, bob, monkeypatch):
    """Not at every block that arrives: reading a large one again and again would stop the process."""
    reads = []
    real = Replica.apply

    def counted(self, update, *count, **how):
        reads.append(len(update))
        return real(self, update, *count, **how)

    monkeypatch.setattr(Replica, "apply", counted)
    held = yjs.update({60: (0, [yjs.string("h", left=(50, clock)) for clock in range(40)])})
    async with socket(bob, session) as holder, socket(alice, session) as typist:
        await say(holder, held)
        await until(lambda: len(held) in reads)
        for clock in range(40):
            await say(typist, yjs.update({50: (clock, [yjs.string("t", left=(50, clock - 1) if clock else TEXT)])}))
        assert (await holder.text("ack"))["received"] == 1
        assert reads.count(len(held)) == 2
    assert sorted(await text_of(session)) == sorted("print(1)\n" + "t" * 40 + "h" * 40)


async def test_frames_behind_one_that_never_completes_are_bounded(session, alice, monkeypatch):
    monkeypatch.setattr(held, "BEHIND_HELD_MAX_FRAMES", 50)
    async with socket(alice, session) as one:
        await say(one, yjs.update({7: (0, [yjs.string("x", left=(6, 0))])}))
        for _ in range(5):
            await say(one, *[EMPTY_UPDATE] * 20)
        assert await one.close_code() == close_codes.TRY_AGAIN


async def test_page_whose_whole_text_builds_on_what_is_nowhere_is_told_so(session, alice, monkeypatch):
    """Its edits would wait for ever; its page offers them as a copy and goes on from the server's text."""
    monkeypatch.setattr("realtime.room.held.ASK_AGAIN_SECONDS", 0)
    update = yjs.update({7: (0, [yjs.string("x", left=(6, 0))])})
    async with socket(alice, session) as one:
        await say(one, update)
        for number in range(held.EARLY_ANSWERS_MAX):
            await one.send_to(bytes_data=b"\x00\x01" + yjs.number(len(update)) + update)
            if number + 1 < held.EARLY_ANSWERS_MAX:
                await one.binary(b"\x00\x00")
        refused = await one.text("refused")
        assert (refused["code"], refused["received"]) == ("invalid", 1 + held.EARLY_ANSWERS_MAX)
        assert await one.close_code() == close_codes.BAD_FRAME


async def test_answers_that_came_too_early_count_only_until_one_is_merged(session, alice, bob):
    """A page that is slow to get what another one typed is not at fault, however often that happens."""
    async with socket(bob, session) as slow, socket(alice, session) as typist:
        await slow.text("hello")
        for number in range(2 * held.EARLY_ANSWERS_MAX):
            early = yjs.update({60 + number: (0, [yjs.string("h", left=(20 + number, 0))])})
            await slow.send_to(bytes_data=protocol.encode_step2(early))
            await is_held(session)
            await say(typist, yjs.update({20 + number: (0, [yjs.string("t", left=TEXT)])}))
            assert (await slow.text("ack"))["received"] == number + 1


async def test_what_was_held_of_somebody_who_may_only_read_now_is_refused(session, alice, bob):
    from sessions_app import sharing
    from sessions_app.access import access_to

    async with socket(bob, session) as one:
        await one.text("hello")
        await say(one, yjs.update({7: (0, [yjs.string("x", left=(6, 0))])}))
        await is_held(session)
        access = await sync_to_async(access_to)(alice, session.pk)
        await sync_to_async(sharing.change_collaborator)(access, alice, bob.pk, "read")
        assert (await one.text("refused"))["code"] == "read_only"


class Commits:
    """The next commit is asked for, and goes on when it may."""

    def __init__(self, monkeypatch):
        self.is_asked, self.may_go = asyncio.Event(), asyncio.Event()
        self._loop, self._real = asyncio.get_running_loop(), update_log.append
        monkeypatch.setattr(update_log, "append", self._append)

    def _append(self, entries):
        self._loop.call_soon_threadsafe(self.is_asked.set)
        asyncio.run_coroutine_threadsafe(self.may_go.wait(), self._loop).result(30)
        return self._real(entries)


async def test_rows_committed_while_the_document_is_loaded_again_are_not_lost(session, alice, bob, monkeypatch):
    real = update_log.load
    is_read, may_return = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(session_id):
        loaded = real(session_id)
        loop.call_soon_threadsafe(is_read.set)
        asyncio.run_coroutine_threadsafe(may_return.wait(), loop).result(30)
        return loaded

    async with socket(alice, session) as one, socket(bob, session) as other:
        await one.text("hello")
        await other.text("hello")
        update = await typed(session, "kept ")
        # The last moment before the document is read: the change waits for its commit.
        monkeypatch.setattr(update_log, "load", slow)
        writing = Commits(monkeypatch)
        await say(one, update)
        await writing.is_asked.wait()
        room_of(session).edits.rebuild()
        await is_read.wait()
        writing.may_go.set()
        assert (await one.text("ack"))["received"] == 1
        may_return.set()
        edits = room_of(session).edits
        await until(lambda: edits.is_whole and edits.replica.text().startswith("kept "))
        monkeypatch.undo()
        assert room_of(session).edits.head == 2
        async with socket(bob, session) as newcomer:
            await newcomer.send_to(bytes_data=protocol.encode_step1(b"\x00"))
            shown = pycrdt.Doc()
            shown.apply_update(protocol.decode(await newcomer.binary(b"\x00\x01"))[0].update)
            assert str(shown.get("main", type=pycrdt.Text)) == "kept print(1)\n"


async def test_what_a_damaged_log_held_back_reaches_also_who_lets_it_in(session, alice):
    """As where a row was set aside: what built on it waits in the replica until a page sends it again."""
    early = yjs.update({8: (0, [yjs.string("late ", left=(7, 0))])})
    await sync_to_async(update_log.append)({session.pk: [Entry(early, None, "server")]})
    async with socket(alice, session) as one:
        await one.text("hello")
        await say(one, yjs.update({7: (0, [yjs.string("a", left=TEXT)])}))
        told = protocol.decode(await one.binary(b"\x00\x02"))[0].update
        assert b"late " in told
        await one.text("ack")
        await say(one, yjs.update({9: (0, [yjs.string("!", left=(8, 4))])}))
        assert (await one.text("ack"))["received"] == 2
    assert "alate !" in await text_of(session)


async def test_person_whose_updates_break_the_document_again_and_again_stays_outside(session, alice, bob, settings):
    """Each of them has the document loaded again for everybody in the room."""
    settings.RATE_LIMITS = True
    ring = {101: (0, [yjs.string("a", left=(102, 0))]), 102: (0, [yjs.string("b", left=(101, 0))])}
    async with socket(alice, session) as one, socket(bob, session) as other_tab:
        for _ in range(places.BROKE_MAX):
            async with socket(bob, session) as hostile:
                await say(hostile, yjs.update(ring))
                assert await hostile.close_code() == close_codes.BAD_FRAME
        assert await other_tab.close_code() == close_codes.TOO_MANY
        async with socket(bob, session) as outside:
            assert await outside.close_code() == close_codes.TOO_MANY
        await one.type(session, "x")
        assert (await one.text("ack"))["received"] == 1
