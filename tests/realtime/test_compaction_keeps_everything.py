"""Compaction against a replay of the raw log: random people, out of order, with updates that wait for others."""

from __future__ import annotations

import itertools

import pycrdt
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sessions_app.document import changes, rewrite, updates
from sessions_app.document.spans import Ranges

PIECES = st.sampled_from(["a", "if ", "\n", "é", "😀", "e\u0301", "\U0001d4b3y", "word "])


class Author:
    """Somebody's document; `edit` returns what it made of the text as one update."""

    def __init__(self, seed: bytes, client_id: int, file_id: str = "main") -> None:
        self.doc: pycrdt.Doc = pycrdt.Doc(client_id=client_id)
        self.doc.apply_update(seed)
        self.main = self.doc.get(file_id, type=pycrdt.Text)
        self.updates: list[bytes] = []
        self.doc.observe(lambda event: self.updates.append(event.update))

    def edit(self, share: float, deletes: int, piece: str) -> bytes | None:
        self.updates.clear()
        text = str(self.main)
        at = min(int(share * (len(text) + 1)), len(text))
        start = len(text[:at].encode())
        with self.doc.transaction():
            if deletes and at < len(text):
                del self.main[start : start + len(text[at : at + deletes].encode())]
            if piece:
                self.main.insert(start, piece)
        return updates.merge(self.updates) if self.updates else None


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """What people made who edit at once, and the rows of a log: some came late, twice, or not yet."""
    seed = changes.seed("".join(draw(st.lists(PIECES, max_size=6))), "main.py")
    # Of any size: pycrdt keeps clients in an order that depends on their ids.
    ids = draw(st.lists(st.integers(2, 2**53 - 1), min_size=1, max_size=3, unique=True))
    people = [Author(seed, client_id) for client_id in ids]
    made: list[bytes] = []
    for _ in range(draw(st.integers(0, 20))):
        author = draw(st.sampled_from(people))
        for other in draw(st.lists(st.sampled_from(made), max_size=3)) if made else []:
            author.doc.apply_update(other)
        update = author.edit(draw(st.floats(0, 1)), draw(st.integers(0, 4)), draw(st.just("") | PIECES))
        if update is not None:
            made.append(update)
    rows = made
    if draw(st.booleans()):
        rows = draw(st.permutations(rows)) + draw(st.lists(st.sampled_from(made), max_size=3) if made else st.just([]))
        rows = rows[: len(rows) - draw(st.integers(0, min(3, len(rows))))]
    return [seed, *made], [seed, *rows]


def replayed(rows: list[bytes]) -> pycrdt.Doc:
    doc: pycrdt.Doc = pycrdt.Doc()
    for row in rows:
        doc.apply_update(row)
    return doc


def shown(doc: pycrdt.Doc) -> tuple[str, dict, dict[int, int], Ranges]:
    return (
        str(doc.get("main", type=pycrdt.Text)),
        doc.get("files", type=pycrdt.Map).to_py(),
        updates.clocks_of(doc),
        updates.all_deletions(doc),
    )


@settings(max_examples=100, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(logs(), st.data())
@pytest.mark.slow
def test_log_compacted_at_any_points_opens_as_the_raw_log_does(log, data):
    """Without a row that waits for another, as replayed row by row; and with all that was made, once it is there."""
    made, rows = log
    cuts = sorted(data.draw(st.sets(st.integers(1, len(rows)), max_size=4)))
    snapshot: list[bytes] = []
    for first, last in itertools.pairwise([0, *cuts]):
        snapshot = [rewrite.compact([*snapshot, *rows[first:last]])]
    parts = [*snapshot, *rows[cuts[-1] if cuts else 0 :]]
    raw = updates.merge(rows)
    opened = shown(replayed([updates.merge(parts)]))
    assert opened == shown(replayed([raw]))
    if not updates.lacks(replayed([raw]), raw):
        assert opened == shown(updates.doc_in_order(rows))
    parts += [update for update in made if update not in rows]
    assert shown(replayed([updates.merge(parts)])) == shown(replayed([rewrite.compact(parts)])) == shown(replayed(made))
