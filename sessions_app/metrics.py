"""Metrics of the update log, in whichever process works on it."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

COMPACTIONS = Counter("document_compactions", "Compactions of a part of a log, by outcome.", ["outcome"])
COMPACTED_ROWS = Counter("document_compacted_rows", "Rows of the log moved into history by compaction.")
COMPACTION_RATIO = Histogram(
    "document_compaction_ratio",
    "Bytes of a new snapshot per byte merged into it.",
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0),
)
COMPACTION_SECONDS = Histogram(
    "document_compaction_seconds",
    "Time to merge, prove and swap a part of a log.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
SET_ASIDE = Counter("document_updates_set_aside", "Rows of the log that could not be merged and were quarantined.")
