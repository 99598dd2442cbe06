"""The audit trail of what moderators and owners do: append-only, in SQL, each entry chained by hash to the last.

Actions call append() in the transaction of the change, so that neither exists without the other. The database refuses
to change or remove entries (migration 0003); verify() detects it if somebody with full access to the database did; and
the log line of each entry, kept elsewhere, reveals a truncated end (`manage.py verify_audit --expect`).
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.cache import cache
from django.db import connection, transaction
from django.utils import timezone

from activity.entries import bounded, storable
from activity.models import AuditEntry
from web.request_id import current_request_id

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

logger = logging.getLogger(__name__)

FIRST_PREVIOUS = "0" * 64
REASON_MAX_CHARS = 500
# Viewing something takes many requests, so one person's views of it are recorded once in this time.
LOOK_SECONDS = 900
# An arbitrary advisory lock ("audit" in ASCII).
_ADVISORY_LOCK = 0x6175646974
_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a verification. `broken` is the number of the first bad entry, and `why` says what is wrong."""

    entries: int
    last_hash: str
    broken: int | None = None
    why: str = ""


@transaction.atomic
def append(
    action: str,
    *,
    actor_id: UUID | None,
    target_type: str,
    target_id: UUID | str,
    reason: str = "",
    metadata: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Add an entry in the caller's transaction. `actor_id` is None if the system acted; metadata as in log.record.

    Do not include names of people: a deleted account must leave nothing but its id. Entries are serialized until their
    transactions end, so call this after everything else that the transaction locks.
    """
    _take_turn()
    last = AuditEntry.objects.order_by("-number").values_list("number", "hash").first()
    number, previous_hash = (last[0] + 1, last[1]) if last else (1, FIRST_PREVIOUS)
    entry = AuditEntry(
        number=number,
        timestamp=timezone.now(),
        action=action,
        actor_id=actor_id,
        target_type=target_type,
        target_id=str(target_id),
        reason=storable(reason)[:REASON_MAX_CHARS],
        metadata=_without_fractions(bounded(metadata or {})),
        request_id=current_request_id.get(),
        previous_hash=previous_hash,
    )
    entry.hash = hash_of(entry)
    entry.save()
    transaction.on_commit(lambda: logger.info("audit entry %d %s %s", number, entry.hash, action))
    return entry


def note_look(
    user_id: UUID, target_type: str, target_id: UUID | str, metadata: Mapping[str, Any] | None = None
) -> None:
    """Record that a moderator viewed something only moderators can see; once in LOOK_SECONDS for each target."""
    try:
        is_first = cache.add(f"look:{user_id}:{target_type}:{target_id}", 1, timeout=LOOK_SECONDS)
    except Exception:
        logger.warning("the cache is unavailable: every view by a moderator is recorded")
        is_first = True
    if is_first:
        append("look", actor_id=user_id, target_type=target_type, target_id=target_id, metadata=metadata)


def hash_of(entry: AuditEntry) -> str:
    """Hash the entry (SHA-256) as canonical JSON: sorted keys, no spaces, ASCII, times in UTC with microseconds."""
    content = {
        "number": entry.number,
        "timestamp": entry.timestamp.astimezone(timezone.get_default_timezone()).isoformat(timespec="microseconds"),
        "action": entry.action,
        "actor_id": str(entry.actor_id) if entry.actor_id else None,
        "target_type": entry.target_type,
        "target_id": entry.target_id,
        "reason": entry.reason,
        "metadata": entry.metadata,
        "request_id": entry.request_id,
        "previous_hash": entry.previous_hash,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")).hexdigest()


def verify(expect: tuple[int, str] | None = None) -> Verdict:
    """Verify the whole trail. `expect` is the number and hash of an entry, recorded elsewhere earlier."""
    number, previous_hash = 0, FIRST_PREVIOUS
    for entry in AuditEntry.objects.order_by("number").iterator(chunk_size=_CHUNK):
        why = ""
        if entry.number != number + 1:
            why = f"it follows entry {number}: the entries between are missing"
        elif entry.previous_hash != previous_hash:
            why = "it is not chained to the entry before it"
        elif entry.hash != hash_of(entry):
            why = "its content does not match its hash"
        elif expect == (entry.number, entry.hash):
            expect = None
        elif expect is not None and expect[0] == entry.number:
            why = "it is not the entry recorded under this number"
        if why:
            return Verdict(number, previous_hash, entry.number, why)
        number, previous_hash = entry.number, entry.hash
    if expect is not None:
        return Verdict(number, previous_hash, number + 1, f"the trail ends before entry {expect[0]}, which is missing")
    return Verdict(number, previous_hash)


def is_guarded() -> bool:
    """Whether the database refuses to change entries. A table that was copied or rebuilt loses its triggers."""
    found = (
        "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s"
        if connection.vendor == "sqlite"
        else "SELECT count(*) FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND NOT tgisinternal AND tgenabled <> 'D'"
    )
    with connection.cursor() as cursor:
        cursor.execute(found, [AuditEntry._meta.db_table])
        return int(cursor.fetchone()[0]) >= 2


def _take_turn() -> None:
    """Wait for other transactions that append. On SQLite, all begin with the write lock (settings.DATABASES)."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ADVISORY_LOCK])


def _without_fractions(value: Any) -> Any:
    """Turn fractions into text: jsonb and Python may format them differently, which would change the hash."""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list):
        return [_without_fractions(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_fractions(item) for key, item in value.items()}
    return value
