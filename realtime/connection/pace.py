"""Token buckets for what one socket, and all sockets of one person, may say.

A socket that is over its rate is read more slowly; nothing is dropped.
"""

from __future__ import annotations

import time
from typing import Literal

from django.conf import settings

# An update, or an answer to a step 1, counts as one for each so many bytes.
BYTES_PER_UPDATE = 32 * 1024
# And as one for each so many blocks: many blocks take longer to read than as much text in one.
PARTS_PER_UPDATE = 256
# All sockets of one person together may say this many times what one may.
SOCKETS_AT_ONCE = 4
# For rates without a burst of their own.
BURST_SECONDS = 4

Kind = Literal["updates", "texts", "frames"]


class Bucket:
    """Allows `per_second` in the long run and `burst` after a rest. What is spent beyond that is owed as time."""

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

    def is_full(self) -> bool:
        return self._left + (time.monotonic() - self._at) * self._per_second >= self._burst

    def owed(self) -> float:
        """Return the seconds until there is room again."""
        return max(0.0, -self._left / self._per_second - (time.monotonic() - self._at))


class Pace:
    """The buckets of one socket, or of one person with several; without rate limits there are none."""

    def __init__(self, person: Pace | None = None, *, sockets: int = 1) -> None:
        """Spend from `person` too: the pace of the person whose socket this is."""
        self.person = person
        self._buckets: dict[Kind, Bucket] = {}
        if settings.RATE_LIMITS:
            self._buckets = {
                "updates": Bucket(
                    sockets * settings.SOCKET_UPDATES_PER_SECOND, sockets * settings.SOCKET_UPDATES_BURST
                ),
                "texts": _steady(sockets * settings.SOCKET_TEXTS_PER_SECOND),
                "frames": _steady(sockets * settings.SOCKET_FRAMES_PER_SECOND),
            }

    def spend(self, kind: Kind, size: int = 0) -> None:
        """Count one, or more for a payload of `size` bytes."""
        if bucket := self._buckets.get(kind):
            bucket.spend(1 + size // BYTES_PER_UPDATE)
        if self.person is not None:
            self.person.spend(kind, size)

    def spend_parts(self, parts: int) -> None:
        """Count what reading an update of so many blocks and deletions takes beyond what a small one does."""
        if (extra := parts // PARTS_PER_UPDATE) and (bucket := self._buckets.get("updates")):
            bucket.spend(extra)
        if self.person is not None:
            self.person.spend_parts(parts)

    def pause(self) -> tuple[float, Kind | None]:
        """Return how long not to read, and which limit asks for it."""
        seconds, kind = (0.0, None) if self.person is None else self.person.pause()
        for name, bucket in self._buckets.items():
            if (owed := bucket.owed()) > seconds:
                seconds, kind = owed, name
        return seconds, kind

    @property
    def is_rested(self) -> bool:
        """Whether nothing is spent, so that a new pace would be the same."""
        return all(bucket.is_full() for bucket in self._buckets.values())


def _steady(per_second: float) -> Bucket:
    return Bucket(per_second, BURST_SECONDS * per_second)
