"""The update log of a session's document: create, append, load, read, edit from the server. Synchronous ORM.

The log is the truth. A row is only ever added, and `Document.head` moves in the transaction that adds, so sequence
numbers have no gaps and a reader that sees seq n sees all before it. Rooms (realtime/rooms.py) and REST write here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from sessions_app import crdt, events
from sessions_app.errors import RevisionPassed, SessionNotFound, TextTooLarge
from sessions_app.models import CodeSession, Document, Snapshot, Update

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

# What a message on the channel layer may carry of an update; a larger one is read from the log.
BELL_MAX_BYTES = 32 * 1024
TOUCH_SECONDS = 5


class LogDamaged(RuntimeError):
    """The log has a gap or an update that cannot be read. The document must not be opened as if it were shorter."""


@dataclass(frozen=True, slots=True)
class Entry:
    payload: bytes
    user_id: UUID | None
    origin: Literal["socket", "server"]


@dataclass(frozen=True, slots=True)
class Appended:
    """The sequence numbers that the entries of one document got, both ends included."""

    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class Loaded:
    epoch: UUID
    head: int
    update: bytes


def create_document(session: CodeSession, text: str, file_name: str) -> Document:
    """The document of a new session, seeded with its text. Call it in the transaction that creates the session."""
    text = crdt.normalise(text)
    _require_size(text)
    document = Document.objects.create(session=session, head=1)
    Update.objects.create(document=document, seq=1, payload=crdt.seed(text, file_name), user=None, origin="server")
    _keep_text(document.pk, text, 1)
    document.text, document.text_seq = text, 1
    return document


def load(session_id: UUID) -> Loaded:
    """Newest snapshot and the updates after it, merged. Raises SessionNotFound or LogDamaged, never opens empty.

    No transaction: rows are only added, in the order of seq, so a snapshot and a later look at the tail agree. (On
    SQLite a transaction would take the write lock.)
    """
    epoch = Document.objects.filter(pk=session_id).values_list("epoch", flat=True).first()
    if epoch is None:
        raise SessionNotFound
    snapshot = Snapshot.objects.filter(document_id=session_id).order_by("-seq").first()
    start = snapshot.seq if snapshot else 0
    tail = updates_after(session_id, start)
    head = start + len(tail)
    if head == 0 or [seq for seq, _ in tail] != list(range(start + 1, head + 1)):
        raise LogDamaged(f"the update log of {session_id} has a gap after {start}")
    parts = [bytes(snapshot.payload)] if snapshot else []
    parts += [payload for _, payload in tail]
    try:
        return Loaded(epoch, head, crdt.merge(parts))
    except crdt.Malformed as error:
        raise LogDamaged(f"the update log of {session_id} cannot be merged: {error}") from error


def append(entries: Mapping[UUID, Sequence[Entry]]) -> dict[UUID, Appended]:
    """Add updates to any number of documents in one transaction. A document that is gone is absent from the answer.

    Documents are locked in the order of their ids, so that two processes never wait for each other.
    """
    wanted = {session_id: entries[session_id] for session_id in sorted(entries) if entries[session_id]}
    if not wanted:
        return {}
    return _append_at_once(wanted) if connection.vendor == "postgresql" else _append_step_by_step(wanted)


@transaction.atomic
def _append_step_by_step(wanted: Mapping[UUID, Sequence[Entry]]) -> dict[UUID, Appended]:
    found = [
        session_id
        for session_id, group in wanted.items()
        if Document.objects.filter(pk=session_id).update(head=F("head") + len(group))
    ]
    head = heads(found)
    appended = {
        session_id: Appended(head[session_id] - len(wanted[session_id]) + 1, head[session_id]) for session_id in found
    }
    Update.objects.bulk_create(
        Update(
            document_id=session_id,
            seq=appended[session_id].first_seq + index,
            payload=entry.payload,
            user_id=entry.user_id,
            origin=entry.origin,
        )
        for session_id in found
        for index, entry in enumerate(wanted[session_id])
    )
    return appended


def _append_at_once(wanted: Mapping[UUID, Sequence[Entry]]) -> dict[UUID, Appended]:
    """The same as one statement of PostgreSQL, which is its own transaction: a fifth of the round trips and the work.

    A row of `moved` is only updated once `locked` has it, and `locked` takes them in order.
    """
    entries = [
        (session_id, number, entry.payload, entry.user_id, entry.origin)
        for session_id, group in wanted.items()
        for number, entry in enumerate(group, 1)
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            _APPEND_AT_ONCE,
            [list(wanted), [len(group) for group in wanted.values()], *map(list, zip(*entries, strict=True))],
        )
        return {session_id: Appended(before + 1, head) for session_id, before, head in cursor.fetchall()}


_APPEND_AT_ONCE = f"""
WITH wanted AS (SELECT * FROM unnest(%s::uuid[], %s::bigint[]) AS w (id, count)),
locked AS (
    SELECT d.session_id AS id FROM {Document._meta.db_table} d JOIN wanted w ON w.id = d.session_id
    ORDER BY d.session_id FOR UPDATE OF d
),
moved AS (
    UPDATE {Document._meta.db_table} d SET head = d.head + w.count FROM wanted w, locked l
    WHERE d.session_id = l.id AND w.id = l.id
    RETURNING d.session_id AS id, d.head - w.count AS before, d.head AS head
),
added AS (
    INSERT INTO {Update._meta.db_table} (document_id, seq, payload, user_id, origin, created_at)
    SELECT m.id, m.before + e.number, e.payload, e.user_id, e.origin, now()
    FROM unnest(%s::uuid[], %s::bigint[], %s::bytea[], %s::uuid[], %s::text[])
        AS e (id, number, payload, user_id, origin)
    JOIN moved m ON m.id = e.id
)
SELECT id, before, head FROM moved
"""  # noqa: S608 (the names are the models')


def updates_after(session_id: UUID, seq: int) -> list[tuple[int, bytes]]:
    rows = Update.objects.filter(document_id=session_id, seq__gt=seq).order_by("seq").values_list("seq", "payload")
    return [(number, bytes(payload)) for number, payload in rows]


def heads(ids: Iterable[UUID]) -> dict[UUID, int]:
    return dict(Document.objects.filter(pk__in=list(ids)).values_list("pk", "head"))


def touch(ids: Iterable[UUID]) -> None:
    """Note that these sessions were worked in; at most once per TOUCH_SECONDS each."""
    now = timezone.now()
    CodeSession.objects.filter(pk__in=list(ids), updated_at__lt=now - timedelta(seconds=TOUCH_SECONDS)).update(
        updated_at=now
    )


def files_at_head(session_id: UUID) -> tuple[int, dict[str, bytes]]:
    """(revision, path -> text), the entry file first."""
    loaded = load(session_id)
    return loaded.head, crdt.files_of(loaded.update)


def entry_text(session: CodeSession) -> str:
    """The text of the entry file at the committed head."""
    document = Document.objects.filter(pk=session.pk).first()
    if document is None:
        raise SessionNotFound
    if document.text_seq == document.head:
        return document.text
    loaded = load(session.pk)
    text = crdt.text_of(loaded.update)
    _keep_text(session.pk, text, loaded.head)
    return text


def replace_entry_text(session_id: UUID, text: str, user_id: UUID | None, base_revision: int | None = None) -> int:
    """Turn the entry file into `text` by the smallest edit, which live rooms show at once. Returns the new revision.

    Raises RevisionPassed when `base_revision` is given and is not the head, TextTooLarge over settings.TEXT_MAX_BYTES.
    """
    text = crdt.normalise(text)
    _require_size(text)
    with transaction.atomic():
        # The lock keeps the head where it is between the comparison and the append.
        document = Document.objects.select_for_update().filter(pk=session_id).first()
        if document is None:
            raise SessionNotFound
        if base_revision is not None and base_revision != document.head:
            raise RevisionPassed(revision=document.head)
        payload = crdt.replacement(load(session_id).update, text)
        if payload is None:
            return document.head
        seq = append({session_id: [Entry(payload, user_id, "server")]})[session_id].last_seq
        _keep_text(session_id, text, seq)
        touch([session_id])
        transaction.on_commit(lambda: events.ring_document(session_id, bell(document.epoch, seq, seq, [payload])))
    return seq


def bell(epoch: UUID, first_seq: int, last_seq: int, payloads: Sequence[bytes], process: str = "") -> dict[str, object]:
    """The message that tells rooms of a grown log; it carries the updates themselves while they are small."""
    small = sum(map(len, payloads)) <= BELL_MAX_BYTES
    return {
        "process": process,
        "epoch": epoch.hex,
        "first": first_seq,
        "last": last_seq,
        "updates": list(payloads) if small else None,
    }


def _keep_text(session_id: UUID, text: str, seq: int) -> None:
    # PostgreSQL's text type holds no NUL; such a text is computed at every read.
    if "\x00" not in text:
        Document.objects.filter(pk=session_id, text_seq__lt=seq).update(text=text, text_seq=seq)


def _require_size(text: str) -> None:
    if len(text.encode()) > settings.TEXT_MAX_BYTES:
        raise TextTooLarge
