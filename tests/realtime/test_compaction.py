"""Compaction of the log in the database: nothing is lost, nobody is wrong meanwhile, and what is refused stays."""

from __future__ import annotations

import contextlib
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pycrdt
import pytest
from django.db import DatabaseError, connection
from django.utils import timezone

from codecrafter import housekeeping
from sessions_app import tasks
from sessions_app.document import compaction, contents, quarantine, texts, update_log
from sessions_app.document.compaction import Outcome
from sessions_app.document.opening import Limits
from sessions_app.document.replica import Replica
from sessions_app.document.update_log import Entry, LogDamaged
from sessions_app.document.updates import merge
from sessions_app.models import Document, Quarantined, Segment, Snapshot, Update
from tests.realtime import traces

if TYPE_CHECKING:
    from accounts.models import User
    from sessions_app.models import CodeSession


def log_of(session: CodeSession, people: list[User | None], steps: int, number: int = 1) -> str:
    """A made trace appended to the session's log; its last text."""
    trace = traces.made_trace(update_log.load(session.pk).update, agents=len(people), steps=steps, number=number)
    for agent, update in trace.steps:
        person = people[agent]
        update_log.append({session.pk: [Entry(update, person.pk if person else None, "socket")]})
    return trace.end


def history_of(session: CodeSession) -> list[Segment]:
    return list(Segment.objects.filter(document_id=session.pk).order_by("last_seq"))


def raw_of(session: CodeSession) -> list[bytes]:
    return [bytes(row.payload) for row in Update.objects.filter(document_id=session.pk).order_by("seq")]


def test_compacted_document_is_the_same_and_its_history_is_whole(session, alice, bob):
    end = log_of(session, [alice, bob], 300)
    raw, before = raw_of(session), update_log.load(session.pk)
    assert compaction.compact(session.pk) is Outcome.DONE
    after = update_log.load(session.pk)
    assert (after.head, after.epoch) == (before.head, before.epoch)
    assert texts.text_of(after.update) == texts.text_of(before.update) == end
    assert raw_of(session) == []
    assert [snapshot.seq for snapshot in Snapshot.objects.filter(document_id=session.pk)] == [301]
    document = Document.objects.get(pk=session.pk)
    assert (document.snapshot_seq, document.tail_bytes) == (301, 0)
    # At the end of every segment the history is what the rows up to there were.
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    done = 0
    history = history_of(session)
    for segment in history:
        assert segment.first_seq == done + 1
        done = segment.last_seq
        doc.apply_update(bytes(segment.payload))
        assert str(doc.get("main", type=pycrdt.Text)) == texts.text_of(merge(raw[:done]))
    assert done == 301
    assert compaction.compact(session.pk) is Outcome.NOTHING


def test_history_is_in_steps_by_one_person_within_a_minute(session, alice, bob):
    log_of(session, [alice], 4, number=1)
    log_of(session, [bob], 3, number=2)
    contents.replace_entry_text(session.pk, "done\n", bob.pk)
    start = timezone.now().replace(microsecond=0)
    for seq, seconds in {2: 0, 3: 30, 4: 61, 5: 90, 6: 91, 7: 92, 8: 93, 9: 94}.items():
        Update.objects.filter(document_id=session.pk, seq=seq).update(created_at=start + timedelta(seconds=seconds))
    compaction.compact(session.pk)
    steps = [
        (step.first_seq, step.last_seq, step.user, step.origin, (step.ended_at - step.started_at).total_seconds())
        for step in history_of(session)[1:]
    ]
    assert steps == [
        (2, 3, alice, "socket", 30),
        (4, 5, alice, "socket", 29),
        (6, 8, bob, "socket", 2),
        (9, 9, bob, "server", 0),
    ]


def test_long_logs_are_compacted_in_parts(session, alice, monkeypatch):
    monkeypatch.setattr(compaction, "SWAP_ROWS", 40)
    end = log_of(session, [alice, None], 100)
    assert compaction.compact(session.pk) is Outcome.DONE
    assert Snapshot.objects.get(document_id=session.pk).seq == 101
    assert texts.text_of(update_log.load(session.pk).update) == end
    again = log_of(session, [alice], 10, number=3)
    assert compaction.compact(session.pk) is Outcome.DONE
    assert texts.text_of(update_log.load(session.pk).update) == again
    ends = [0, *(step.last_seq for step in history_of(session))]
    assert [step.first_seq for step in history_of(session)] == [last + 1 for last in ends[:-1]]


def test_only_long_tails_are_due(session, alice, settings):
    settings.COMPACT_TAIL_ROWS, settings.COMPACT_TAIL_BYTES = 10, 10_000
    log_of(session, [alice], 9)
    assert compaction.due() == []
    log_of(session, [alice], 1, number=2)
    assert compaction.due() == [session.pk]
    compaction.compact(session.pk)
    assert compaction.due() == []
    contents.replace_entry_text(session.pk, "".join(map(chr, range(0x400, 0x400 + 6000))), alice.pk)
    assert compaction.due() == [session.pk]


def test_housekeeping_compacts_what_is_due(session, alice, settings, monkeypatch):
    settings.COMPACT_TAIL_ROWS = 20
    # The message and the worker that takes it have a test of their own, with a server.
    monkeypatch.setattr(tasks, "compact_later", compaction.compact)
    end = log_of(session, [alice], 30)
    housekeeping.work("sessions_app.tasks.compact_due")
    assert Snapshot.objects.get(document_id=session.pk).seq == 31
    assert contents.entry_text(session) == end


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_readers_writers_and_two_compactors_at_once_do_no_harm(session, alice):
    """Whatever a reader saw committed before it began is in what it reads, and it never meets a gap."""
    trace = traces.made_trace(update_log.load(session.pk).update, agents=1, steps=400)
    over = threading.Event()

    def write() -> None:
        for _, update in trace.steps:
            update_log.append({session.pk: [Entry(update, alice.pk, "socket")]})

    def compact() -> None:
        while not over.is_set():
            compaction.compact(session.pk)

    def load() -> None:
        while not over.is_set():
            head = update_log.heads([session.pk])[session.pk]
            loaded = update_log.load(session.pk)
            assert loaded.head >= head
            assert not pycrdt_lacks(loaded.update, [update for _, update in trace.steps[: loaded.head - 1]])

    def follow() -> None:
        """A room that only reads what is new."""
        loaded = update_log.load(session.pk)
        replica, head = Replica(loaded.update, Limits(1 << 30, 1 << 30)), loaded.head
        while head < len(trace.steps) + 1:
            known = update_log.heads([session.pk])[session.pk]
            news, last = update_log.updates_after(session.pk, head)
            assert last >= known
            for update in news:
                replica.absorb(update)
            head = last
        assert replica.text() == trace.end
        replica.close()

    def closing(work: Any) -> None:
        try:
            work()
        finally:
            connection.close()

    with ThreadPoolExecutor(5) as pool:
        ends = [pool.submit(closing, work) for work in (follow, write)]
        loops = [pool.submit(closing, work) for work in (compact, compact, load)]
        try:
            for end in ends:
                end.result(90)
        finally:
            over.set()
        for loop in loops:
            loop.result(90)
    compaction.compact(session.pk)
    assert texts.text_of(update_log.load(session.pk).update) == trace.end
    history = history_of(session)
    assert [(a.last_seq + 1) for a in history] == [b.first_seq for b in history[1:]] + [402]
    assert texts.text_of(merge(bytes(step.payload) for step in history)) == trace.end


def pycrdt_lacks(update: bytes, parts: list[bytes]) -> bool:
    replica = Replica(update, Limits(1 << 30, 1 << 30))
    try:
        return any(replica.has_news(part) for part in parts[-5:])
    finally:
        replica.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", ["sessions_app_segment", "sessions_app_snapshot"])
def test_compaction_that_dies_halfway_leaves_everything(session, alice, table):
    end = log_of(session, [alice], 50)
    raw = raw_of(session)
    if connection.vendor == "sqlite":
        on = f"CREATE TRIGGER dies BEFORE INSERT ON {table} BEGIN SELECT json('{{'); END"
        off = "DROP TRIGGER dies"
    else:
        on = f"ALTER TABLE {table} ADD CONSTRAINT dies CHECK (octet_length(payload) < 0) NOT VALID"
        off = f"ALTER TABLE {table} DROP CONSTRAINT dies"
    with connection.cursor() as cursor:
        cursor.execute(on)
    try:
        with contextlib.suppress(DatabaseError):
            assert compaction.compact(session.pk) is Outcome.OVERTAKEN
        assert raw_of(session) == raw
        assert texts.text_of(update_log.load(session.pk).update) == end
    finally:
        with connection.cursor() as cursor:
            cursor.execute(off)
    assert compaction.compact(session.pk) is Outcome.DONE
    assert texts.text_of(update_log.load(session.pk).update) == end


def test_merge_that_cannot_be_proven_changes_nothing_and_is_told_once(session, alice, caplog, settings):
    """As of a server that took other things than text: its updates open, but no proof covers them."""
    settings.COMPACT_TAIL_ROWS = 1
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.apply_update(update_log.load(session.pk).update)
    updates: list[bytes] = []
    doc.observe(lambda event: updates.append(event.update))
    doc.get("main", type=pycrdt.Text).insert_embed(0, {"image": "x"})
    update_log.append({session.pk: [Entry(update, alice.pk, "socket") for update in updates * 2]})
    raw = raw_of(session)
    assert compaction.due() == [session.pk]
    with caplog.at_level(logging.ERROR):
        assert compaction.compact(session.pk) is Outcome.REFUSED
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert compaction.due() == []
    assert raw_of(session) == raw
    assert not Snapshot.objects.filter(document_id=session.pk).exists()
    assert update_log.load(session.pk).head == 3


def test_row_that_cannot_be_merged_is_set_aside_and_the_document_opens(session, alice):
    end = log_of(session, [alice], 20)
    spoiled = Update.objects.get(document_id=session.pk, seq=21)
    before = texts.text_of(merge(raw_of(session)[:-1]))
    Update.objects.filter(pk=spoiled.pk).update(payload=b"\xff\xfe spoiled")
    Document.objects.filter(pk=session.pk).update(text_seq=0)
    assert contents.entry_text(session) == before != end
    assert update_log.load(session.pk).head == 21
    (kept,) = Quarantined.objects.all()
    assert (kept.document_id, kept.seq, kept.user_id, bytes(kept.payload)) == (
        session.pk,
        21,
        alice.pk,
        b"\xff\xfe spoiled",
    )
    assert compaction.compact(session.pk) is Outcome.DONE
    # Whoever still has what it said brings it back.
    update_log.append({session.pk: [Entry(bytes(spoiled.payload), alice.pk, "socket")]})
    assert contents.entry_text(session) == end
    quarantine.forget_quarantined()
    assert Quarantined.objects.count() == 1


def test_snapshot_that_cannot_be_opened_is_made_again_of_its_history(session, alice):
    log_of(session, [alice], 30)
    compaction.compact(session.pk)
    end = log_of(session, [alice], 5, number=2)
    Snapshot.objects.filter(document_id=session.pk).update(payload=b"\x01\x01\x01")
    assert contents.files_at_head(session.pk) == (36, {"main.py": end.encode()})
    assert [(kept.seq, bytes(kept.payload)) for kept in Quarantined.objects.all()] == [(31, b"\x01\x01\x01")]


def test_log_that_is_spoiled_all_over_is_not_opened_and_not_touched(session, alice):
    log_of(session, [alice], 40)
    Update.objects.filter(document_id=session.pk).update(payload=b"\xff spoiled")
    with pytest.raises(LogDamaged):
        contents.files_at_head(session.pk)
    assert not Quarantined.objects.exists()
    assert set(raw_of(session)) == {b"\xff spoiled"}


def test_history_with_a_gap_is_not_read_as_if_it_were_whole(session, alice, monkeypatch):
    log_of(session, [alice], 30)
    monkeypatch.setattr(compaction, "SWAP_ROWS", 10)
    compaction.compact(session.pk)
    assert update_log.updates_after(session.pk, 31) == ([], 31)
    assert update_log.updates_after(session.pk, 15)[1] == 31
    Segment.objects.filter(document_id=session.pk, first_seq=21).delete()
    with pytest.raises(LogDamaged):
        update_log.updates_after(session.pk, 15)
