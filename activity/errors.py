"""ActivityOffline   the store of the activity log did not answer in time"""

from __future__ import annotations


class ActivityOffline(Exception):
    """Raised only to those who ask a store directly; record() and recent() never raise."""
