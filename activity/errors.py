"""ActivityOffline   the store of the activity log did not answer in time
AppendOnly        somebody tried to change or remove an entry of the audit trail
"""

from __future__ import annotations


class ActivityOffline(Exception):
    """Raised only to those who ask a store directly; record() and recent() never raise."""


class AppendOnly(TypeError):
    """A mistake in the code: no edge offers this."""

    def __init__(self) -> None:
        super().__init__("the audit trail is append-only")
