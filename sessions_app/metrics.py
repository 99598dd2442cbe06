"""What is counted about the update log, by whichever process works on it."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

COMPACTIONS = Counter(
    "document_compactions", "Runs of compaction over a part of a log, by how they ended.", ["outcome"]
)
COMPACTED_ROWS = Counter("document_compacted_rows", "Rows of the log that compaction moved into history.")
COMPACTION_RATIO = Histogram(
    "document_compaction_ratio",
    "Bytes of a new snapshot for each byte that was merged into it.",
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0),
)
COMPACTION_SECONDS = Histogram(
    "document_compaction_seconds",
    "Merging, proving and swapping a part of a log.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
SET_ASIDE = Counter("document_updates_set_aside", "Rows of the log that could not be merged and are in quarantine.")
