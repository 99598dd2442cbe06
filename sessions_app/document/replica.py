"""A live copy of a document, into which a room merges edits. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pycrdt

from sessions_app.document import blocks, errors, positions, spans
from sessions_app.document.changes import blocks_bound, make_edits, most_edits
from sessions_app.document.diff import join_edits
from sessions_app.document.halves import HALF_BYTES, OUTSIDE_BMP
from sessions_app.document.opening import (
    PIECE_BYTES,
    Limits,
    Opened,
    Sliced,
    halves_of,
    opened,
    part_texts,
    sizes_after,
)
from sessions_app.document.slices import deletions
from sessions_app.document.texts import FILES_ROOT, MAIN, is_file_id, largest_text, text_in
from sessions_app.document.updates import EMPTY_STATE, EMPTY_UPDATE, clocks_in, clocks_of, deletions_in, merge, residual

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sessions_app.document.diff import Edit
    from sessions_app.document.spans import Ranges
    from sessions_app.document.updates import Updates

    Count = Callable[[int], None]

# So many steps take as long as reading one block of an update (blocks.py).
STEPS_PER_PART = 400
# pycrdt copies a block where it parts it, and thousands of parts of one long block take it minutes. Where an update
# would have it copy more than so much, TooLong asks for part_blocks() first.
COPIED_MAX_BYTES = 16 * 1024 * 1024
# What an update makes of a document at its limit is tried out while the document has no more blocks than this.
TRIED_BLOCKS_MAX = 50_000
# Into a client's list of blocks, pycrdt adds one in the middle for each that it parts: it moves so many as fast as it
# takes one step along a text.
_MOVED_PER_STEP = 128
_CUTS_WORTH_COUNTING = 100


def _uncounted(_parts: int) -> None: ...


class Replica:
    """A live copy of a document. Create, use and close it on one thread: pycrdt's subscriptions require it.

    No update of a socket is merged before what it builds on: pycrdt would hand out blocks that wait with the rest, and
    whoever had them would keep them when other blocks of the same numbers are merged here. Only a log from which a row
    was set aside may bring blocks that wait for those of that row.
    """

    def __init__(self, update: Updates | Opened, limits: Limits) -> None:
        found = update if isinstance(update, Opened) else opened(update)
        self._limits = limits
        self._doc = found.doc
        # How many clocks of each client are here: what get_state says, without reading it at every keystroke.
        self._clocks = found.clocks
        self._changes: list[bytes] = []
        self._subscription: Any = self._doc.observe(self._collect)
        # Upper bounds, made exact when they reach a limit: measuring at every keystroke would encode the document.
        self._document_bound = found.size
        self._text_bound = largest_text(self._doc)
        # An upper bound, too: the longest block of text.
        self._length_bound = self._text_bound
        # No update may part these from their first halves.
        self._halves = found.halves
        # Whether blocks have waited for others since this was loaded: then more may get in than an update holds.
        self.waits = found.waits
        # The blocks in the map of files; None until somebody changes it.
        self._files: Ranges | None = None
        self._main: pycrdt.Text = self._doc.get(MAIN, type=pycrdt.Text)
        self._main_subscription: Any = None
        self._deltas: list[list[dict[str, Any]]] = []

    def _collect(self, event: Any) -> None:
        self._changes.append(event.update)

    def _collect_delta(self, event: Any) -> None:
        self._deltas.append(event.delta)

    def close(self) -> None:
        self.watch(is_watched=False)
        if self._subscription is not None:
            self._doc.unobserve(self._subscription)
            self._subscription = None

    def watch(self, *, is_watched: bool = True) -> None:
        """Note, or stop noting, how the entry file's text changes, for take_deltas."""
        if is_watched and self._main_subscription is None:
            self._main_subscription = self._main.observe(self._collect_delta)
        elif not is_watched and self._main_subscription is not None:
            self._main.unobserve(self._main_subscription)
            self._main_subscription = None
            self._deltas.clear()

    def take_deltas(self) -> list[list[dict[str, Any]]]:
        """How the entry file's text has changed since the last call, as pycrdt's deltas, which count bytes."""
        deltas, self._deltas = self._deltas, []
        return deltas

    def text_bytes(self) -> int:
        return len(self._main)

    def state(self) -> bytes:
        return self._doc.get_state()

    def diff(self, state: bytes = EMPTY_STATE) -> bytes:
        """Return what a peer at this state vector lacks. Raises Malformed."""
        try:
            return self._doc.get_update(state)
        except BaseException as error:
            raise errors.as_ours(error, errors.Malformed) from error

    def text(self, file_id: str = MAIN) -> str:
        return text_in(self._doc, file_id)

    def has_news(self, update: bytes, count: Count = _uncounted) -> bool:
        """Whether the update has an insertion or a deletion that this replica lacks. Raises Malformed."""
        count(blocks.read(update)[1].parts)
        news = residual(self.state(), update)
        if news[0] != 0:
            return True
        # A diff always contains the whole delete set, so only a comparison reveals new deletions.
        deleted = deletions_in(news)
        if not deleted:
            return False
        known = deletions_in(self.diff(self.state()))
        count(sum(map(len, known.values())))
        return any(not spans.covers(known.get(client, []), ranges) for client, ranges in deleted.items())

    def meets(self, needs: Mapping[int, int]) -> bool:
        """Whether the clocks that an Early error asked for have arrived."""
        return all(self._clocks.get(client, 0) >= count for client, count in needs.items())

    def apply(
        self, update: bytes, count: Count = _uncounted, *, may_copy: bool = False, is_admitted: bool = False
    ) -> bytes | None:
        """Merge an update; returns what of it was new, None for nothing. Raises Malformed, Early, TooLarge or, unless
        it `may_copy` long blocks, TooLong before anything changed, Broken when it is half applied. What admit() let
        in `is_admitted`, whatever was typed since: half of an update is not a text that anybody wrote."""
        found, extent = blocks.read(update)
        count(extent.parts + self._steps(extent.cuts) // STEPS_PER_PART)
        self._check(found, extent)
        if not may_copy and len(extent.cuts) * self._length_bound > COPIED_MAX_BYTES:
            raise errors.TooLong
        # Typing continues where the last update ended, so there is no need to search for known parts.
        news = update if extent.continues(self._clocks) else residual(self.state(), update)
        if news == EMPTY_UPDATE:
            return None
        if not is_admitted:
            self._check_size(news, extent)
            self._check_halves(len(self._new_halves(extent)))
        has_values = any(block.is_value for block in found)
        if has_values and self._files is None:
            self._files = self._find_files()
        # Complete updates are merged as a whole, except for blocks that depend on each other in a cycle.
        builds_on_itself = any(clock >= self._clocks.get(client, 0) for client, clock in extent.neighbours)
        try:
            change = self._integrate(news)
        except errors.Broken:
            # pycrdt decodes an update before it merges it: nothing has changed when it cannot do that again.
            residual(EMPTY_STATE, news)
            raise
        self._text_bound += extent.inserted
        self._advance(extent)
        if self.waits:
            self._look_again()
        if builds_on_itself and residual(self.state(), news)[0] != 0:
            raise errors.Broken("a part of it still waits for others")
        if has_values and change is not None:
            self._require_values_in_files(change)
        return change

    def admit(self, sliced: Sliced) -> bool:
        """Check an update as a whole, as apply() does, before its slices are applied. Returns False when a text would
        pass its limit unless what the update deletes makes room, which tried() tells."""
        self._check(sliced.found, sliced.extent)
        self._check_halves(len(self._new_halves(sliced.extent)))
        self._require_room(len(sliced.update))
        inserted = sliced.extent.inserted
        return not inserted or largest_text(self._doc) + inserted <= self._limits.text_bytes

    def _check(self, found: list[blocks.Block], extent: blocks.Extent) -> None:
        if extent.has_empty:
            raise errors.Malformed("a block is empty")
        if any(block.is_value and block.root not in (None, FILES_ROOT) for block in found):
            raise errors.NotPlain("a value is not in the map of files")
        if any(end > self._clocks.get(client, 0) and not is_file_id(root) for client, end, root in extent.texts):
            raise errors.NoFile("a text is in no file")
        if needs := extent.needs(self._clocks):
            raise errors.Early(needs)
        self._check_characters(extent)

    def _steps(self, cuts: list[tuple[int, int]]) -> int:
        if len(cuts) <= _CUTS_WORTH_COUNTING:
            return 0
        # A replaced character names each of its two ends twice, and pycrdt parts a block there once.
        return len(set(cuts)) * self.blocks_bound() // _MOVED_PER_STEP

    def part_blocks(self) -> bytes | None:
        """Part the blocks of all texts into pieces, as TooLong asks for; returns the change, None when there is none.

        Between two pieces stands the mark of a character that was deleted at once: nobody sees it, and pycrdt does not
        join them again.
        """
        self._changes.clear()
        part_texts(self._doc)
        change = self._taken_change()
        self._length_bound = PIECE_BYTES
        return change

    def absorb(self, update: bytes) -> bytes | None:
        """Merge what the log holds already: what it may hold was asked when it was written. Returns what of it was
        new, None for nothing. Raises Malformed or Broken."""
        news = residual(self.state(), update)
        if news == EMPTY_UPDATE:
            return None
        change = self._integrate(news)
        self.waits = self.waits or residual(self.state(), news)[0] != 0
        if change is not None:
            # An update cannot add more text than it has bytes.
            self._text_bound += len(change)
            self._note(change)
        if self.waits:
            self._look_again()
        self._files = None
        return change

    def _integrate(self, news: bytes) -> bytes | None:
        self._changes.clear()
        try:
            self._doc.apply_update(news)
        except BaseException as error:
            raise errors.as_ours(error, errors.Broken) from error
        change = merge(self._changes)
        self._changes.clear()
        if change == EMPTY_UPDATE:
            return None
        self._document_bound += len(change)
        return change

    def _note(self, change: bytes) -> None:
        """Record a change from the log, which may cut characters that it has cut before."""
        try:
            extent = blocks.read(change)[1]
        except errors.Malformed:
            self._clocks = clocks_of(self._doc)
        else:
            self._advance(extent)
            self._halves.discard(extent.cuts)

    def _look_again(self) -> None:
        """Read the clocks again: more, or less, may have been merged than the updates claimed."""
        clocks = clocks_of(self._doc)
        if clocks != self._clocks:
            self._clocks = clocks
            self._halves = halves_of(self.diff())
            self._halves.cut_off(clocks)

    def _advance(self, extent: blocks.Extent) -> None:
        self._length_bound += extent.run
        self._halves.add(self._new_halves(extent))
        for client, written in extent.written.items():
            if written and written[-1][1] > self._clocks.get(client, 0):
                self._clocks[client] = written[-1][1]

    def _new_halves(self, extent: blocks.Extent) -> list[tuple[int, int]]:
        """Return the halves in new blocks. Blocks already here are ignored, whatever the update claims about them."""
        return [half for half in extent.halves if half[1] >= self._clocks.get(half[0], 0)]

    def _check_characters(self, extent: blocks.Extent) -> None:
        """Raise HalfCharacter for an update that builds on, deletes or continues half of one: pycrdt and Yjs make
        different texts of that, and pycrdt another one when it loads the document than when it merged it. Also of one
        that is deleted: the log has it still."""
        if not extent.halves and not self._halves:
            return
        own = set(self._new_halves(extent))
        continued = [(client, self._clocks.get(client, 0)) for client in extent.written]
        if any(place in own for place in (*extent.cuts, *continued)) or any(
            place in self._halves for place in continued
        ):
            raise errors.HalfCharacter
        if parted := [place for place in extent.cuts if place in self._halves]:
            raise errors.HalfCharacter(parted)

    def take_out(self, parted: Sequence[tuple[int, int]]) -> bytes:
        """Delete whole characters, given by their second halves, also if they are deleted already; returns the change.

        What is deleted has no halves: whatever stands between them stands at the same place everywhere. But it must be
        merged, and loaded, in an update of its own: of one update pycrdt merges insertions before deletions.
        """
        (change,) = deletions([(client, clock - 1, clock + 1) for client, clock in sorted(set(parted))], len(parted))
        self._integrate(change)
        self._halves.discard(parted)
        return change

    def edit(self, edits: Sequence[Edit], count: Count = _uncounted) -> bytes | None:
        """Change the entry file's text, as a page of this process would; returns the change, None when there is none.
        Raises TooLarge before anything changed. `count` is told of how many parts of an update this does the work."""
        block_count = self.blocks_bound()
        if len(edits) > (most := most_edits(block_count)):
            edits = join_edits(edits, self.text(), most)
        count(len(edits) * block_count // STEPS_PER_PART)
        inserted = sum(len(edit.insert.encode()) for edit in edits)
        if inserted:
            self._check_room(inserted, sum(edit.delete for edit in edits), len(edits))
            self._check_halves(sum(len(OUTSIDE_BMP.findall(edit.insert.encode())) for edit in edits))
        self._changes.clear()
        try:
            with self._doc.transaction():
                make_edits(self._main, edits)
        except BaseException as error:
            raise errors.as_ours(error, errors.Broken) from error
        self._text_bound += inserted
        return self._taken_change()

    def _taken_change(self) -> bytes | None:
        """Return what an edit of this process changed."""
        change = merge(self._changes) if self._changes else None
        self._changes.clear()
        if change is not None:
            self._document_bound += len(change)
            self._advance(blocks.read(change)[1])
        return change

    @property
    def size_bound(self) -> int:
        """Return an upper bound of the size of the document."""
        return self._document_bound

    def blocks_bound(self) -> int:
        """Return an upper bound of the number of blocks."""
        return blocks_bound(self._doc, self._document_bound)

    def _check_room(self, inserted: int, deleted: int, count: int) -> None:
        if inserted > deleted and len(self._main) + inserted - deleted > self._limits.text_bytes:
            raise errors.TooLarge("text")
        # Each insertion is a block with its neighbours' ids; deletions are ranges.
        self._require_room(inserted + 64 * count)

    def _require_room(self, size: int) -> None:
        """Raise TooLarge where the document may not grow so much. Measured only if need be: many blocks take long."""
        if self._document_bound + size > self._limits.document_bytes:
            self._document_bound = len(self._doc.get_update())
            if self._document_bound + size > self._limits.document_bytes:
                raise errors.TooLarge("document")

    def position_at(self, index: int, text: str) -> dict[str, Any]:
        """A place in the entry file's text, which is `text`, as pages write it: before the character there now."""
        return positions.position_at(self._main, index, text)

    def index_of(self, position: dict[str, Any], text: str) -> int | None:
        """Where a position of a page is in the entry file's text, which is `text`; None when it is not there."""
        item = position.get("item")
        # pycrdt panics at an item that has not arrived.
        if item is not None and item["clock"] >= clocks_in(self.state()).get(item["client"], 0):
            return None
        return positions.index_of(self._main, position, text)

    def _find_files(self) -> Ranges:
        try:
            merged, _ = blocks.read(self._doc.get_update())
        except errors.NotPlain:
            # Something else got in before that was refused: files can be added, and no path changed.
            merged = []
        return blocks.ranges_in(FILES_ROOT, merged, {})

    def _require_values_in_files(self, change: bytes) -> None:
        """Where a value went is known once it is merged."""
        merged, _ = blocks.read(change)
        self._files = blocks.ranges_in(FILES_ROOT, merged, self._files or {})
        if not all(blocks.covers(self._files, block) for block in merged if block.is_value):
            raise errors.Broken("a value is not in the map of files")

    def _check_halves(self, more: int) -> None:
        """Those of deleted characters stay until the log is compacted and loaded again."""
        if more and HALF_BYTES * (len(self._halves) + more) > self._limits.document_bytes:
            raise errors.TooLarge("document")

    def _check_size(self, news: bytes, extent: blocks.Extent) -> None:
        size = len(news)
        fits_text = self._text_bound + extent.inserted <= self._limits.text_bytes
        fits = fits_text and self._document_bound + size <= self._limits.document_bytes
        if fits or not any(extent.written.values()):
            return
        before = self._doc.get_update()
        self._document_bound, self._text_bound = len(before), largest_text(self._doc)
        # To try would take too long where there are very many blocks.
        document_bytes, text_bytes = len(before) + size, self._text_bound + extent.inserted
        if self.blocks_bound() <= TRIED_BLOCKS_MAX:
            document_bytes, text_bytes = sizes_after(before, news)
        if document_bytes > self._limits.document_bytes and document_bytes > len(before):
            raise errors.TooLarge("document")
        if text_bytes > self._limits.text_bytes and text_bytes > self._text_bound:
            raise errors.TooLarge("text")
