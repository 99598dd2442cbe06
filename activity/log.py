"""The activity log: who did what. Actions call record(); MONGODB_URL chooses the store."""

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
        """Newest first. Raise ActivityOffline when the store does not answer, ValueError for a foreign cursor."""

    def prepare(self) -> None:
        """Make what the store needs; safe to repeat. Raise ActivityOffline."""

    def flush(self, timeout_seconds: float) -> bool: ...

    def forget(self, user_id: UUID) -> None:
        """Delete this person's entries. Raise ActivityOffline."""

    def status(self) -> tuple[bool, str]:
        """Whether all is well, and a few words for operators."""


def record(
    action: str,
    message: str,
    *,
    user_id: UUID | str | None = None,
    session_id: UUID | str | None = None,
    level: Level = "info",
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Note that something happened, once the current transaction commits. Never raises.

    `action` is a stable name such as "session.created", `message` a sentence of up to 300 characters, `metadata` up to
    4 KiB as JSON; longer ones are cut. Call it from synchronous code, as everything else that speaks to the database.
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
    """The newest entries first, older than the entry whose `cursor` is `before`; empty when the store is away."""
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
    """Delete what SQL holds for longer than ACTIVITY_DAYS (MongoDB does so by itself); returns the number."""
    from activity.sql import purge

    return purge()


def forget(user_id: UUID) -> None:
    """Delete what this person did, as far as the log still has it. Never raises; what is left goes with its age."""
    try:
        current = store()
        current.flush(FLUSH_SECONDS)
        current.forget(user_id)
    except Exception:
        logger.exception("the activity log could not forget somebody")


def store() -> Store:
    """The store itself, for those who must know whether it answers."""
    return _mongo(settings.MONGODB_URL) if settings.MONGODB_URL else _sql()


@lru_cache(maxsize=4)
def _mongo(url: str) -> Store:
    from activity.mongo import MongoStore

    return MongoStore(url)


@lru_cache(maxsize=1)
def _sql() -> Store:
    # Not at import: the table's model is there only once the apps are loaded.
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
