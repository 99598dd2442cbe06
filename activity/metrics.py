"""Metrics of the activity log."""

from __future__ import annotations

from prometheus_client import Counter

activity_entries_dropped_total = Counter(
    "activity_entries_dropped_total", "Entries of the activity log that no store accepted."
)
