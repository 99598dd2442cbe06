"""The update log of a session's document: create, append, load, read, edit from the server. Synchronous ORM.

The log is the truth. `Document.head` moves in the transaction that adds rows, so sequence numbers have no gaps and a
reader that sees seq n sees all before it. Compaction (compaction.py) moves the oldest rows into segments in the
transaction that writes the snapshot which stands for them, so whoever looks for rows first and for the snapshot or the
segments afterwards misses nothing, without a transaction of their own. Rooms (realtime/rooms.py) and REST write here.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from sessions_app import crdt, events, metrics
from sessions_app.errors import RevisionPassed, SessionNotFound, TextTooLarge
from sessions_app.models import CodeSession, Document, Quarantined, Segment, Snapshot, Update
from web.prepared import binding_cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from uuid import UUID

logger = logging.getLogger(__name__)
T = TypeVar("T")

# What a message on the channel layer may carry of an update; a larger one is read from the log.
BELL_MAX_BYTES = 32 * 1024
TOUCH_SECONDS = 5
# How often an edit by the server is made anew because somebody else wrote while it was made.
EDIT_ATTEMPTS = 3
# Of updates that sockets sent and that could not be merged: what is kept of one person's and of all in a day, and for
# how long.
QUARANTINED_PER_USER = 5
QUARANTINED_A_DAY = 200
QUARANTINE_TIME = timedelta(days=30)
# So many rows of one log may be set aside at a time.
SET_ASIDE_MAX = 20


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
    # The snapshot and the rows after it, to be applied in this order: merging them first takes longer.
    parts: tuple[bytes, ...]
    # How many of the parts are rows.
    tail_rows: int = 0

    @property
    def update(self) -> bytes:
        """All of it as one update."""
        return crdt.merge(self.parts)


@dataclass(frozen=True, slots=True)
class Log:
    """The newest snapshot, and the rows after it without a gap."""

    epoch: UUID
    snapshot: Snapshot | None
    tail: list[Update]

    @property
    def head(self) -> int:
        return self.tail[-1].seq if self.tail else self.snapshot.seq if self.snapshot else 0

    @property
    def parts(self) -> list[bytes]:
        before = [bytes(self.snapshot.payload)] if self.snapshot else []
        return before + [bytes(row.payload) for row in self.tail]


@dataclass(frozen=True, slots=True)
class Seed:
    """What a new document begins with."""

    entry_text: str
    update: bytes


def seed(texts: Mapping[str, str]) -> Seed:
    """The beginning of a document with these texts by path, the entry file first. Raises TextTooLarge.

    It takes no lock, and may take long: call it before the transaction that creates the session.
    """
    texts = {path: checked(text) for path, text in texts.items()}
    (path, text), *others = texts.items()
    update = crdt.seed(text, path, dict(others))
    if len(update) > settings.DOCUMENT_MAX_BYTES:
        raise TextTooLarge
    return Seed(text, update)


def create_document(session: CodeSession, seed: Seed) -> Document:
    """The document of a new session. Call it in the transaction that creates the session."""
    document = Document.objects.create(session=session, head=1, tail_bytes=len(seed.update))
    Update.objects.create(document=document, seq=1, payload=seed.update, user=None, origin="server")
    _keep_text(document.pk, seed.entry_text, 1)
    document.text, document.text_seq = seed.entry_text, 1
    return document


def load(session_id: UUID) -> Loaded:
    """Newest snapshot and the updates after it. Raises SessionNotFound or LogDamaged, never opens shorter."""
    return _loaded(read_log(session_id))


def load_mended(session_id: UUID, error: Exception) -> Loaded:
    """As load(), where what that returned could not be opened: without the rows that cannot be merged, which are set
    aside."""
    return _loaded(_mended(session_id, error))


def _loaded(log: Log) -> Loaded:
    return Loaded(log.epoch, log.head, tuple(log.parts), len(log.tail))


def read_log(session_id: UUID) -> Log:
    """What the document is made of. Raises SessionNotFound or LogDamaged."""
    found = Document.objects.filter(pk=session_id).values_list("epoch", "head").first()
    if found is None:
        raise SessionNotFound
    epoch, head = found
    # In this order: what a compaction takes away meanwhile is in the snapshot that it leaves.
    rows = list(Update.objects.filter(document_id=session_id).order_by("seq"))
    snapshot = Snapshot.objects.filter(document_id=session_id).order_by("-seq").first()
    start = snapshot.seq if snapshot else 0
    tail = [row for row in rows if row.seq > start]
    last = start + len(tail)
    if last == 0 or last < head or [row.seq for row in tail] != list(range(start + 1, last + 1)):
        raise LogDamaged(f"the update log of {session_id} has a gap after {start}")
    return Log(epoch, snapshot, tail)


def append(entries: Mapping[UUID, Sequence[Entry]]) -> dict[UUID, Appended]:
    """Add updates to any number of documents in one transaction. A document that is gone is absent from the answer.

    Documents are locked in the order of their ids, so that two processes never wait for each other.
    """
    wanted = {session_id: entries[session_id] for session_id in sorted(entries) if entries[session_id]}
    if not wanted:
        return {}
    if connection.vendor != "postgresql":
        return _append_step_by_step(wanted)
    with binding_cursor(connection) as cursor:
        cursor.execute(*append_statement(wanted))
        return appended(cursor.fetchall())


def append_statement(entries: Mapping[UUID, Sequence[Entry]]) -> tuple[str, list[Any]]:
    """append() as one statement of PostgreSQL, which is its own transaction, and its values; no group may be empty."""
    ((session_id, group), *others) = entries.items()
    if not others and len(group) == 1:
        (entry,) = group
        return _APPEND_ONE, [len(entry.payload), session_id, entry.payload, entry.user_id, entry.origin]
    rows = [
        (session_id, number, entry.payload, entry.user_id, entry.origin)
        for session_id, group in entries.items()
        for number, entry in enumerate(group, 1)
    ]
    return _APPEND_AT_ONCE, [
        list(entries),
        [len(group) for group in entries.values()],
        [sum(len(entry.payload) for entry in group) for group in entries.values()],
        *map(list, zip(*rows, strict=True)),
    ]


def appended(rows: Iterable[tuple[UUID, int, int]]) -> dict[UUID, Appended]:
    """What the statement answers."""
    return {session_id: Appended(first_seq, last_seq) for session_id, first_seq, last_seq in rows}


@transaction.atomic
def _append_step_by_step(wanted: Mapping[UUID, Sequence[Entry]]) -> dict[UUID, Appended]:
    found = [
        session_id
        for session_id, group in wanted.items()
        if Document.objects.filter(pk=session_id).update(
            head=F("head") + len(group), tail_bytes=F("tail_bytes") + sum(len(entry.payload) for entry in group)
        )
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


# A row of `moved` is only updated once `locked` has it, and `locked` takes them in order.
_APPEND_AT_ONCE = f"""
WITH wanted AS (SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[]) AS w (id, count, bytes)),
locked AS (
    SELECT d.session_id AS id FROM {Document._meta.db_table} d JOIN wanted w ON w.id = d.session_id
    ORDER BY d.session_id FOR NO KEY UPDATE OF d
),
moved AS (
    UPDATE {Document._meta.db_table} d SET head = d.head + w.count, tail_bytes = d.tail_bytes + w.bytes
    FROM wanted w, locked l
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
SELECT id, before + 1, head FROM moved
"""  # noqa: S608 (the names are the models')


# The same for what one person types alone: half the work of arrays and joins.
_APPEND_ONE = f"""
WITH moved AS (
    UPDATE {Document._meta.db_table} SET head = head + 1, tail_bytes = tail_bytes + %s
    WHERE session_id = %s RETURNING session_id, head
),
added AS (
    INSERT INTO {Update._meta.db_table} (document_id, seq, payload, user_id, origin, created_at)
    SELECT session_id, head, %s::bytea, %s::uuid, %s::text, now() FROM moved
)
SELECT session_id, head, head FROM moved
"""  # noqa: S608 (the names are the models')


def updates_after(session_id: UUID, seq: int) -> tuple[list[bytes], int]:
    """What was written after `seq`, and up to which number; perhaps with some before it. Raises LogDamaged."""
    rows = list(
        Update.objects.filter(document_id=session_id, seq__gt=seq).order_by("seq").values_list("seq", "payload")
    )
    first = rows[0][0] if rows else None
    parts: list[bytes] = []
    last = seq
    if first != seq + 1:
        # Looked for after the rows, so that what a compaction moves meanwhile is seen in one of the two.
        moved = Segment.objects.filter(document_id=session_id, last_seq__gt=seq)
        if first is not None:
            moved = moved.filter(first_seq__lt=first)
        for first_seq, last_seq, payload in moved.order_by("last_seq").values_list("first_seq", "last_seq", "payload"):
            if first_seq > last + 1:
                raise LogDamaged(f"the history of {session_id} has a gap after {last}")
            parts.append(bytes(payload))
            last = last_seq
    for number, payload in rows:
        if number > last + 1:
            raise LogDamaged(f"the update log of {session_id} has a gap after {last}")
        parts.append(bytes(payload))
        last = max(last, number)
    return parts, last


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
    return _read(session_id, crdt.files_of)


def entry_text(session: CodeSession) -> str:
    """The text of the entry file at the committed head."""
    return entry_at_head(session.pk)[1]


def entry_at_head(session_id: UUID) -> tuple[int, str]:
    """(head, text of the entry file there). What is stored with the document is right while its head stays."""
    row = Document.objects.filter(pk=session_id).values_list("head", "text_seq", "text").first()
    if row is None:
        raise SessionNotFound
    head, text_seq, text = row
    if text_seq != head:
        head, text = _read(session_id, crdt.text_of)
        _keep_text(session_id, text, head)
    return head, text


def _read(session_id: UUID, read: Callable[[crdt.Updates], T]) -> tuple[int, T]:
    """(head, what `read` finds in the document)."""
    loaded = load(session_id)
    try:
        return loaded.head, read(loaded.parts)
    except (crdt.Malformed, crdt.Broken) as error:
        loaded = load_mended(session_id, error)
        return loaded.head, read(loaded.parts)


def replace_entry_text(session_id: UUID, text: str, user_id: UUID | None, base_revision: int | None = None) -> int:
    """Turn the entry file into `text` by a small edit, which live rooms show at once. Returns the new revision.

    Raises RevisionPassed when `base_revision` is given and is not the head, TextTooLarge over settings.TEXT_MAX_BYTES.
    """
    text = checked(text)
    return edit(session_id, user_id, lambda update: crdt.replacement(update, text), base_revision, entry_text=text)


def edit(
    session_id: UUID,
    user_id: UUID | None,
    make: Callable[[crdt.Updates], bytes | None],
    base_revision: int | None = None,
    *,
    entry_text: str | None = None,
    also: Callable[[int], None] | None = None,
) -> int:
    """Append the update that `make` makes of the document; live rooms show it at once.

    Returns the new revision, or the present one when there is nothing to change. `make` may raise, and nothing is
    changed; it may be called again when somebody else wrote meanwhile. `also` is called with the revision in the
    transaction that appends. `entry_text` is the entry file's text after the change, where that is known. Raises
    SessionNotFound, RevisionPassed as above, TextTooLarge over settings.DOCUMENT_MAX_BYTES.
    """
    # No lock is held while the change is made: SQLite has one, for everybody. So call this in no transaction.
    attempts = 0
    while True:
        attempts += 1
        head, payload = _read(session_id, lambda update: _made(update, make))
        if base_revision is not None and base_revision != head:
            raise RevisionPassed(revision=head)
        with transaction.atomic():
            document = Document.objects.select_for_update().filter(pk=session_id).only("epoch", "head").first()
            if document is None:
                raise SessionNotFound
            if document.head != head:
                if base_revision is not None:
                    raise RevisionPassed(revision=document.head)
                # At last it is appended all the same: it merges as what a page typed that had not heard of the others.
                if attempts < EDIT_ATTEMPTS:
                    continue
            seq = _append_edit(document, user_id, payload)
            if entry_text is not None and document.head == head:
                _keep_text(session_id, entry_text, seq)
            if also is not None:
                also(seq)
            return seq


def _made(update: crdt.Updates, make: Callable[[crdt.Updates], bytes | None]) -> bytes | None:
    payload = make(update)
    if payload is not None and crdt.grows_past(settings.DOCUMENT_MAX_BYTES, update, payload):
        raise TextTooLarge
    return payload


def _append_edit(document: Document, user_id: UUID | None, payload: bytes | None) -> int:
    if payload is None:
        return document.head
    entry = Entry(payload, user_id, "server")
    seq = append({document.pk: [entry]})[document.pk].last_seq
    touch([document.pk])
    transaction.on_commit(lambda: events.ring_document(document.pk, bell(document.epoch, seq, seq, [entry])))
    return seq


def files_deleted(session_id: UUID) -> tuple[int, list[crdt.DeletedFile]]:
    """(revision, the deleted files whose texts are kept), the one that was deleted last first."""
    return _read(session_id, crdt.deleted_files)


def files_listed(session_id: UUID) -> tuple[int, list[crdt.File]]:
    """(revision, the files), the entry file first."""
    return _read(session_id, crdt.listed_files)


def quarantine(session_id: UUID, user_id: UUID, payload: bytes, error: str) -> None:
    """Keep an update that a socket sent and that broke the replica, for whoever looks into it.

    Only so many for one person and over all: the rest is counted (realtime_refused) and not kept.
    """
    day = timezone.now() - timedelta(days=1)
    recent = Quarantined.objects.filter(seq=None, created_at__gte=day)
    if recent.filter(user_id=user_id).count() < QUARANTINED_PER_USER and recent.count() < QUARANTINED_A_DAY:
        Quarantined.objects.create(document_id=session_id, user_id=user_id, payload=payload, error=error[:200])


def forget_quarantined() -> None:
    """Periodic. What was set aside of a log is the only copy, and stays."""
    Quarantined.objects.filter(seq=None, created_at__lt=timezone.now() - QUARANTINE_TIME).delete()


def _mended(session_id: UUID, error: Exception) -> Log:
    """The log without what cannot be merged, which is moved to the quarantine.

    An empty update stays in the place of such a row, so numbers have no gap, and the pages that still hold what it
    said send it again. More than a few rows are no accident of single rows, and nothing is touched. Raises LogDamaged.
    """
    log = read_log(session_id)
    spoiled = crdt.unmergeable(log.parts, most=SET_ASIDE_MAX + 1)
    if not spoiled or len(spoiled) > SET_ASIDE_MAX:
        raise LogDamaged(f"the update log of {session_id} cannot be merged: {error}") from error
    with transaction.atomic():
        for index, why in spoiled.items():
            if log.snapshot is not None and index == 0:
                _set_snapshot_aside(log.snapshot, why)
            else:
                _set_row_aside(log.tail[index - (log.snapshot is not None)], why)
    metrics.SET_ASIDE.inc(len(spoiled))
    logger.error("%d updates of %s cannot be merged and were set aside: %s", len(spoiled), session_id, spoiled)
    return read_log(session_id)


def _set_row_aside(row: Update, why: str) -> None:
    if Update.objects.filter(pk=row.pk, payload=row.payload).update(payload=crdt.EMPTY_UPDATE):
        Quarantined.objects.create(
            document_id=row.document_id, seq=row.seq, user_id=row.user_id, payload=row.payload, error=why[:200]
        )


def _set_snapshot_aside(snapshot: Snapshot, why: str) -> None:
    """The segments that it was made with say the same."""
    segments = Segment.objects.filter(document_id=snapshot.document_id, last_seq__lte=snapshot.seq)
    rows = list(segments.order_by("last_seq").values_list("first_seq", "last_seq", "payload"))
    ends = [0, *(last_seq for _, last_seq, _ in rows)]
    if ends[-1] != snapshot.seq or [first_seq - 1 for first_seq, _, _ in rows] != ends[:-1]:
        raise LogDamaged(f"the snapshot of {snapshot.document_id} cannot be opened, and its history has a gap")
    payload = crdt.compact([bytes(payload) for _, _, payload in rows])
    if Snapshot.objects.filter(pk=snapshot.pk, payload=snapshot.payload).update(payload=payload):
        Quarantined.objects.create(
            document_id=snapshot.document_id, seq=snapshot.seq, payload=snapshot.payload, error=why[:200]
        )


def bell(epoch: UUID, first_seq: int, last_seq: int, entries: Sequence[Entry], process: str = "") -> dict[str, object]:
    """The message that tells rooms of a grown log; it carries the updates themselves while they are small."""
    small = sum(len(entry.payload) for entry in entries) <= BELL_MAX_BYTES
    return {
        "process": process,
        "epoch": epoch.hex,
        "first": first_seq,
        "last": last_seq,
        "updates": [entry.payload for entry in entries] if small else None,
        "users": [str(entry.user_id) if entry.user_id else None for entry in entries],
    }


def _keep_text(session_id: UUID, text: str, seq: int) -> None:
    # PostgreSQL's text type holds no NUL; such a text is computed at every read.
    if "\x00" not in text:
        Document.objects.filter(pk=session_id, text_seq__lt=seq).update(text=text, text_seq=seq)


def checked(text: str) -> str:
    """The text as a document holds it. Raises TextTooLarge over settings.TEXT_MAX_BYTES."""
    text = crdt.normalise(text)
    if len(text.encode()) > settings.TEXT_MAX_BYTES:
        raise TextTooLarge
    return text
