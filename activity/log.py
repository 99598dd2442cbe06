"""The activity log: who did what. Actions call record(); MONGODB_URL selects the store."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from django.conf import settings
from django.db import transaction

from activity.entries import Entry, Level, as_uuid, make_entry
from activity.metrics import activity_entries_dropped_total

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

logger = logging.getLogger(__name__)

RECENT_MAX = 500
FLUSH_SECONDS = 2.0

__all__ = ["Entry", "Store", "forget", "purge", "recent", "record", "store"]


class Store(Protocol):
    def write(self, entry: Entry) -> None: ...

    def recent(self, *, session_id: UUID | None, user_id: UUID | None, limit: int, before: str | None) -> list[Entry]:
        """Read entries, newest first. Raises ActivityOffline, or ValueError for an invalid cursor."""

    def prepare(self) -> None:
        """Create what the store needs. Safe to repeat. Raises ActivityOffline."""

    def flush(self, timeout_seconds: float) -> bool: ...

    def forget(self, user_id: UUID) -> None:
        """Delete this user's entries. Raises ActivityOffline."""

    def status(self) -> tuple[bool, str]:
        """Return whether the store works, and a few words for operators."""


def record(
    action: str,
    message: str,
    *,
    user_id: UUID | str | None = None,
    session_id: UUID | str | None = None,
    level: Level = "info",
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Record that something happened, once the current transaction commits. Never raises.

    `action` is a stable name such as "session.created", `message` a sentence of up to 300 characters, `metadata` up to
    4 KiB as JSON; longer values are truncated. Call it from synchronous code, like everything that uses the database.
    """
    try:
        entry = make_entry(action, message, user_id=user_id, session_id=session_id, level=level, metadata=metadata)
        transaction.on_commit(lambda: _write(entry))
    except Exception:
        _lost(action)


def recent(
    *,
    session_id: UUID | str | None = None,
    user_id: UUID | str | None = None,
    limit: int = 50,
    before: str | None = None,
) -> list[Entry]:
    """Return entries older than the one whose `cursor` is `before`, newest first; none if the store is unavailable."""
    try:
        return store().recent(
            session_id=as_uuid(session_id),
            user_id=as_uuid(user_id),
            limit=max(1, min(limit, RECENT_MAX)),
            before=before,
        )
    except Exception:
        logger.warning("the activity log could not be read", exc_info=True)
        return []


def purge() -> int:
    """Delete entries in SQL that are older than ACTIVITY_DAYS (MongoDB expires its own). Returns the number."""
    from activity.sql import purge

    return purge()


def forget(user_id: UUID) -> None:
    """Delete this user's entries. Never raises; what could not be deleted expires with age."""
    try:
        current = store()
        current.flush(FLUSH_SECONDS)
        current.forget(user_id)
    except Exception:
        logger.exception("the activity log could not forget somebody")


def store() -> Store:
    """Return the store itself, for callers that need to know whether it responds."""
    return _mongo(settings.MONGODB_URL) if settings.MONGODB_URL else _sql()


@lru_cache(maxsize=4)
def _mongo(url: str) -> Store:
    from activity.mongo import MongoStore

    return MongoStore(url)


@lru_cache(maxsize=1)
def _sql() -> Store:
    # Not at module level: the model exists only once the apps are loaded.
    from activity.sql import SqlStore

    return SqlStore()


def _write(entry: Entry) -> None:
    try:
        store().write(entry)
    except Exception:
        _lost(entry.action)


def _lost(action: str) -> None:
    activity_entries_dropped_total.inc()
    logger.exception("the activity log lost an entry of %.60r", action)
