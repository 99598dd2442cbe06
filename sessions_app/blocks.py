"""Reads the blocks of a Yjs update (v1), so that what a shared text may not hold is refused before it is merged. Pure.

Pages show plain text: anything else in it takes a position that they do not draw, and they drift apart. So blocks are
text, what is left of deleted blocks, and values of the map of files. This also stands in front of pycrdt, which
recurses into nested values until the stack, and with it the process, ends.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_CLIENT_ID = 2**53 - 1
# Clocks and lengths: where one passes it, pycrdt counts on from 0.
MAX_NUMBER = 2**32 - 1
# Of how many clients an update is said to need more at once.
NEEDS_MAX_CLIENTS = 64

_GC, _DELETED, _STRING, _ANY, _SKIP = 0, 1, 4, 8, 10
_KIND, _HAS_KEY, _HAS_RIGHT, _HAS_LEFT = 0x1F, 0x20, 0x40, 0x80
# How lib0 marks a value: undefined, null, two truths; a varint; floats and a big integer of fixed size; a string.
_BARE_VALUES, _INTEGER, _FIXED_VALUES, _TEXT_VALUE = {120, 121, 126, 127}, 125, {124: 4, 123: 8, 122: 8}, 119

# Of a place in Halves.
HALF_BYTES = 4

_OUTSIDE_BMP = re.compile("[\U00010000-\U0010ffff]")

# Client -> (first clock, clock after the last), sorted and apart.
Ranges = dict[int, list[tuple[int, int]]]


class Unreadable(ValueError):
    """The bytes are no update."""


class NotPlain(ValueError):
    """The update holds something other than text and the paths of files."""


@dataclass(frozen=True, slots=True)
class Block:
    """A value or a deleted block: in this root, or `beside` another block and in the same map or text as that one."""

    client: int
    clock: int
    length: int
    is_value: bool
    root: bytes | None
    beside: tuple[int, int] | None


class _Place(NamedTuple):
    at: int
    clock: int
    # How many of the extent's neighbours belong to the blocks before.
    neighbours: int


@dataclass(slots=True)
class Extent:
    """What an update speaks of: the blocks that it holds, those that it deletes, and those that it builds on."""

    written: Ranges = field(default_factory=dict)
    deleted: Ranges = field(default_factory=dict)
    # (client, clock) of each neighbour that a block names among those of another client.
    neighbours: list[tuple[int, int]] = field(default_factory=list)
    # (client, clock) of the second half of each character outside the BMP: clocks count UTF-16 units.
    halves: list[tuple[int, int]] = field(default_factory=list)
    # (client, clock after it, root) of each block of text that names its root: one that stands beside no other.
    texts: list[tuple[int, int, str]] = field(default_factory=list)
    # (client, clock) of each place at which blocks part: beside a neighbour, and at both ends of each deletion, not of
    # what several make together, since pycrdt does one after the other.
    cuts: list[tuple[int, int]] = field(default_factory=list)
    # Whether a block has no length: pycrdt takes it, and divides by it when somebody asks for the document.
    has_empty: bool = False
    # How many blocks, deletions and halves it has: the work of reading it.
    parts: int = 0
    # How many bytes of text its blocks hold.
    inserted: int = 0
    # The longest text that blocks of it may make together: each begins right behind the one before it.
    run: int = 0
    # Of each client where in the update its blocks stand, and the place after the last; for slices().
    places: dict[int, list[_Place]] = field(default_factory=dict)

    def contains(self, other: Extent) -> bool:
        return _contains(self.written, other.written) and _contains(self.deleted, other.deleted)

    def continues(self, clocks: Mapping[int, int]) -> bool:
        """Whether every block is new where so many clocks of each client are there, and none is skipped."""
        return all(len(spans) == 1 and spans[0][0] == clocks.get(client, 0) for client, spans in self.written.items())

    def needs(self, clocks: Mapping[int, int]) -> dict[int, int]:
        """Client -> how many of its clocks must be there before this can be merged where so many are; {} when it can.

        Of NEEDS_MAX_CLIENTS clients at most: who has met these asks again.
        """
        found: dict[int, int] = {}

        def need(client: int, count: int) -> None:
            if count > clocks.get(client, 0) and (client in found or len(found) < NEEDS_MAX_CLIENTS):
                found[client] = max(count, found.get(client, 0))

        ends: dict[int, int] = {}
        for client, spans in self.written.items():
            done = 0
            for first, end in spans:
                if first > done:
                    need(client, first)
                done = end
            ends[client] = done
        for client, clock in self.neighbours:
            if clock >= ends.get(client, 0):
                need(client, clock + 1)
        for client, spans in self.deleted.items():
            for _, end in spans:
                if end > ends.get(client, 0):
                    need(client, end)
        return found


class Halves:
    """Where the second halves of a document's characters outside the BMP are: four bytes each, as such a character has
    in UTF-8."""

    def __init__(self) -> None:
        # Client -> clocks, growing.
        self._clocks: dict[int, array[int]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, place: tuple[int, int]) -> bool:
        client, clock = place
        clocks = self._clocks.get(client)
        return clocks is not None and (at := bisect_left(clocks, clock)) < len(clocks) and clocks[at] == clock

    def add(self, halves: Iterable[tuple[int, int]]) -> None:
        """Of each client, in order and after those that are here."""
        for client, clock in halves:
            self._clocks.setdefault(client, array("I")).append(clock)
            self._count += 1

    def discard(self, places: Iterable[tuple[int, int]]) -> None:
        for client, clock in places:
            if (client, clock) in self:
                del self._clocks[client][bisect_left(self._clocks[client], clock)]
                self._count -= 1

    def cut_off(self, ends: Mapping[int, int]) -> None:
        """Keep of each client what lies before its end."""
        for client, clocks in self._clocks.items():
            del clocks[bisect_left(clocks, ends.get(client, 0)) :]
        self._count = sum(map(len, self._clocks.values()))


def read(update: bytes) -> tuple[list[Block], Extent]:
    """The blocks that may belong to a map (none, for an update of text), and what the update speaks of.

    Raises Unreadable or NotPlain.
    """
    try:
        return _read(update)
    except (IndexError, UnicodeDecodeError) as error:
        raise Unreadable("the update is cut off") from error


def slices(update: bytes, extent: Extent, most: int, *, deletions_first: bool = False) -> list[bytes]:
    """The update as several of at most so many blocks or deletions each, to be applied in this order.

    A block stands in no slice before what it builds on; of blocks in a ring one stands somewhere. With
    `deletions_first`, what was there before the update is deleted before anything is inserted.
    """
    if extent.parts <= most:
        return [update]
    ranges = [(client, *span) for client, spans in extent.deleted.items() for span in spans]
    first_ranges = [span for span in ranges if deletions_first and not _brings(extent, span)]
    made = _deletions(first_ranges, most)
    done = dict.fromkeys(extent.places, 0)
    begun = dict(done)
    count = 0

    def finish() -> None:
        nonlocal count
        sections = [
            b"".join(
                (
                    varuint(end - first),
                    varuint(client),
                    varuint(places[first].clock),
                    update[places[first].at : places[end].at],
                )
            )
            for client, places in extent.places.items()
            if (end := done[client]) > (first := begun[client])
        ]
        if sections:
            made.append(b"".join((varuint(len(sections)), *sections, b"\0")))
        begun.update(done)
        count = 0

    # Clients whose next block waits for blocks of the one behind it in the list, up to so many.
    waiting: list[tuple[int, int]] = []
    for client, places in extent.places.items():
        waiting.append((client, len(places) - 1))
        while waiting:
            current, end = waiting[-1]
            at = done[current]
            if at >= end:
                waiting.pop()
                continue
            here, after = extent.places[current][at : at + 2]
            needed = _needed(extent, here, after, done, {known for known, _ in waiting})
            if needed is not None:
                waiting.append(needed)
                continue
            done[current] += 1
            count += 1
            if count >= most:
                finish()
    finish()
    return made + _deletions([span for span in ranges if not first_ranges or _brings(extent, span)], most)


def _brings(extent: Extent, span: tuple[int, int, int]) -> bool:
    """Whether the update itself brings a part of what it deletes there."""
    client, start, end = span
    return any(first < end and start < last for first, last in extent.written.get(client, ()))


def _deletions(ranges: list[tuple[int, int, int]], most: int) -> list[bytes]:
    made: list[bytes] = []
    for first in range(0, len(ranges), most):
        by_client: dict[int, list[bytes]] = {}
        for client, start, end in ranges[first : first + most]:
            by_client.setdefault(client, []).append(varuint(start) + varuint(end - start))
        sections = [b"".join((varuint(client), varuint(len(spans)), *spans)) for client, spans in by_client.items()]
        made.append(b"".join((b"\0", varuint(len(sections)), *sections)))
    return made


def _needed(
    extent: Extent, here: _Place, after: _Place, done: Mapping[int, int], waiting: set[int]
) -> tuple[int, int] | None:
    """A client, and up to which of its blocks it must come before this one; None where nothing must."""
    for client, clock in extent.neighbours[here.neighbours : after.neighbours]:
        places = extent.places.get(client)
        if places is None or client in waiting or not places[done[client]].clock <= clock < places[-1].clock:
            continue
        return client, bisect_right(places, clock, key=lambda place: place.clock)
    return None


def varuint(value: int) -> bytes:
    """As Yjs writes numbers."""
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans (first, after the last), sorted and apart."""
    found: list[tuple[int, int]] = []
    for first, end in sorted(spans):
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((first, end))
    return found


def holds(spans: list[tuple[int, int]], first: int, end: int) -> bool:
    """Whether one of the spans, which are sorted and apart, reaches from `first` to `end`."""
    at = bisect_right(spans, (first, MAX_CLIENT_ID)) - 1
    return at >= 0 and end <= spans[at][1]


def _contains(known: Ranges, ranges: Ranges) -> bool:
    return all(holds(known.get(client, []), *span) for client, spans in ranges.items() for span in spans)


def ranges_in(root: bytes, blocks: list[Block], known: Ranges) -> Ranges:
    """`known`, and which of the blocks are in this root as well: named so, or beside one that is."""
    found = {client: [*ranges] for client, ranges in known.items()}
    beside: dict[int, list[tuple[int, int]]] = {}
    for index, block in enumerate(blocks):
        if block.beside is not None:
            beside.setdefault(block.beside[0], []).append((block.beside[1], index))
    for places in beside.values():
        places.sort()
    fresh = [(client, *span) for client, spans in known.items() for span in spans]
    for block in blocks:
        if block.root == root:
            insort(found.setdefault(block.client, []), (block.clock, block.clock + block.length))
            fresh.append((block.client, block.clock, block.clock + block.length))
    while fresh:
        client, first, end = fresh.pop()
        places = beside.get(client, [])
        low, high = bisect_left(places, (first, 0)), bisect_left(places, (end, 0))
        for _, index in places[low:high]:
            block = blocks[index]
            span = (block.clock, block.clock + block.length)
            insort(found.setdefault(block.client, []), span)
            fresh.append((block.client, *span))
        del places[low:high]
    return found


def covers(ranges: Ranges, block: Block) -> bool:
    return holds(ranges.get(block.client, []), block.clock, block.clock + 1)


def _read(data: bytes) -> tuple[list[Block], Extent]:
    found: list[Block] = []
    extent = Extent()
    at = 0

    def number(limit: int = MAX_NUMBER) -> int:
        nonlocal at
        value = data[at]
        at += 1
        if value >= 0x80:
            value &= 0x7F
            shift = 7
            while True:
                byte = data[at]
                at += 1
                value |= (byte & 0x7F) << shift
                if byte < 0x80:
                    break
                shift += 7
                if shift > 49:
                    raise Unreadable("a number has more than 53 bits")
            if value > limit:
                raise Unreadable("a number is too large")
        return value

    def string() -> bytes:
        nonlocal at
        length = number()
        start, at = at, at + length
        if at > len(data):
            raise Unreadable("a string is cut off")
        return data[start:at]

    def neighbour(own_client: int, own_clock: int) -> tuple[int, int]:
        client, clock = number(MAX_CLIENT_ID), number()
        if client != own_client:
            extent.neighbours.append((client, clock))
        elif clock >= own_clock:
            raise Unreadable("a block builds on itself or a later one")
        return client, clock

    def units(text: str, client: int, clock: int) -> int:
        """The length in UTF-16, whose halves are noted."""
        outside = [found.start() for found in _OUTSIDE_BMP.finditer(text)]
        extent.halves += ((client, clock + at + before + 1) for before, at in enumerate(outside))
        extent.parts += len(outside)
        return len(text) + len(outside)

    def bounded(clock: int) -> int:
        if clock > MAX_NUMBER:
            raise Unreadable("a clock is too large")
        return clock

    for _ in range(number()):
        blocks, client, clock = number(), number(MAX_CLIENT_ID), number()
        extent.parts += blocks
        # An encoder names each client once; of two lists pycrdt would drop one unsaid.
        if client in extent.written:
            raise Unreadable("a client stands there twice")
        written = extent.written[client] = []
        places = extent.places[client] = []
        run = 0
        first = clock
        for _ in range(blocks):
            places.append(_Place(at, clock, len(extent.neighbours)))
            info = data[at]
            at += 1
            kind = info & _KIND
            if kind == _GC:
                length = number()
                extent.has_empty |= length == 0
                clock = bounded(clock + length)
                continue
            if kind == _SKIP:
                if clock > first:
                    written.append((first, clock))
                clock = first = bounded(clock + number())
                continue
            root: bytes | None = None
            beside: tuple[int, int] | None = None
            if info & _HAS_LEFT:
                beside = neighbour(client, clock)
                extent.cuts.append((beside[0], beside[1] + 1))
            if info & _HAS_RIGHT:
                right = neighbour(client, clock)
                extent.cuts.append(right)
                beside = beside or right
            if beside is None:
                if number() != 1:
                    raise NotPlain("a block is in a type of its own")
                root = string()
                if info & _HAS_KEY:
                    string()
            if kind == _STRING:
                text = string()
                extent.inserted += len(text)
                length = len(text) if text.isascii() else units(text.decode(), client, clock)
                run = run + length if beside == (client, clock - 1) else length
                extent.run = max(extent.run, run)
                if root is not None:
                    extent.texts.append((client, clock + length, root.decode()))
            elif kind == _DELETED:
                length = number()
                found.append(Block(client, clock, length, is_value=False, root=root, beside=beside))
            elif kind == _ANY:
                length = number()
                for _ in range(length):
                    mark = data[at]
                    at += 1
                    if mark == _TEXT_VALUE:
                        string()
                    elif mark == _INTEGER:
                        while data[at] >= 0x80:
                            at += 1
                        at += 1
                    elif mark in _FIXED_VALUES:
                        at += _FIXED_VALUES[mark]
                    elif mark not in _BARE_VALUES:
                        raise NotPlain("a value is nested")
                found.append(Block(client, clock, length, is_value=True, root=root, beside=beside))
            else:
                raise NotPlain(f"a block is of kind {kind}")
            extent.has_empty |= length == 0
            clock = bounded(clock + length)
        places.append(_Place(at, clock, len(extent.neighbours)))
        if clock > first:
            written.append((first, clock))
    for _ in range(number()):
        client = number(MAX_CLIENT_ID)
        deleted = extent.deleted.setdefault(client, [])
        ranges = number()
        extent.parts += ranges
        for _ in range(ranges):
            clock = number()
            end = bounded(clock + number())
            deleted.append((clock, end))
            extent.cuts += ((client, clock), (client, end))
    if at != len(data):
        raise Unreadable("the update does not end where it says")
    for client, spans in extent.deleted.items():
        if len(spans) > 1:
            extent.deleted[client] = joined(spans)
    return found, extent
