"""Compact a long tail of the update log into a snapshot, and its rows into segments of history.

Nothing is lost: the segments contain everything that the rows did. Merging and proving need no lock. The swap is one
short transaction that removes the rows first, so of two concurrent compactors, one finds them gone and changes nothing.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q, Sum
from django.db.models.functions import Length
from django.utils import timezone

from sessions_app import metrics
from sessions_app.document import rewrite, update_log, updates
from sessions_app.document.errors import Broken, Differs, Malformed
from sessions_app.models import Document, Segment, Snapshot, Update

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from uuid import UUID

    from sessions_app.document.update_log import Log

logger = logging.getLogger(__name__)

# The limits of one swap, so that memory, the proof and the transaction stay small however long the log is.
SWAP_ROWS = 2000
SWAP_BYTES = 4 * 1024 * 1024
SEGMENT_BYTES = 256 * 1024
# So much history lies between two snapshots that are kept for it, or as much as the second of them takes: what an old
# revision costs to read is bounded by this and by the size of a document, and what they take by the history's size.
KEPT_SNAPSHOT_BYTES = 4 * 1024 * 1024


class Outcome(StrEnum):
    DONE = "done"
    NOTHING = "nothing"
    # Another compactor was faster, or the session was deleted.
    OVERTAKEN = "overtaken"
    # The merge does not equal the rows.
    REFUSED = "refused"


class _Overtaken(Exception):
    pass


def due(limit: int = 1000) -> list[UUID]:
    """Return documents whose tail exceeds COMPACT_TAIL_ROWS or COMPACT_TAIL_BYTES, longest first."""
    long = Q(head__gt=F("snapshot_seq") + settings.COMPACT_TAIL_ROWS) | Q(tail_bytes__gt=settings.COMPACT_TAIL_BYTES)
    found = Document.objects.filter(long, compaction_refused_at=None).order_by(F("snapshot_seq") - F("head"))
    return list(found.values_list("pk", flat=True)[:limit])


def compact(session_id: UUID) -> Outcome:
    """Compact everything in the log of this document. Raises SessionNotFound or LogDamaged."""
    outcome = Outcome.NOTHING
    while True:
        started = time.monotonic()
        log = update_log.read_log(session_id)
        rows = _first_rows(log.tail)
        if not rows:
            return outcome
        outcome = _compact(log, rows)
        metrics.COMPACTIONS.labels(outcome.value).inc()
        metrics.COMPACTION_SECONDS.observe(time.monotonic() - started)
        if outcome is not Outcome.DONE or len(rows) == len(log.tail):
            return outcome


def _first_rows(tail: list[Update]) -> list[Update]:
    size, count = 0, 0
    for row in tail[:SWAP_ROWS]:
        size += len(row.payload)
        if count and size > SWAP_BYTES:
            break
        count += 1
    return tail[:count]


def _compact(log: Log, rows: list[Update]) -> Outcome:
    document_id, last_seq = rows[0].document_id, rows[-1].seq
    before = [bytes(log.snapshot.payload)] if log.snapshot else []
    parts = before + [bytes(row.payload) for row in rows]
    try:
        payload = rewrite.compact(parts)
        groups = grouped(rows, lambda row: len(row.payload))
        segments = [_segment(group) for group in groups]
        for segment, group in zip(segments, groups, strict=True):
            if not rewrite.says_all(bytes(segment.payload), (bytes(row.payload) for row in group)):
                raise Differs("the history is not whole")
    except (Malformed, Broken, Differs) as error:
        Document.objects.filter(pk=document_id).update(compaction_refused_at=timezone.now())
        logger.exception(
            "the log of %s stays as it is: its merge up to %d is refused: %s", document_id, last_seq, error
        )
        return Outcome.REFUSED
    keeps = log.snapshot is not None and _is_far_from_the_last(log.snapshot)
    try:
        _swap(log, rows, payload, segments, keeps=keeps)
    except (_Overtaken, IntegrityError):
        return Outcome.OVERTAKEN
    metrics.COMPACTED_ROWS.inc(len(rows))
    metrics.COMPACTION_RATIO.observe(len(payload) / sum(map(len, parts)))
    return Outcome.DONE


@transaction.atomic
def _swap(log: Log, rows: list[Update], payload: bytes, segments: list[Segment], *, keeps: bool) -> None:
    document_id, last_seq = rows[0].document_id, rows[-1].seq
    moved, _ = Update.objects.filter(document_id=document_id, seq__lte=last_seq).delete()
    if moved != len(rows):
        raise _Overtaken
    Segment.objects.bulk_create(segments)
    Snapshot.objects.create(document_id=document_id, seq=last_seq, payload=payload)
    if log.snapshot is not None and not keeps:
        # The segments contain all of it.
        log.snapshot.delete()
    # Last, because a group commit of any room waits for this row.
    replaced = len(log.snapshot.payload) if log.snapshot and not keeps else 0
    Document.objects.filter(pk=document_id).update(
        snapshot_seq=last_seq,
        tail_bytes=F("tail_bytes") - sum(len(row.payload) for row in rows),
        history_bytes=F("history_bytes") + sum(len(made.payload) for made in segments) + len(payload) - replaced,
    )


def _is_far_from_the_last(snapshot: Snapshot) -> bool:
    """Whether so much history lies between the snapshot kept before this one, or the beginning, and this one that it
    is kept too, for history.py to start from."""
    before = Snapshot.objects.filter(document_id=snapshot.document_id, seq__lt=snapshot.seq)
    since = before.order_by("-seq").values_list("seq", flat=True).first() or 0
    between = Segment.objects.filter(
        document_id=snapshot.document_id, first_seq__gt=since, last_seq__lte=snapshot.seq
    ).aggregate(bytes=Sum(Length("payload")))
    return (between["bytes"] or 0) >= max(KEPT_SNAPSHOT_BYTES, len(snapshot.payload))


def grouped(rows: Iterable[Update], size_of: Callable[[Update], int]) -> list[list[Update]]:
    """Group consecutive rows by the same user, within HISTORY_SEGMENT_SECONDS of the first."""
    longest = timedelta(seconds=settings.HISTORY_SEGMENT_SECONDS)
    groups: list[list[Update]] = []
    size = 0
    for row in rows:
        first = groups[-1][0] if groups else None
        size += size_of(row)
        if (
            first is not None
            and (row.user_id, row.origin) == (first.user_id, first.origin)
            and row.created_at - first.created_at <= longest
            and size <= SEGMENT_BYTES
        ):
            groups[-1].append(row)
        else:
            groups.append([row])
            size = size_of(row)
    return groups


def step_of(group: Sequence[Update]) -> Segment:
    """Build the segment of a group, without its payload."""
    first, last = group[0], group[-1]
    return Segment(
        document_id=first.document_id,
        first_seq=first.seq,
        last_seq=last.seq,
        user_id=first.user_id,
        origin=first.origin,
        started_at=first.created_at,
        ended_at=max(row.created_at for row in group),
    )


def _segment(group: Sequence[Update]) -> Segment:
    segment = step_of(group)
    segment.payload = updates.merge(bytes(row.payload) for row in group)
    return segment
