"""Opens documents and reads large updates, in any thread, for a Replica. Pure."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import pycrdt

from sessions_app.document import blocks
from sessions_app.document.errors import Broken, Malformed, TooLarge, as_ours
from sessions_app.document.halves import OUTSIDE_BMP, Halves
from sessions_app.document.slices import slices
from sessions_app.document.texts import is_file_id, largest_text
from sessions_app.document.updates import (
    Updates,
    apply,
    clocks_of,
    doc_in_order,
    doc_of,
    merge,
    parts_of,
    residual,
    size_of,
)

# So many blocks and deletions are merged at once, which takes some milliseconds; a larger update comes in slices.
SLICE_PARTS = 500
# Below this size it is not read to find out.
SLICED_BYTES = 8 * 1024
PIECE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Limits:
    text_bytes: int
    document_bytes: int


@dataclass(slots=True)
class Opened:
    """A document that was opened, in any thread, for a Replica, and what that needs to know of it."""

    doc: pycrdt.Doc[Any]
    size: int
    clocks: dict[int, int]
    halves: Halves
    # Whether blocks wait for others.
    waits: bool


def opened(update: Updates) -> Opened:
    """Open a document for a Replica. Raises Malformed or Broken."""
    doc = doc_in_order(parts_of(update))
    clocks = clocks_of(doc)
    halves = halves_of(update)
    state = doc.get_state()
    waits = any(residual(state, part)[0] != 0 for part in parts_of(update))
    if waits:
        halves.cut_off(clocks)
    return Opened(doc, size_of(update), clocks, halves, waits)


@dataclass(slots=True)
class Sliced:
    """An update that was read, in any thread, and is merged in slices."""

    update: bytes
    # Its values and deleted blocks.
    found: list[blocks.Block]
    extent: blocks.Extent
    slices: list[bytes]


def sliced(update: bytes) -> Sliced:
    """Read an update and cut it into slices. Raises Malformed or NotPlain."""
    found, extent = blocks.read(update)
    return Sliced(update, found, extent, slices(update, extent, SLICE_PARTS))


def tried(document: bytes, sliced: Sliced, limits: Limits) -> Sliced:
    """The update in slices that delete first, so that no text grows past what it is in the end. That is tried out on a
    copy of the document, in any thread. Raises TooLarge or Malformed."""
    parts = slices(sliced.update, sliced.extent, SLICE_PARTS, deletions_first=True)
    try:
        doc = doc_in_order(pieces(document))
        part_texts(doc)
        for part in parts:
            apply(doc, part)
        text_bytes = largest_text(doc)
    except Broken as error:
        raise Malformed(str(error)) from error
    if text_bytes > limits.text_bytes:
        raise TooLarge("text")
    return Sliced(sliced.update, sliced.found, sliced.extent, parts)


def sizes_after(document: bytes, update: bytes) -> tuple[int, int]:
    """How large the document is, and its largest text, once the update is merged."""
    doc = doc_of([document, update])
    return len(doc.get_update()), largest_text(doc)


def pieces(update: bytes) -> list[bytes]:
    """The update in slices, each of which leaves other threads a turn; whole where it cannot be read."""
    if len(update) > SLICED_BYTES:
        with contextlib.suppress(Malformed):
            return sliced(update).slices
    return [update]


def halves_of(update: Updates) -> Halves:
    """Return the halves of a document from the log. A character that it has cut already has none, and may be edited."""
    found = Halves()
    # Most documents have no such character, and then need not be read.
    if any(OUTSIDE_BMP.search(part) for part in parts_of(update)):
        # Something else may have got in before that was refused.
        with contextlib.suppress(Malformed):
            extent = blocks.read(merge(parts_of(update)))[1]
            found.add(extent.halves)
            found.discard(extent.cuts)
    return found


def part_texts(doc: pycrdt.Doc[Any]) -> None:
    try:
        with doc.transaction():
            for name in doc.keys():  # noqa: SIM118
                if is_file_id(name):
                    _part(doc.get(name, type=pycrdt.Text))
    except BaseException as error:
        raise as_ours(error, Broken) from error


def _part(shared: pycrdt.Text) -> None:
    encoded = str(shared).encode()
    if len(shared) != len(encoded):
        return
    places = []
    for at in range(PIECE_BYTES, len(encoded), PIECE_BYTES):
        while at < len(encoded) and encoded[at] & 0xC0 == 0x80:
            at += 1  # noqa: PLW2901
        places.append(at)
    waiting = [(0, len(places))]
    while waiting:
        first, last = waiting.pop()
        if first < last:
            middle = (first + last) // 2
            at = places[middle]
            shared.insert(at, " ")
            del shared[at : at + 1]
            waiting += ((first, middle), (middle + 1, last))
