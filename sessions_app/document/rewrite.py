"""Replace many updates by one that opens to the same document. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pycrdt

from sessions_app.document import blocks
from sessions_app.document.errors import Broken, Differs, Malformed
from sessions_app.document.texts import MAIN, is_file_id, listed_in, text_in
from sessions_app.document.updates import all_deletions, apply, clocks_of, doc_in_order, doc_of, lacks, merge

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def replay(updates: Iterable[bytes]) -> bytes:
    """Merge updates, applied in order, into one update that opens to the same document.

    Deleted content is dropped on the way, so memory depends on the size of the document, not of its history.
    """
    return doc_in_order(updates).get_update()


def compact(parts: Sequence[bytes]) -> bytes:
    """One update that opens as `parts` do one by one, which is proven by opening it.

    The content of deleted text is left out. While a part builds on updates that have not arrived, everything is kept:
    a document would drop it, and what pycrdt shows of it until then depends on the order, so the proof is that no
    block and no deletion is missing. Raises Malformed, Broken or Differs.
    """
    # In their order: see Replica.take_out.
    doc = doc_in_order(parts)
    if any(lacks(doc, part) for part in parts):
        merged = merge(parts)
        if not says_all(merged, parts):
            raise Differs("an update is missing")
        return merged
    compacted = doc.get_update()
    shown = doc_of(compacted)
    if any(lacks(shown, part) for part in parts):
        raise Differs("an update is missing")
    _require_same(doc, shown)
    return compacted


def says_all(merged: bytes, parts: Iterable[bytes]) -> bool:
    """Whether `merged` has every block and every deletion of `parts`. Raises Malformed."""
    _, kept = blocks.read(merged)
    return all(kept.contains(blocks.read(part)[1]) for part in parts)


def unmergeable(parts: Sequence[bytes], *, most: int) -> dict[int, str]:
    """Return index -> error of the parts that cannot be merged with those before them. Stops after `most`."""
    found: dict[int, str] = {}
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    for index, part in enumerate(parts):
        try:
            apply(doc, part)
        except (Malformed, Broken) as error:
            found[index] = str(error)
            if len(found) == most:
                break
            doc = pycrdt.Doc()
            # It may be partly applied.
            for good in [part for at, part in enumerate(parts[:index]) if at not in found]:
                apply(doc, good)
    return found


def _require_same(one: pycrdt.Doc[Any], other: pycrdt.Doc[Any]) -> None:
    if clocks_of(one) != clocks_of(other):
        raise Differs("the state vectors differ")
    if all_deletions(one) != all_deletions(other):
        raise Differs("the deletions differ")
    if listed_in(one) != listed_in(other):
        raise Differs("the files differ")
    for name in {MAIN, *one.keys(), *other.keys()}:
        if is_file_id(name) and text_in(one, name) != text_in(other, name):
            raise Differs("a text differs")
