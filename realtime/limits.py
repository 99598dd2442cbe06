"""How much one socket may say: token buckets. Whoever is past one is read more slowly; nothing is dropped."""

from __future__ import annotations

import time
from typing import Literal

from django.conf import settings

# A larger update, or answer to a step 1, counts as several.
BYTES_PER_UPDATE = 32 * 1024
# So does one of many blocks, which takes longer to read than as much text in one block.
PARTS_PER_UPDATE = 256
# Of the rates that have no burst of their own.
BURST_SECONDS = 4

Kind = Literal["updates", "texts", "frames"]


class Bucket:
    """`per_second` in the long run, `burst` after a rest. What is spent beyond it is owed as time."""

    __slots__ = ("_at", "_burst", "_left", "_per_second")

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._left = burst
        self._at = time.monotonic()

    def spend(self, cost: float) -> None:
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second) - cost
        self._at = now

    def owed(self) -> float:
        """Seconds until there is room again."""
        return max(0.0, -self._left / self._per_second - (time.monotonic() - self._at))


class Pace:
    """The buckets of one socket; without rate limits there are none."""

    def __init__(self) -> None:
        self._buckets: dict[Kind, Bucket] = {}
        if settings.RATE_LIMITS:
            self._buckets = {
                "updates": Bucket(settings.SOCKET_UPDATES_PER_SECOND, settings.SOCKET_UPDATES_BURST),
                "texts": _steady(settings.SOCKET_TEXTS_PER_SECOND),
                "frames": _steady(settings.SOCKET_FRAMES_PER_SECOND),
            }

    def spend(self, kind: Kind, size: int = 0) -> None:
        """Count one, or more for a payload of `size` bytes."""
        if bucket := self._buckets.get(kind):
            bucket.spend(1 + size // BYTES_PER_UPDATE)

    def spend_parts(self, parts: int) -> None:
        """Count what reading an update of so many blocks and deletions takes beyond what a small one does."""
        if (extra := parts // PARTS_PER_UPDATE) and (bucket := self._buckets.get("updates")):
            bucket.spend(extra)

    def pause(self) -> tuple[float, Kind | None]:
        """How long not to read, and which limit asks for it."""
        seconds, kind = 0.0, None
        for name, bucket in self._buckets.items():
            if (owed := bucket.owed()) > seconds:
                seconds, kind = owed, name
        return seconds, kind


def _steady(per_second: float) -> Bucket:
    return Bucket(per_second, BURST_SECONDS * per_second)
