"""Append to and load the update log of a session's document. Synchronous ORM.

The log is the source of truth. `Document.head` moves in the transaction that adds rows, so sequence numbers have no
gaps, and a reader that sees seq n sees everything before it. Compaction (compaction.py) moves the oldest rows into
segments in the transaction that writes the snapshot that replaces them. So a reader that queries rows first, and then
the snapshot or the segments, misses nothing, even without a transaction. REST and the committer of live rooms write
here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from sessions_app.document import updates
from sessions_app.errors import SessionNotFound
from sessions_app.models import CodeSession, Document, Segment, Snapshot, Update
from web.prepared import binding_cursor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

# The largest update that is sent in a message on the channel layer; larger ones are read from the log.
BELL_MAX_BYTES = 32 * 1024
TOUCH_SECONDS = 5


class LogDamaged(RuntimeError):
    """The log has a gap or an unreadable update. The document must not be opened without it."""


@dataclass(frozen=True, slots=True)
class Entry:
    payload: bytes
    user_id: UUID | None
    origin: Literal["socket", "server"]


@dataclass(frozen=True, slots=True)
class Appended:
    """The sequence numbers assigned to the entries of one document, inclusive."""

    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class Loaded:
    epoch: UUID
    head: int
    # The snapshot and the rows after it, to be applied in this order, which is faster than merging them first.
    parts: tuple[bytes, ...]
    # How many of the parts are rows.
    tail_rows: int = 0

    @property
    def update(self) -> bytes:
        """Merge everything into one update."""
        return updates.merge(self.parts)


@dataclass(frozen=True, slots=True)
class Log:
    """The newest snapshot, and the rows after it, without a gap."""

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


def load(session_id: UUID) -> Loaded:
    """Load the newest snapshot and the updates after it. Raises SessionNotFound, or LogDamaged if any is missing."""
    return loaded_from(read_log(session_id))


def loaded_from(log: Log) -> Loaded:
    return Loaded(log.epoch, log.head, tuple(log.parts), len(log.tail))


def read_log(session_id: UUID) -> Log:
    """Read the log of a document. Raises SessionNotFound or LogDamaged."""
    found = Document.objects.filter(pk=session_id).values_list("epoch", "head").first()
    if found is None:
        raise SessionNotFound
    epoch, head = found
    # In this order, because rows that a concurrent compaction removes are in its snapshot.
    rows = list(Update.objects.filter(document_id=session_id).order_by("seq"))
    snapshot = Snapshot.objects.filter(document_id=session_id).order_by("-seq").first()
    start = snapshot.seq if snapshot else 0
    tail = [row for row in rows if row.seq > start]
    last = start + len(tail)
    if last == 0 or last < head or [row.seq for row in tail] != list(range(start + 1, last + 1)):
        raise LogDamaged(f"the update log of {session_id} has a gap after {start}")
    return Log(epoch, snapshot, tail)


def append(entries: Mapping[UUID, Sequence[Entry]]) -> dict[UUID, Appended]:
    """Append updates to any number of documents in one transaction. Deleted documents are absent from the result.

    Documents are locked in the order of their ids, to prevent deadlocks.
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
    """Return append() as one PostgreSQL statement, its own transaction, and its values. Groups must not be empty."""
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
    """Parse the result of the statement."""
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


# Rows of `moved` are updated only after `locked` has locked them, in order.
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
# The variant for a single update, with half the work: no arrays and joins.
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
    """Return the updates after `seq`, possibly with some before, and the number that they reach. Raises LogDamaged."""
    rows = list(
        Update.objects.filter(document_id=session_id, seq__gt=seq).order_by("seq").values_list("seq", "payload")
    )
    first = rows[0][0] if rows else None
    parts: list[bytes] = []
    last = seq
    if first != seq + 1:
        # Queried after the rows, so that whatever a concurrent compaction moves is seen in one of the two.
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
    """Record activity in these sessions, at most once per TOUCH_SECONDS each."""
    now = timezone.now()
    CodeSession.objects.filter(pk__in=list(ids), updated_at__lt=now - timedelta(seconds=TOUCH_SECONDS)).update(
        updated_at=now
    )


def bell(epoch: UUID, first_seq: int, last_seq: int, entries: Sequence[Entry], process: str = "") -> dict[str, object]:
    """Build the message that tells rooms about new updates. It includes the updates if they are small."""
    small = sum(len(entry.payload) for entry in entries) <= BELL_MAX_BYTES
    return {
        "process": process,
        "epoch": epoch.hex,
        "first": first_seq,
        "last": last_seq,
        "updates": [entry.payload for entry in entries] if small else None,
        "users": [str(entry.user_id) if entry.user_id else None for entry in entries],
    }
