"""Celery tasks of documents."""

from __future__ import annotations

import logging
from uuid import UUID

from celery import shared_task
from django.db import close_old_connections

from sessions_app.document import compaction
from sessions_app.document.update_log import LogDamaged
from sessions_app.errors import SessionNotFound

logger = logging.getLogger(__name__)

# An older request has been asked again by then.
EXPIRES_SECONDS = 60


@shared_task(name="sessions_app.compact_document")
def compact_document(session_id: str) -> None:
    close_old_connections()
    try:
        compaction.compact(UUID(session_id))
    except SessionNotFound:
        pass
    except LogDamaged:
        logger.exception("the log of %s cannot be compacted", session_id)
    finally:
        close_old_connections()


def compact_later(session_id: UUID) -> None:
    """Queue a compaction. If the message is lost, compact_due makes up for it; duplicates are harmless."""
    compact_document.apply_async((str(session_id),), retry=False, expires=EXPIRES_SECONDS)


def compact_due() -> None:
    """Queue a compaction for every document with a long tail. Runs periodically."""
    for session_id in compaction.due():
        compact_later(session_id)
