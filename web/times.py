"""How moments look in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


def moment(value: datetime) -> str:
    """ISO 8601 in UTC, which is what the database gives."""
    return value.isoformat().replace("+00:00", "Z")
