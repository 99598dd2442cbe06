"""Errors of the activity log and the audit trail.

ActivityOffline   the store of the activity log did not respond in time
AppendOnly        code tried to change or remove an entry of the audit trail
"""

from __future__ import annotations


class ActivityOffline(Exception):
    """Raised only when a store is called directly; record() and recent() never raise."""


class AppendOnly(TypeError):
    """A bug: no user interface offers this."""

    def __init__(self) -> None:
        super().__init__("the audit trail is append-only")
