"""Parse the blocks of a Yjs update (v1), to reject what a shared text may not contain before it is merged. Pure.

Pages show plain text: anything else takes up a position that they do not display, so they would diverge. Only text,
deleted blocks, and values of the map of files are allowed. This also protects pycrdt, which recurses into nested values
until the stack overflows and the process ends.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sessions_app.document.errors import Malformed, NotPlain
from sessions_app.document.spans import MAX_CLIENT_ID, Ranges, contains, holds, joined

if TYPE_CHECKING:
    from collections.abc import Mapping

# The limit of clocks and lengths, beyond which pycrdt wraps around to 0.
MAX_NUMBER = 2**32 - 1
# How many clients needs() names at most.
NEEDS_MAX_CLIENTS = 64

_GC, _DELETED, _STRING, _ANY, _SKIP = 0, 1, 4, 8, 10
_KIND, _HAS_KEY, _HAS_RIGHT, _HAS_LEFT = 0x1F, 0x20, 0x40, 0x80
# lib0's type bytes: undefined, null, two booleans; a varint; floats and a big integer of fixed size; a string.
_BARE_VALUES, _INTEGER, _FIXED_VALUES, _TEXT_VALUE = {120, 121, 126, 127}, 125, {124: 4, 123: 8, 122: 8}, 119

_OUTSIDE_BMP = re.compile("[\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Block:
    """A value or a deleted block: in this root, or `beside` another block and in the same map or text as that one."""

    client: int
    clock: int
    length: int
    is_value: bool
    root: bytes | None
    beside: tuple[int, int] | None


class Place(NamedTuple):
    at: int
    clock: int
    # How many of the extent's neighbours belong to earlier blocks.
    neighbours: int


@dataclass(slots=True)
class Extent:
    """What an update refers to: the blocks that it contains, deletes and builds on."""

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
    # For slices(): where in the update the blocks of each client begin, and where the last one ends.
    places: dict[int, list[Place]] = field(default_factory=dict)

    def contains(self, other: Extent) -> bool:
        return contains(self.written, other.written) and contains(self.deleted, other.deleted)

    def continues(self, clocks: Mapping[int, int]) -> bool:
        """Whether all blocks follow directly on these clocks, without overlap or gap."""
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


def read(update: bytes) -> tuple[list[Block], Extent]:
    """Return the blocks that may belong to a map (none, if the update is text only), and the extent of the update.

    Raises Malformed or NotPlain.
    """
    reader = Reader(update)
    try:
        reader.read()
    except (IndexError, UnicodeDecodeError) as error:
        raise Malformed("the update is cut off") from error
    return reader.found, reader.extent


class Reader:
    """Reads an update in version 1 of Yjs' encoding (https://github.com/yjs/yjs/blob/main/INTERNALS.md).

    A number is a LEB128 varint, a string is its length in bytes and its UTF-8; `n x` is a number n, and x n times.

        update      n section, n deletions
        section     (n of its blocks) client, first clock, block ...; each block begins where the one before it ends
        block       info byte, and by its lowest five bits:
                      0 GC, 10 skip   length
                      1 deleted       place, length
                      4 text          place, string; its length is that of the text in UTF-16
                      8 values        place, n value
                      others          (embeds, formats, types, documents) are refused
        place       the block to its left (client, clock) if info has 0x80, that to its right if it has 0x40; with
                    neither, 1 and the name of a root, then a key of that map if info has 0x20 (0 and a block, a type
                    inside another, is refused)
        value       a byte and what belongs to it (lib0's `any`)
        deletions   client, n (clock, length)
    """

    __slots__ = ("_at", "_data", "_run", "extent", "found")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        # The length of the text that the last blocks make together.
        self._run = 0
        self.found: list[Block] = []
        self.extent = Extent()

    def read(self) -> None:
        for _ in range(self._number()):
            self._section()
        for _ in range(self._number()):
            self._deletions()
        if self._at != len(self._data):
            raise Malformed("the update does not end where it says")
        deleted = self.extent.deleted
        for client, spans in deleted.items():
            if len(spans) > 1:
                deleted[client] = joined(spans)

    def _section(self) -> None:
        extent, data = self.extent, self._data
        count, client, clock = self._number(), self._number(MAX_CLIENT_ID), self._number()
        extent.parts += count
        # Encoders name each client once. Of two lists, pycrdt would silently drop one.
        if client in extent.written:
            raise Malformed("a client stands there twice")
        written = extent.written[client] = []
        places = extent.places[client] = []
        self._run = 0
        first = clock
        for _ in range(count):
            places.append(Place(self._at, clock, len(extent.neighbours)))
            info = data[self._at]
            self._at += 1
            kind = info & _KIND
            if kind == _SKIP:
                if clock > first:
                    written.append((first, clock))
                clock = first = _bounded(clock + self._number())
                continue
            length = self._number() if kind == _GC else self._block(info, client, clock)
            extent.has_empty |= length == 0
            clock = _bounded(clock + length)
        places.append(Place(self._at, clock, len(extent.neighbours)))
        if clock > first:
            written.append((first, clock))

    def _block(self, info: int, client: int, clock: int) -> int:
        """Read a block except its first byte. Returns its length."""
        root: bytes | None = None
        beside: tuple[int, int] | None = None
        if info & _HAS_LEFT:
            beside = self._neighbour(client, clock)
            self.extent.cuts.append((beside[0], beside[1] + 1))
        if info & _HAS_RIGHT:
            right = self._neighbour(client, clock)
            self.extent.cuts.append(right)
            beside = beside or right
        if beside is None:
            if self._number() != 1:
                raise NotPlain("a block is in a type of its own")
            root = self._string()
            if info & _HAS_KEY:
                self._string()
        kind = info & _KIND
        if kind == _STRING:
            return self._text(client, clock, root, beside)
        if kind not in (_DELETED, _ANY):
            raise NotPlain(f"a block is of kind {kind}")
        length = self._number()
        if kind == _ANY:
            self._skip_values(length)
        self.found.append(Block(client, clock, length, is_value=kind == _ANY, root=root, beside=beside))
        return length

    def _neighbour(self, own_client: int, own_clock: int) -> tuple[int, int]:
        client, clock = self._number(MAX_CLIENT_ID), self._number()
        if client != own_client:
            self.extent.neighbours.append((client, clock))
        elif clock >= own_clock:
            raise Malformed("a block builds on itself or a later one")
        return client, clock

    def _text(self, client: int, clock: int, root: bytes | None, beside: tuple[int, int] | None) -> int:
        extent = self.extent
        text = self._string()
        extent.inserted += len(text)
        length = len(text) if text.isascii() else self._units(text.decode(), client, clock)
        self._run = self._run + length if beside == (client, clock - 1) else length
        extent.run = max(extent.run, self._run)
        if root is not None:
            extent.texts.append((client, clock + length, root.decode()))
        return length

    def _units(self, text: str, client: int, clock: int) -> int:
        """The length in UTF-16, whose halves are noted."""
        outside = [found.start() for found in _OUTSIDE_BMP.finditer(text)]
        self.extent.halves += ((client, clock + at + before + 1) for before, at in enumerate(outside))
        self.extent.parts += len(outside)
        return len(text) + len(outside)

    def _skip_values(self, count: int) -> None:
        data = self._data
        for _ in range(count):
            mark = data[self._at]
            self._at += 1
            if mark == _TEXT_VALUE:
                self._string()
            elif mark == _INTEGER:
                while data[self._at] >= 0x80:
                    self._at += 1
                self._at += 1
            elif mark in _FIXED_VALUES:
                self._at += _FIXED_VALUES[mark]
            elif mark not in _BARE_VALUES:
                raise NotPlain("a value is nested")

    def _deletions(self) -> None:
        extent = self.extent
        client = self._number(MAX_CLIENT_ID)
        deleted = extent.deleted.setdefault(client, [])
        ranges = self._number()
        extent.parts += ranges
        for _ in range(ranges):
            clock = self._number()
            end = _bounded(clock + self._number())
            deleted.append((clock, end))
            extent.cuts += ((client, clock), (client, end))

    def _number(self, limit: int = MAX_NUMBER) -> int:
        data, at = self._data, self._at
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
                    raise Malformed("a number has more than 53 bits")
            if value > limit:
                raise Malformed("a number is too large")
        self._at = at
        return value

    def _string(self) -> bytes:
        length = self._number()
        start = self._at
        self._at = start + length
        if self._at > len(self._data):
            raise Malformed("a string is cut off")
        return self._data[start : self._at]


def _bounded(clock: int) -> int:
    if clock > MAX_NUMBER:
        raise Malformed("a clock is too large")
    return clock


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
