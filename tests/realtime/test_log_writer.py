"""What rooms write to PostgreSQL past Django. The functions `write_…` run in a process with the servers' settings."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import uuid
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction
from psycopg.pq import ConnStatus

from realtime.log_writer import LogWriter
from sessions_app.document.update_log import Appended, Entry
from sessions_app.models import Document, Update

# Larger than what a socket takes at a time.
LARGE = 8 * 1024 * 1024


@pytest.fixture
def run(with_redis):
    """Runs one of the functions on the loop of the server, with the ids of new sessions."""

    def run(function: Any) -> None:
        alice = with_redis[0].person("alice")
        sessions = [alice.new_session(content="")["id"] for _ in range(3)]
        code = f"import uvloop; from {__name__} import {function.__name__} as tested; uvloop.run(tested(*{sessions}))"
        with_redis[0].manage("shell", "-v", "0", "-c", code)

    return run


def test_updates_are_written_in_order_alone_and_together_whatever_their_size(run):
    run(write_alone_and_together)


def test_after_a_connection_that_was_cut_the_next_commit_has_a_new_one(run):
    run(write_after_a_cut)


def test_a_commit_ends_whenever_its_connection_is_cut(run):
    run(write_while_cut)


def test_an_update_of_nobody_is_refused_and_the_next_one_written(run):
    run(write_for_nobody)


@sync_to_async
def rows(session_id: str) -> list[tuple[Any, ...]]:
    found = Update.objects.filter(document_id=session_id, seq__gt=1).order_by("seq")
    return [(row.seq, Entry(bytes(row.payload), row.user_id, row.origin)) for row in found]


@sync_to_async
def author(session_id: str) -> uuid.UUID:
    return Document.objects.get(pk=session_id).session.owner_id


async def write_alone_and_together(*session_ids: str) -> None:
    user, writer = await author(session_ids[0]), LogWriter()
    first, second, third = map(uuid.UUID, session_ids)
    sizes = (0, 1, 30, LARGE, 7)
    entries = [Entry(os.urandom(size), user if size % 2 else None, "socket") for size in sizes]
    for number, entry in enumerate(entries, 2):
        assert await writer.append({first: [entry]}) == {first: Appended(number, number)}
    assert await rows(session_ids[0]) == list(enumerate(entries, 2))
    absent = uuid.uuid4()
    given = {third: entries, second: entries[:1], absent: entries, first: entries[2:]}
    assert await writer.append(given) == {
        first: Appended(7, 9),
        second: Appended(2, 2),
        third: Appended(2, 6),
    }
    assert await writer.append({absent: entries[:1]}) == {}
    assert await rows(session_ids[0]) == list(enumerate([*entries, *entries[2:]], 2))
    assert await rows(session_ids[1]) == list(enumerate(entries[:1], 2))
    assert await rows(session_ids[2]) == list(enumerate(entries, 2))
    tail_bytes = await sync_to_async(lambda: Document.objects.get(pk=second).tail_bytes)()
    (seed,) = await sync_to_async(list)(Update.objects.filter(document_id=second, seq=1))
    assert tail_bytes == len(seed.payload)
    writer.close()


async def write_after_a_cut(session_id: str, *others: str) -> None:
    writer, document, entry = LogWriter(), uuid.UUID(session_id), Entry(b"text", None, "socket")
    assert await writer.append({document: [entry]}) == {document: Appended(2, 2)}
    # While it does nothing.
    await cut(writer)
    while writer.connection is not None:
        await asyncio.sleep(0.01)
    assert await writer.append({document: [entry]}) == {document: Appended(3, 3)}
    # While it waits for another transaction.
    is_locked, may_end = asyncio.Event(), asyncio.Event()
    holding = asyncio.create_task(lock(document, is_locked, may_end))
    await is_locked.wait()
    waiting = asyncio.create_task(writer.append({document: [entry]}))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await cut(writer)
    with pytest.raises(psycopg.Error):
        await waiting
    may_end.set()
    await holding
    assert await writer.append({document: [entry]}) == {document: Appended(4, 4)}
    assert await rows(session_id) == [(seq, entry) for seq in (2, 3, 4)]
    # Whoever does not want the answer any more.
    holding = asyncio.create_task(lock(document, is_locked, may_end))
    waiting = asyncio.create_task(writer.append({document: [entry]}))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await holding
    appended = await writer.append({document: [entry]})
    assert appended[document].last_seq == (await rows(session_id))[-1][0]
    writer.close()


async def write_while_cut(session_id: str, *others: str) -> None:
    """The query may be on its way, unread, waiting, or answered."""
    writer, document, chance = LogWriter(), uuid.UUID(session_id), random.Random(7)
    is_over = threading.Event()

    def cut_again_and_again() -> None:
        with connection.cursor() as cursor:
            while not is_over.wait(chance.uniform(0, 0.01)):
                if (found := writer.connection) is not None and found.pgconn.status == ConnStatus.OK:
                    cursor.execute("SELECT pg_terminate_backend(%s)", [found.pgconn.backend_pid])
        connection.close()

    cutting = asyncio.create_task(sync_to_async(cut_again_and_again, thread_sensitive=False)())
    written, cuts = {}, 0
    try:
        while len(written) < 600 or cuts < 150:
            entry = Entry(b"%d" % len(written) + bytes(chance.choice([0, 20, 300_000])), None, "socket")
            try:
                appended = await asyncio.wait_for(writer.append({document: [entry]}), 20)
            except psycopg.Error:
                cuts += 1
            else:
                written[appended[document].last_seq] = entry
    finally:
        is_over.set()
        await cutting
    writer.close()
    assert written.items() <= dict(await rows(session_id)).items()


async def write_for_nobody(session_id: str, *others: str) -> None:
    writer, document = LogWriter(), uuid.UUID(session_id)
    with pytest.raises(psycopg.Error, match="user_id"):
        await writer.append({document: [Entry(b"text", uuid.uuid4(), "socket")]})
    assert await rows(session_id) == []
    assert await writer.append({document: [Entry(b"", None, "server")]}) == {document: Appended(2, 2)}
    writer.close()


async def cut(writer: LogWriter) -> None:
    assert writer.connection is not None
    pid = writer.connection.info.backend_pid

    def end() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])

    await sync_to_async(end)()


async def lock(document: uuid.UUID, is_locked: asyncio.Event, may_end: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def hold() -> None:
        with transaction.atomic():
            Document.objects.select_for_update().get(pk=document)
            loop.call_soon_threadsafe(is_locked.set)
            asyncio.run_coroutine_threadsafe(may_end.wait(), loop).result(30)
        connection.close()

    await sync_to_async(hold, thread_sensitive=False)()
