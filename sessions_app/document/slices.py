"""Split a large update into slices that are merged one by one, so that other work can run in between. Pure."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessions_app.document.blocks import Extent, Place


def slices(update: bytes, extent: Extent, most: int, *, deletions_first: bool = False) -> list[bytes]:
    """The update as several of at most so many blocks or deletions each, to be applied in this order.

    A block stands in no slice before what it builds on; of blocks in a ring one stands somewhere. With
    `deletions_first`, what was there before the update is deleted before anything is inserted.
    """
    if extent.parts <= most:
        return [update]
    ranges = [(client, *span) for client, spans in extent.deleted.items() for span in spans]
    first_ranges = [span for span in ranges if deletions_first and not _brings(extent, span)]
    last_ranges = [span for span in ranges if not first_ranges or _brings(extent, span)]
    slicer = _Slicer(update, extent, most)
    slicer.run()
    return [*deletions(first_ranges, most), *slicer.made, *deletions(last_ranges, most)]


class _Slicer:
    """Cuts the blocks of an update into slices."""

    def __init__(self, update: bytes, extent: Extent, most: int) -> None:
        self._update, self._extent, self._most = update, extent, most
        self.made: list[bytes] = []
        # How many blocks of each client are in a slice, or in the one that is being filled; and in one that is made.
        self._done = dict.fromkeys(extent.places, 0)
        self._begun = dict(self._done)
        self._count = 0

    def run(self) -> None:
        # Clients whose next block waits for blocks of the one behind it in the list, up to so many.
        waiting: list[tuple[int, int]] = []
        for client, places in self._extent.places.items():
            waiting.append((client, len(places) - 1))
            while waiting:
                current, end = waiting[-1]
                at = self._done[current]
                if at >= end:
                    waiting.pop()
                    continue
                here, after = self._extent.places[current][at : at + 2]
                needed = _needed(self._extent, here, after, self._done, {known for known, _ in waiting})
                if needed is not None:
                    waiting.append(needed)
                    continue
                self._done[current] += 1
                self._count += 1
                if self._count >= self._most:
                    self._finish()
        self._finish()

    def _finish(self) -> None:
        sections = [
            b"".join(
                (
                    varuint(end - first),
                    varuint(client),
                    varuint(places[first].clock),
                    self._update[places[first].at : places[end].at],
                )
            )
            for client, places in self._extent.places.items()
            if (end := self._done[client]) > (first := self._begun[client])
        ]
        if sections:
            self.made.append(b"".join((varuint(len(sections)), *sections, b"\0")))
        self._begun.update(self._done)
        self._count = 0


def _brings(extent: Extent, span: tuple[int, int, int]) -> bool:
    """Whether the update itself contains part of what it deletes there."""
    client, start, end = span
    return any(first < end and start < last for first, last in extent.written.get(client, ()))


def deletions(ranges: list[tuple[int, int, int]], most: int) -> list[bytes]:
    made: list[bytes] = []
    for first in range(0, len(ranges), most):
        by_client: dict[int, list[bytes]] = {}
        for client, start, end in ranges[first : first + most]:
            by_client.setdefault(client, []).append(varuint(start) + varuint(end - start))
        sections = [b"".join((varuint(client), varuint(len(spans)), *spans)) for client, spans in by_client.items()]
        made.append(b"".join((b"\0", varuint(len(sections)), *sections)))
    return made


def _needed(
    extent: Extent, here: Place, after: Place, done: Mapping[int, int], waiting: set[int]
) -> tuple[int, int] | None:
    """A client, and up to which of its blocks it must come before this one; None where nothing must."""
    for client, clock in extent.neighbours[here.neighbours : after.neighbours]:
        places = extent.places.get(client)
        if places is None or client in waiting or not places[done[client]].clock <= clock < places[-1].clock:
            continue
        return client, bisect_right(places, clock, key=lambda place: place.clock)
    return None


def varuint(value: int) -> bytes:
    """Encode a number the way Yjs does."""
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
