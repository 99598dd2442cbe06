"""Times in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


def moment(value: datetime) -> str:
    """Format as ISO 8601. The value must be in UTC, as the database returns it."""
    return value.isoformat().replace("+00:00", "Z")
