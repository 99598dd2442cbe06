"""Yjs updates (v1) written block by block, so that they can say what no client would."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Place = tuple[int, int]

_GC, _STRING, _SKIP, _HAS_RIGHT, _HAS_LEFT = 0, 4, 10, 0x40, 0x80


def number(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def words(text: str) -> bytes:
    return number(len(text.encode())) + text.encode()


def string(text: str, left: Place | None = None, right: Place | None = None, root: str = "main") -> bytes:
    """Text between two blocks (client, clock), or at the beginning of a root."""
    info = _STRING | (_HAS_LEFT if left else 0) | (_HAS_RIGHT if right else 0)
    places = b"".join(number(part) for place in (left, right) if place for part in place)
    return bytes([info]) + (places or number(1) + words(root)) + words(text)


def gc(length: int) -> bytes:
    return bytes([_GC]) + number(length)


def skip(length: int) -> bytes:
    return bytes([_SKIP]) + number(length)


def update(
    blocks: Mapping[int, tuple[int, Sequence[bytes]]], deleted: Mapping[int, Sequence[tuple[int, int]]] | None = None
) -> bytes:
    """`blocks`: client -> (first clock, blocks); `deleted`: client -> (clock, length) ranges."""
    out = number(len(blocks))
    for client, (clock, parts) in blocks.items():
        out += number(len(parts)) + number(client) + number(clock) + b"".join(parts)
    deleted = deleted or {}
    out += number(len(deleted))
    for client, ranges in deleted.items():
        out += number(client) + number(len(ranges)) + b"".join(number(part) for span in ranges for part in span)
    return out
