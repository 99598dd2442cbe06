"""The update log: numbers without gaps, loads that never come up short, edits from the server."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pycrdt
import pytest
from django.db import connection

from realtime.database import append
from sessions_app.document import contents, texts, update_log
from sessions_app.document.update_log import Appended, Entry, Loaded, LogDamaged
from sessions_app.document.updates import merge
from sessions_app.errors import RevisionPassed, SessionNotFound, TextTooLarge
from sessions_app.models import Document, Snapshot, Update


def typed(loaded: Loaded, text: str, at: int = 0) -> bytes:
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.apply_update(loaded.update)
    updates: list[bytes] = []
    doc.observe(lambda event: updates.append(event.update))
    doc.get("main", type=pycrdt.Text).insert(at, text)
    return updates[0]


def test_new_document_starts_with_its_text_at_revision_one(session):
    loaded = update_log.load(session.pk)
    assert loaded.head == 1
    assert texts.text_of(loaded.update) == "print(1)\n" == contents.entry_text(session)
    assert contents.files_at_head(session.pk) == (1, {"main.py": b"print(1)\n"})


def test_append_gives_consecutive_numbers_to_many_documents_at_once(session, alice):
    import languages
    from sessions_app import actions

    other = actions.create_session(alice, language=languages.get("python"), content="")
    entries = {
        key: [Entry(typed(update_log.load(key), text), alice.pk, "socket") for text in ("a", "b")]
        for key in (session.pk, other.pk)
    }
    appended = update_log.append({**entries, uuid.uuid4(): entries[session.pk]})
    assert appended == {key: Appended(2, 3) for key in entries}
    assert update_log.heads(entries) == dict.fromkeys(entries, 3)
    assert update_log.updates_after(session.pk, 1) == ([entry.payload for entry in entries[session.pk]], 3)
    assert Update.objects.get(document_id=session.pk, seq=3).user_id == alice.pk


def write_as_nobody(session_id: uuid.UUID) -> None:
    """What a room commits of people who have no account any more, alone and among others."""
    for authors in ([uuid.uuid4()], [None, uuid.uuid4()]):
        head = update_log.load(session_id).head
        entries = [Entry(typed(update_log.load(session_id), "text"), author, "socket") for author in authors]
        appended = append({session_id: entries})
        assert appended == {session_id: Appended(head + 1, head + len(authors))}
        rows = Update.objects.filter(document_id=session_id, seq__gt=head).order_by("seq")
        assert [(bytes(row.payload), row.user_id) for row in rows] == [(entry.payload, None) for entry in entries]


@pytest.mark.django_db(transaction=True)
def test_text_of_somebody_whose_account_is_gone_is_kept(session):
    write_as_nobody(session.pk)


def test_text_of_somebody_whose_account_is_gone_is_kept_by_postgresql(with_redis):
    alice = with_redis[0].person("alice")
    session_id = alice.new_session(content="")["id"]
    code = "from uuid import UUID; from tests.realtime.test_update_log import write_as_nobody"
    with_redis[0].manage("shell", "-v", "0", "-c", f"{code}; write_as_nobody(UUID('{session_id}'))")
    assert alice.text(session_id) == "texttexttext"


@pytest.mark.django_db(transaction=True)
def test_writers_at_once_get_numbers_without_gaps_or_doubles(session, alice):
    loaded = update_log.load(session.pk)
    start = threading.Barrier(4)

    def write(name: str) -> list[int]:
        try:
            start.wait()
            found = []
            for _ in range(10):
                appended = update_log.append({session.pk: [Entry(typed(loaded, name), alice.pk, "socket")] * 2})
                found += [appended[session.pk].first_seq, appended[session.pk].last_seq]
            return found
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        numbers = [number for given in pool.map(write, "abcd") for number in given]
    assert sorted(numbers) == list(range(2, 82))
    text = texts.text_of(update_log.load(session.pk).update)
    assert sorted(text) == sorted("print(1)\n" + "abcd" * 10)


def test_load_uses_the_newest_snapshot_and_what_came_after(session, alice):
    for text in "abc":
        update_log.append({session.pk: [Entry(typed(update_log.load(session.pk), text), alice.pk, "socket")]})
    whole = update_log.load(session.pk)
    rows, _ = update_log.updates_after(session.pk, 0)
    Snapshot.objects.create(document_id=session.pk, seq=3, payload=merge(rows[:3]))
    Update.objects.filter(document_id=session.pk, seq__lte=3).delete()
    again = update_log.load(session.pk)
    assert again.head == whole.head == 4
    assert texts.text_of(again.update) == texts.text_of(whole.update) == "cbaprint(1)\n"


def test_log_with_a_gap_or_with_nothing_does_not_open(session, alice):
    for text in "ab":
        update_log.append({session.pk: [Entry(typed(update_log.load(session.pk), text), alice.pk, "socket")]})
    Update.objects.filter(document_id=session.pk, seq=2).delete()
    with pytest.raises(LogDamaged):
        update_log.load(session.pk)
    Update.objects.filter(document_id=session.pk).delete()
    with pytest.raises(LogDamaged):
        update_log.load(session.pk)
    with pytest.raises(SessionNotFound):
        update_log.load(uuid.uuid4())


def test_text_is_recomputed_only_when_the_head_has_moved(session, alice, django_assert_num_queries):
    update_log.append({session.pk: [Entry(typed(update_log.load(session.pk), "x"), alice.pk, "socket")]})
    assert contents.entry_text(session) == "xprint(1)\n"
    with django_assert_num_queries(1):
        assert contents.entry_text(session) == "xprint(1)\n"
    # An older reader does not put an older text back.
    contents.keep_text(session.pk, "old", 1)
    assert contents.entry_text(session) == "xprint(1)\n"


def test_text_with_nul_and_emoji_survives(session, alice):
    contents.replace_entry_text(session.pk, "a\x00b😀\r\nc", alice.pk)
    assert contents.entry_text(session) == "a\x00b😀\nc"
    assert Document.objects.get(pk=session.pk).text == "print(1)\n"


def test_replacing_the_text_is_one_small_attributed_update(session, alice):
    assert contents.replace_entry_text(session.pk, "print(2)\n", alice.pk) == 2
    row = Update.objects.get(document_id=session.pk, seq=2)
    assert (row.user_id, row.origin) == (alice.pk, "server")
    assert len(bytes(row.payload)) < 60
    assert contents.replace_entry_text(session.pk, "print(2)\r\n", alice.pk) == 2


def test_replacing_a_text_that_moved_on_is_refused_only_when_asked(session, alice):
    contents.replace_entry_text(session.pk, "a", alice.pk)
    with pytest.raises(RevisionPassed):
        contents.replace_entry_text(session.pk, "b", alice.pk, base_revision=1)
    assert contents.replace_entry_text(session.pk, "b", alice.pk, base_revision=2) == 3


def test_text_over_the_limit_is_refused(session, alice):
    with pytest.raises(TextTooLarge):
        contents.replace_entry_text(session.pk, "x" * (512 * 1024 + 1), alice.pk)
    assert contents.entry_text(session) == "print(1)\n"
