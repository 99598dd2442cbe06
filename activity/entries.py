"""Entries of the activity log, bounded in size and restricted to text that every store accepts."""

from __future__ import annotations

import itertools
import json
import re
import secrets
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from django.utils import timezone

if TYPE_CHECKING:
    from collections.abc import Mapping

Level = Literal["debug", "info", "warning", "error"]
MESSAGE_MAX_CHARS = 300
ACTION_MAX_CHARS = 60
METADATA_MAX_BYTES = 4096
TRUNCATED = "_truncated"

# PostgreSQL rejects NUL, BSON rejects lone surrogates.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_PROCESS = secrets.token_hex(3)
_counter = itertools.count()


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `id` is the store's own, and sorts by age among entries of one millisecond."""

    id: str
    timestamp: datetime
    level: str
    action: str
    message: str
    user_id: UUID | None
    session_id: UUID | None
    metadata: dict[str, Any]

    @property
    def cursor(self) -> str:
        """Pass this as `before` to continue after this entry."""
        return f"{round(self.timestamp.timestamp() * 1000)}-{self.id}"


def make_entry(
    action: str,
    message: str,
    *,
    user_id: UUID | str | None,
    session_id: UUID | str | None,
    level: Level,
    metadata: Mapping[str, Any] | None,
) -> Entry:
    now = timezone.now()
    return Entry(
        # Unique without coordination, so that writing an entry twice is harmless.
        id=f"{time.time_ns():016x}{next(_counter) & 0xFFFFFFFF:08x}{_PROCESS}",
        # BSON has millisecond precision.
        timestamp=now.replace(microsecond=now.microsecond // 1000 * 1000),
        level=level if level in ("debug", "info", "warning", "error") else "info",
        action=storable(str(action))[:ACTION_MAX_CHARS],
        message=_shortened(storable(str(message)), MESSAGE_MAX_CHARS),
        user_id=as_uuid(user_id),
        session_id=as_uuid(session_id),
        metadata=bounded(metadata or {}),
    )


def parse_cursor(cursor: str) -> tuple[datetime, str]:
    """Parse Entry.cursor. Raises ValueError."""
    milliseconds, separator, entry_id = cursor.partition("-")
    if not separator or not re.fullmatch("[0-9a-f]{1,40}", entry_id) or not re.fullmatch("[0-9]{1,14}", milliseconds):
        raise ValueError("not a cursor of the activity log")
    since = timedelta(milliseconds=int(milliseconds))
    return datetime.fromtimestamp(0, tz=timezone.get_default_timezone()) + since, entry_id


def as_uuid(value: UUID | str | None) -> UUID | None:
    return value if isinstance(value, UUID) or value is None else UUID(str(value))


def storable(text: str) -> str:
    """Replace characters that a store would reject."""
    return _UNSTORABLE.sub("\ufffd", text)


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def bounded(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Limit metadata to METADATA_MAX_BYTES as JSON: keep the first items that fit, and mark the omission of others."""
    kept: dict[str, Any] = {}
    used = len(TRUNCATED) + 16
    for key, value in metadata.items():
        try:
            text = json.dumps({str(key): value}, default=str)
            item = json.loads(text, parse_int=_integer, parse_constant=str)
        except (TypeError, ValueError, RecursionError):
            item, text = {str(key): "?"}, str(key)
        clean = _clean(item)
        size = len(json.dumps(clean))
        if used + size > METADATA_MAX_BYTES:
            kept[TRUNCATED] = True
            break
        used += size
        kept.update(clean)
    return kept


def _integer(digits: str) -> int | str:
    """Parse an integer of at most 64 bits, the limit of BSON."""
    return int(digits) if len(digits) < 19 else digits


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        # MongoDB takes a leading $ for an operator.
        return {re.sub(r"^\$", "＄", storable(key)): _clean(item) for key, item in value.items()}  # noqa: RUF001
    return value
