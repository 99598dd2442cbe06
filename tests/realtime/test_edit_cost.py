"""What an edit costs: edits of pycrdt, blocks that it walks, and statements under the write lock. No clock is asked."""

from __future__ import annotations

import io
import random
import zipfile

import pycrdt
import pytest
from django.db import transaction

from sessions_app import zips
from sessions_app.document import changes, contents, diff, opening, rewrite, texts, update_log, updates
from sessions_app.document.changes import STEPS_MAX, replacement
from sessions_app.document.contents import EDIT_ATTEMPTS
from sessions_app.document.diff import EDITS_MAX
from sessions_app.document.update_log import Entry
from sessions_app.models import Update

BLOCKS = 100_000
WORDS = [format(number, "x") for number in range(92_000)]


def fragmented(seed: bytes, count: int = BLOCKS) -> bytes:
    """The change of somebody who typed so many characters, each in front of the last: every one is its own block."""
    doc: pycrdt.Doc = pycrdt.Doc(client_id=2**31)
    doc.apply_update(seed)
    changes: list[bytes] = []
    doc.observe(lambda event: changes.append(event.update))
    text = doc.get("main", type=pycrdt.Text)
    with doc.transaction():
        for _ in range(count):
            text.insert(0, "a")
    return updates.merge(changes)


class Counted:
    """Counts what is done to texts, and how many blocks pycrdt may walk for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, blocks: int = 1) -> None:
        self.edits = 0
        self._blocks = blocks
        for name in ("insert", "__delitem__"):
            monkeypatch.setattr(pycrdt.Text, name, self._counting(getattr(pycrdt.Text, name)))

    def _counting(self, real):
        def call(*args):
            self.edits += 1
            return real(*args)

        return call

    @property
    def steps(self) -> int:
        return self.edits * (self._blocks + self.edits)


def shapes() -> dict[str, tuple[str, str]]:
    shuffled = WORDS[:]
    random.Random(1).shuffle(shuffled)
    long = "ab" * 250_000
    return {
        "tabs for blanks": (" ".join(WORDS), "\t".join(WORDS)),
        "every line": ("\n".join(WORDS), "\n".join(f"{word} " for word in WORDS)),
        "shuffled lines": ("\n".join(WORDS), "\n".join(shuffled)),
        "turned round": ("\n".join(WORDS), "\n".join(reversed(WORDS))),
        "alternating deletions": (long, "a" * 250_000),
        "one long line": (long, long[:100_000] + "c" + long[100_000:400_000] + "d"),
    }


@pytest.mark.parametrize("shape", shapes())
def test_edit_of_half_a_megabyte_is_a_few_hundred_edits_at_most(shape, monkeypatch):
    old, new = shapes()[shape]
    seed = changes.seed(old, "main.py")
    counted = Counted(monkeypatch)
    change = replacement(seed, new)
    assert change is not None
    assert counted.edits <= 2 * EDITS_MAX
    assert texts.text_of([seed, change]) == new


def test_edit_of_very_many_blocks_is_a_few_edits(monkeypatch):
    seed = changes.seed("", "main.py")
    parts = [seed, fragmented(seed)]
    scattered = "".join("b" if number % 500 == 0 else "a" for number in range(BLOCKS))
    counted = Counted(monkeypatch, BLOCKS)
    change = replacement(parts, scattered)
    assert change is not None
    assert counted.steps <= 2 * STEPS_MAX
    assert texts.text_of([*parts, change]) == scattered


def test_merged_differences_leave_what_lies_far_from_them_alone():
    """Of many changes those close together become one; a paragraph that nobody touched stays as it was typed."""
    paragraph = "".join(f"line {number} stays\n" for number in range(2000))
    old = " ".join(WORDS[:2000]) + "\n" + paragraph + " ".join(WORDS[2000:4000])
    new = "\t".join(WORDS[:2000]) + "\n" + paragraph + "\t".join(WORDS[2000:4000])
    at, end = old.index(paragraph), old.index(paragraph) + len(paragraph)
    edits = diff.edits_between(old, new)
    assert len(edits) <= EDITS_MAX
    assert all(edit.start + edit.delete <= at or edit.start >= end for edit in edits)


def packed(text: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("main.py", text)
    return made.getvalue()


# What takes long: opening a document, making one, unpacking an archive.
LONG_WORK = [
    *((module, "doc_of") for module in (changes, opening, rewrite, texts)),
    (rewrite, "doc_in_order"),
    (changes, "seed"),
    (zips, "unpack"),
]


@pytest.mark.django_db(transaction=True)
def test_long_work_is_done_outside_of_every_transaction(session, alice, api, monkeypatch):
    """SQLite has one write lock for everybody, PostgreSQL one for the document."""
    client, path = api(alice), f"/api/sessions/{session.pk}"
    file = client.post(f"{path}/files", {"path": "more.py", "content": "x = 1\n"}, format="json").json()["id"]
    locked: list[tuple[str, bool]] = []
    for module, name in LONG_WORK:
        real = getattr(module, name)

        def watched(*args, _real=real, _name=name, **named):
            locked.append((_name, transaction.get_connection().in_atomic_block))
            return _real(*args, **named)

        monkeypatch.setattr(module, name, watched)
    doors = {
        "text": lambda: client.patch(path, {"content": "x = 1\n"}, format="json"),
        "text and title": lambda: client.patch(path, {"content": "x = 2\n", "title": "Both"}, format="json"),
        "language": lambda: client.patch(path, {"language": "ruby"}, format="json"),
        "file": lambda: client.patch(f"{path}/files/{file}", {"content": "x = 2\n", "path": "b.py"}, format="json"),
        "new file": lambda: client.post(f"{path}/files", {"path": "c.py", "content": "x"}, format="json"),
        "deleted file": lambda: client.delete(f"{path}/files/{file}"),
        "restored": lambda: client.post(f"{path}/history/1/restore"),
        "fork": lambda: client.post(f"{path}/fork"),
        "import": lambda: client.post("/api/sessions/import", packed("x"), content_type="application/zip"),
        "new": lambda: client.post(
            "/api/sessions", {"language": "python", "title": "N", "content": "x"}, format="json"
        ),
    }
    for door, go in doors.items():
        locked.clear()
        answer = go()
        assert answer.status_code in (200, 201, 204), (door, answer.content)
        assert locked, door
        assert not any(is_locked for _, is_locked in locked), door


@pytest.mark.django_db(transaction=True)
def test_edit_that_was_overtaken_is_made_again(session, alice, monkeypatch):
    real, typed = replacement, iter([True])

    def overtaken(update, text):
        if next(typed, False):
            other = real(update, "print(1)\n# typed meanwhile\n")
            update_log.append({session.pk: [Entry(other, alice.pk, "socket")]})
        return real(update, text)

    monkeypatch.setattr(changes, "replacement", overtaken)
    revision = contents.replace_entry_text(session.pk, "print(2)\n", alice.pk)
    assert contents.entry_at_head(session.pk) == (revision, "print(2)\n")


@pytest.mark.django_db(transaction=True)
def test_edit_in_a_room_that_is_never_quiet_is_merged_with_what_others_typed(session, alice, monkeypatch):
    real = replacement

    def overtaken(update, text):
        other = real(update, contents.files_at_head(session.pk)[1]["main.py"].decode() + "# typed\n")
        update_log.append({session.pk: [Entry(other, alice.pk, "socket")]})
        return real(update, text)

    monkeypatch.setattr(changes, "replacement", overtaken)
    contents.replace_entry_text(session.pk, "print(2)\n", alice.pk)
    assert Update.objects.filter(document_id=session.pk).count() == 1 + EDIT_ATTEMPTS + 1
    text = contents.entry_text(session)
    assert text.startswith("print(2)\n")
    assert text.endswith("# typed\n")


@pytest.mark.django_db(transaction=True)
def test_only_the_append_is_under_the_write_lock(session, alice, django_assert_max_num_queries):
    """Whatever the text, so many statements between BEGIN and COMMIT."""
    with django_assert_max_num_queries(20) as captured:
        contents.replace_entry_text(session.pk, "\t".join(WORDS), alice.pk)
    statements = [query["sql"] for query in captured.captured_queries]
    begin = next(index for index, sql in enumerate(statements) if sql.startswith("BEGIN"))
    assert not any("sessions_app_update" in sql and sql.startswith("SELECT") for sql in statements[begin:])
