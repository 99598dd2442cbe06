"""The activity log in the main database, used if no MongoDB is configured."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Q
from django.utils import timezone

from activity.entries import Entry, parse_cursor
from activity.errors import ActivityOffline
from activity.models import Activity

if TYPE_CHECKING:
    from uuid import UUID

PURGE_BATCH = 1000


class SqlStore:
    def write(self, entry: Entry) -> None:
        Activity.objects.create(
            timestamp=entry.timestamp,
            level=entry.level,
            action=entry.action,
            message=entry.message,
            user_id=entry.user_id,
            session_id=entry.session_id,
            metadata=entry.metadata,
        )

    def recent(self, *, session_id: UUID | None, user_id: UUID | None, limit: int, before: str | None) -> list[Entry]:
        rows = Activity.objects.order_by("-timestamp", "-id")
        if session_id is not None:
            rows = rows.filter(session_id=session_id)
        if user_id is not None:
            rows = rows.filter(user_id=user_id)
        if before is not None:
            timestamp, entry_id = parse_cursor(before)
            number = int(entry_id)
            rows = rows.filter(Q(timestamp__lt=timestamp) | Q(timestamp=timestamp, id__lt=number))
        try:
            return [_entry(row) for row in rows[:limit]]
        except DatabaseError as error:
            raise ActivityOffline from error

    def prepare(self) -> None:
        """Do nothing: migrations have created the table."""

    def flush(self, timeout_seconds: float) -> bool:
        return True

    def forget(self, user_id: UUID) -> None:
        Activity.objects.filter(user_id=user_id).delete()

    def status(self) -> tuple[bool, str]:
        return True, "in the main database"


def purge() -> int:
    """Delete entries older than ACTIVITY_DAYS, in short transactions. Returns the number."""
    oldest = timezone.now() - timedelta(days=settings.ACTIVITY_DAYS)
    purged = 0
    while batch := list(Activity.objects.filter(timestamp__lt=oldest).values_list("id", flat=True)[:PURGE_BATCH]):
        purged += Activity.objects.filter(id__in=batch).delete()[0]
    return purged


def _entry(row: Activity) -> Entry:
    return Entry(
        id=str(row.pk),
        timestamp=row.timestamp,
        level=row.level,
        action=row.action,
        message=row.message,
        user_id=row.user_id,
        session_id=row.session_id,
        metadata=row.metadata,
    )
