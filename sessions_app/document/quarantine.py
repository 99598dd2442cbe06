"""Quarantine what cannot be merged: updates from sockets, and rows of logs that can no longer be opened."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from sessions_app import metrics
from sessions_app.document import rewrite
from sessions_app.document.update_log import Loaded, Log, LogDamaged, loaded_from, read_log
from sessions_app.document.updates import EMPTY_UPDATE
from sessions_app.models import Quarantined, Segment, Snapshot, Update

if TYPE_CHECKING:
    from uuid import UUID

logger = logging.getLogger(__name__)

# Limits of quarantined updates from sockets: per user and in total per day, and how long they are kept.
QUARANTINED_PER_USER = 5
QUARANTINED_A_DAY = 200
QUARANTINE_TIME = timedelta(days=30)
# At most this many rows of one log are quarantined at once.
SET_ASIDE_MAX = 20


def load_mended(session_id: UUID, error: Exception) -> Loaded:
    """Load a document whose log could not be opened, without the rows that cannot be merged, which are
    quarantined."""
    return loaded_from(_mended(session_id, error))


def quarantine(session_id: UUID, user_id: UUID, payload: bytes, error: str) -> None:
    """Keep an update from a socket that broke the replica, for investigation.

    Beyond the limits per user and in total, updates are only counted (realtime_refused).
    """
    day = timezone.now() - timedelta(days=1)
    recent = Quarantined.objects.filter(seq=None, created_at__gte=day)
    if recent.filter(user_id=user_id).count() < QUARANTINED_PER_USER and recent.count() < QUARANTINED_A_DAY:
        Quarantined.objects.create(document_id=session_id, user_id=user_id, payload=payload, error=error[:200])


def forget_quarantined() -> None:
    """Delete old quarantined updates, except rows of logs, which are the only copy. Runs periodically."""
    Quarantined.objects.filter(seq=None, created_at__lt=timezone.now() - QUARANTINE_TIME).delete()


def _mended(session_id: UUID, error: Exception) -> Log:
    """Return the log without what cannot be merged, which is moved to the quarantine.

    An empty update replaces each such row, so that numbers have no gap; pages that still have its content send it
    again. If more than a few rows are affected, nothing is changed. Raises LogDamaged.
    """
    log = read_log(session_id)
    spoiled = rewrite.unmergeable(log.parts, most=SET_ASIDE_MAX + 1)
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
    if Update.objects.filter(pk=row.pk, payload=row.payload).update(payload=EMPTY_UPDATE):
        Quarantined.objects.create(
            document_id=row.document_id, seq=row.seq, user_id=row.user_id, payload=row.payload, error=why[:200]
        )


def _set_snapshot_aside(snapshot: Snapshot, why: str) -> None:
    """Quarantine a broken snapshot. The segments made with it have the same content."""
    segments = Segment.objects.filter(document_id=snapshot.document_id, last_seq__lte=snapshot.seq)
    rows = list(segments.order_by("last_seq").values_list("first_seq", "last_seq", "payload"))
    ends = [0, *(last_seq for _, last_seq, _ in rows)]
    if ends[-1] != snapshot.seq or [first_seq - 1 for first_seq, _, _ in rows] != ends[:-1]:
        raise LogDamaged(f"the snapshot of {snapshot.document_id} cannot be opened, and its history has a gap")
    payload = rewrite.compact([bytes(payload) for _, _, payload in rows])
    if Snapshot.objects.filter(pk=snapshot.pk, payload=snapshot.payload).update(payload=payload):
        Quarantined.objects.create(
            document_id=snapshot.document_id, seq=snapshot.seq, payload=snapshot.payload, error=why[:200]
        )
