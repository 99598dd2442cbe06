"""Merge and open Yjs updates (v1 bytes) with pycrdt. Pure.

pycrdt counts text positions in UTF-8 bytes, and its panics are BaseExceptions. This package hides both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pycrdt

from sessions_app.document import spans
from sessions_app.document.errors import Broken, Malformed, as_ours

if TYPE_CHECKING:
    from sessions_app.document.spans import Ranges

# One update, or several to be applied in order.
Updates = bytes | Sequence[bytes]
EMPTY_UPDATE = b"\x00\x00"
# The state vector of an empty document.
EMPTY_STATE = b"\x00"
# pycrdt takes quadratic time to merge n updates: 37,000 keystrokes take 20 s at once, but 0.3 s in groups.
_MERGE_AT_ONCE = 16


def merge(updates: Iterable[bytes]) -> bytes:
    """Merge updates, in any order, into one with all of their content, even if dependencies are missing."""
    parts = [update for update in updates if update != EMPTY_UPDATE]
    try:
        while len(parts) > 1:
            groups = (parts[at : at + _MERGE_AT_ONCE] for at in range(0, len(parts), _MERGE_AT_ONCE))
            parts = [pycrdt.merge_updates(*group) if len(group) > 1 else group[0] for group in groups]
    except BaseException as error:
        raise as_ours(error, Malformed) from error
    return parts[0] if parts else EMPTY_UPDATE


def doc_of(update: Updates) -> pycrdt.Doc[Any]:
    if not isinstance(update, bytes):
        return doc_in_order(update)
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    try:
        if update != EMPTY_UPDATE:
            doc.apply_update(update)
    except BaseException as error:
        raise as_ours(error, Malformed) from error
    return doc


def doc_in_order(updates: Iterable[bytes]) -> pycrdt.Doc[Any]:
    doc = doc_of(EMPTY_UPDATE)
    waiting: list[bytes] = []
    for update in updates:
        apply(doc, update)
        if residual(doc.get_state(), update)[0] != 0:
            waiting.append(update)
    if waiting:
        # If parts are out of order, pycrdt may leave some pending until they are applied again.
        apply(doc, merge(waiting))
    return doc


def apply(doc: pycrdt.Doc[Any], update: bytes) -> None:
    if update == EMPTY_UPDATE:
        return
    try:
        doc.apply_update(update)
    except BaseException as error:
        raise as_ours(error, Broken) from error


def residual(state: bytes, update: bytes) -> bytes:
    """Return the part of the update that a document at this state vector lacks, and all of its deletions."""
    try:
        return pycrdt.get_update(update, state)
    except BaseException as error:
        raise as_ours(error, Malformed) from error


def lacks(doc: pycrdt.Doc[Any], update: bytes) -> bool:
    before = doc.get_state()
    news = residual(before, update)
    if news[0] != 0:
        return True
    deleted = deletions_in(news)
    if not deleted:
        return False
    state = clocks_in(before)
    return any(start + length > state.get(client, 0) for client, ranges in deleted.items() for start, length in ranges)


def parts_of(update: Updates) -> Sequence[bytes]:
    return (update,) if isinstance(update, bytes) else update


def size_of(update: Updates) -> int:
    return sum(map(len, parts_of(update)))


def clocks_of(doc: pycrdt.Doc[Any]) -> dict[int, int]:
    """Return the state vector, decoded, because its bytes have the clients in any order."""
    return {client: clock for client, clock in clocks_in(doc.get_state()).items() if clock}


def all_deletions(doc: pycrdt.Doc[Any]) -> Ranges:
    deleted = deletions_in(doc.get_update(doc.get_state()))
    return {client: spans.joined((at, at + length) for at, length in ranges) for client, ranges in deleted.items()}


def deletions_in(update: bytes) -> dict[int, list[tuple[int, int]]]:
    """Client -> (clock, length) ranges, of an update without blocks: varuint 0, then the delete set."""
    numbers = iter(_numbers(update)[1:])
    found: dict[int, list[tuple[int, int]]] = {}
    for _ in range(next(numbers)):
        client = next(numbers)
        found.setdefault(client, []).extend((next(numbers), next(numbers)) for _ in range(next(numbers)))
    return found


def clocks_in(state: bytes) -> dict[int, int]:
    numbers = _numbers(state)[1:]
    return dict(zip(numbers[::2], numbers[1::2], strict=True))


def _numbers(data: bytes) -> list[int]:
    """Decode all LEB128 numbers of a buffer written by pycrdt."""
    found: list[int] = []
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            found.append(value)
            value = shift = 0
    return found
