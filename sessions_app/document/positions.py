"""Convert positions in a text between pycrdt, which counts bytes, and pages, which count UTF-16 units. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pycrdt

from sessions_app.document.errors import Broken, as_ours
from sessions_app.document.texts import MAIN

if TYPE_CHECKING:
    from collections.abc import Callable


def position_at(shared: pycrdt.Text, index: int, text: str) -> dict[str, Any]:
    """A place in the entry file's text, which is `text`, as pages write it: before the character there now."""
    end = {"type": None, "tname": MAIN, "item": None, "assoc": 0}
    if index >= len(text):
        return end
    try:
        byte = len(text[:index].encode())
        client, clock = _item_at(shared, byte)
        if not text.isascii():
            # pycrdt adds bytes to an item's clock, which counts UTF-16 units: count them from the item's start.
            behind = _run_length(byte, lambda step: _item_at(shared, byte - step) == (client, clock - step))
            between = text.encode()[byte - behind : byte].decode(errors="ignore")
            clock += len(between.encode("utf-16-le")) // 2 - behind
    except BaseException as error:
        raise as_ours(error, Broken) from error
    return {**end, "item": {"client": client, "clock": clock}}


def index_of(shared: pycrdt.Text, position: dict[str, Any], text: str) -> int | None:
    """Where a position of a page is in the entry file's text, which is `text`; None for one in another text. The item
    that it names must be here."""
    item = position.get("item")
    if item is None:
        return None if position.get("tname") != MAIN else 0 if position.get("assoc", 0) < 0 else len(text)
    client, clock = item["client"], item["clock"]
    try:
        byte = _byte_of(shared, client, clock)
        if text.isascii():
            return min(byte, len(text))
        # The same bug in reverse.
        behind = _run_length(clock, lambda step: _byte_of(shared, client, clock - step) == byte - step)
        encoded = text.encode()
        rest = encoded[byte - behind :].decode(errors="ignore").encode("utf-16-le")[: 2 * behind]
        before = encoded[: byte - behind].decode(errors="ignore")
    except BaseException as error:
        raise as_ours(error, Broken) from error
    return len(before) + len(rest.decode("utf-16-le", "ignore"))


def _item_at(shared: pycrdt.Text, byte: int) -> tuple[int, int]:
    item = shared.sticky_index(byte, pycrdt.Assoc.AFTER).to_json()["item"]
    return item["client"], item["clock"]


def _byte_of(shared: pycrdt.Text, client: int, clock: int) -> int:
    position = {"item": {"client": client, "clock": clock}, "assoc": 0}
    return pycrdt.StickyIndex.from_json(position, shared).get_index()


def _run_length(most: int, holds: Callable[[int], bool]) -> int:
    """The largest step up to `most` for which `holds`: one by one, and by halving where the run is long."""
    reach = 0
    while reach < min(most, 32) and holds(reach + 1):
        reach += 1
    if reach < 32:
        return reach
    high = reach
    while high <= most and holds(high):
        reach, high = high, 2 * high
    high = min(high, most + 1)
    while high - reach > 1:
        half = (reach + high) // 2
        reach, high = (half, high) if holds(half) else (reach, half)
    return reach
