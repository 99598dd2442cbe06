"""Ranges of clocks: half-open, sorted and disjoint. Pure."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_CLIENT_ID = 2**53 - 1

# Client -> (first clock, clock after the last), sorted and disjoint.
Ranges = dict[int, list[tuple[int, int]]]


def joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the spans sorted and disjoint."""
    found: list[tuple[int, int]] = []
    for first, end in sorted(spans):
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((first, end))
    return found


def holds(spans: list[tuple[int, int]], first: int, end: int) -> bool:
    """Whether one of the sorted, disjoint spans covers `first` to `end`."""
    at = bisect_right(spans, (first, MAX_CLIENT_ID)) - 1
    return at >= 0 and end <= spans[at][1]


def contains(known: Ranges, ranges: Ranges) -> bool:
    """Whether `known` contains all of the ranges."""
    return all(holds(known.get(client, []), *span) for client, spans in ranges.items() for span in spans)


def covers(known: list[tuple[int, int]], ranges: list[tuple[int, int]]) -> bool:
    """Whether every clock of the (clock, length) `ranges` is in those of `known`."""
    spans = joined((start, start + length) for start, length in known)
    return all(holds(spans, start, start + length) for start, length in ranges)
