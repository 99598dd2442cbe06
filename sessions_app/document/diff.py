"""Compute the edits that turn one text into another. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from heapq import nlargest
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Beyond this many differences, neighbours are joined, including the text between them.
EDITS_MAX = 300
_ANCHORS_MAX = 5000
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_WORDS = re.compile(r"\w+|\s+|.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace `delete` bytes at byte `start` of the old text (UTF-8, never inside a code point) by `insert`."""

    start: int
    delete: int
    insert: str


def edits_between(old: str, new: str, *, most: int = EDITS_MAX) -> list[Edit]:
    """At most `most` small replacements that turn old into new, by growing position in old, in time linear in the
    texts.

    Lines that stand once in both texts are held fast; inside what lies between them the same is done with words.
    """
    changes = _changes(old, new, 0, (_LINES, _WORDS), most)
    edits: list[Edit] = []
    at = byte = 0
    for first, last, insert in _joined(changes, lambda first, last: old[first:last], most):
        start = byte + len(old[at:first].encode())
        at, byte = last, start + len(old[first:last].encode())
        edits.append(Edit(start, byte - start, insert))
    return edits


def join_edits(edits: Sequence[Edit], old: str, most: int) -> list[Edit]:
    """At most `most` edits of the text `old` with the same outcome."""
    encoded = old.encode()
    changes = [(edit.start, edit.start + edit.delete, edit.insert) for edit in edits]
    fewer = _joined(changes, lambda first, last: encoded[first:last].decode(), most)
    return [Edit(first, last - first, insert) for first, last, insert in fewer]


# (first, last, insert): what lies from first to last becomes `insert`.
_Change = tuple[int, int, str]


def _joined(changes: list[_Change], text: Callable[[int, int], str], most: int) -> list[_Change]:
    """At most `most` changes with the same outcome: where least of the `text` lies between two, they become one."""
    if len(changes) <= most:
        return changes
    gaps = [after[0] - before[1] for before, after in pairwise(changes)]
    widest = sorted(nlargest(most - 1, range(len(gaps)), key=gaps.__getitem__))
    found: list[_Change] = []
    done = 0
    for end in [*(index + 1 for index in widest), len(changes)]:
        group, done = changes[done:end], end
        at = group[0][0]
        inserts: list[str] = []
        for first, last, insert in group:
            inserts += (text(at, first), insert)
            at = last
        found.append((group[0][0], at, "".join(inserts)))
    return found


def _changes(old: str, new: str, at: int, levels: tuple[re.Pattern[str], ...], most: int) -> list[_Change]:
    """In code points of the whole old text, in which `old` starts at `at`. Beyond `most` places it looks no closer
    into any."""
    if old == new:
        return []
    prefix = _common_prefix(old, new)
    suffix = _common_prefix(old[prefix:][::-1], new[prefix:][::-1])
    old, new, at = old[prefix : len(old) - suffix], new[prefix : len(new) - suffix], at + prefix
    if not old or not new or not levels:
        return [(at, at + len(old), new)]
    old_parts, new_parts = _parts(levels[0], old), _parts(levels[0], new)
    anchors, is_sample = _anchors(old_parts, new_parts)
    places: list[_Change] = []
    first = done_old = done_new = 0
    for a, b in [*anchors, (len(old_parts), len(new_parts))]:
        before, after = "".join(old_parts[done_old:a]), "".join(new_parts[done_new:b])
        last = first + len(before)
        if before != after:
            places.append((first, last, after))
        first = last + (len(old_parts[a]) if a < len(old_parts) else 0)
        done_old, done_new = a + 1, b + 1
    if len(places) > most:
        return [(at + first, at + last, insert) for first, last, insert in places]
    found: list[_Change] = []
    for first, last, insert in places:
        # Repeated between the anchors of a sample, if that is less work.
        is_small = 2 * (last - first + len(insert)) <= len(old) + len(new)
        found += _changes(old[first:last], insert, at + first, levels[not (is_sample and is_small) :], most)
    return found


# This runs in threads, and one call into C keeps all others waiting to its end: no call takes more than so many
# characters or parts.
_AT_ONCE = 20_000


def _parts(pattern: re.Pattern[str], text: str) -> list[str]:
    """Return the matches of a pattern that matches everywhere, as findall() does."""
    parts: list[str] = []
    at = 0
    while at < len(text):
        found = pattern.findall(text, at, at + _AT_ONCE)
        if at + _AT_ONCE < len(text):
            # The last one may go on.
            found.pop()
        if not found:
            found = [text[at : pattern.match(text, at).end()]]  # type: ignore[union-attr]
        parts += found
        at += sum(map(len, found))
    return parts


def _counted(parts: list[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for first in range(0, len(parts), _AT_ONCE):
        counts.update(parts[first : first + _AT_ONCE])
    return counts


def _anchors(old: list[str], new: list[str]) -> tuple[list[tuple[int, int]], bool]:
    """Return the positions of parts that occur once in each, as many as keep their order (longest increasing
    subsequence), and whether only a sample was examined, because there are many."""
    counts_old, counts_new = _counted(old), _counted(new)
    places = {part: index for index, part in enumerate(new) if counts_new[part] == 1}
    pairs = [(index, places[part]) for index, part in enumerate(old) if part in places and counts_old[part] == 1]
    stride = 1 + len(pairs) // _ANCHORS_MAX
    pairs = pairs[::stride]
    tails: list[int] = []
    ends: list[int] = []
    previous: list[int] = []
    for number, (_, position) in enumerate(pairs):
        place = bisect_left(tails, position)
        previous.append(ends[place - 1] if place else -1)
        tails[place : place + 1] = [position]
        ends[place : place + 1] = [number]
    chain: list[tuple[int, int]] = []
    number = ends[-1] if ends else -1
    while number >= 0:
        chain.append(pairs[number])
        number = previous[number]
    return chain[::-1], stride > 1


def _common_prefix(one: str, other: str) -> int:
    length = min(len(one), len(other))
    low, high = 0, length
    while low < high:
        half = (low + high + 1) // 2
        if one[low:half] == other[low:half]:
            low = half
        else:
            high = half - 1
    return low
