"""The merge, pure: Yjs updates (v1 bytes) in, texts and updates out. documents.py and realtime/rooms.py call it.

A document has a root map `files` (file id -> path) and one root text per file id. A deleted file leaves the map and
keeps its text, so that whatever its writers have not sent yet merges into it; the server notes in a root map `deleted`
(file id -> JSON) what it was called, and who deleted it when.
pycrdt counts text positions in UTF-8 bytes, and its panics are BaseException: both stay inside this module.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import uuid
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pycrdt

from sessions_app import blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

# One update, or several that are applied in their order.
Updates = bytes | Sequence[bytes]
FILES = "files"
DELETED = "deleted"
_FILES_ROOT = FILES.encode()
MAIN = "main"
MAX_FILES = 50
# Of deleted files, which anybody may make more of by writing into roots that no file ever had.
MAX_DELETED = 100
EMPTY_UPDATE = b"\x00\x00"
# The state vector of who has nothing.
EMPTY_STATE = b"\x00"
# The same text seeds to the same bytes, so a seed applied twice does not double it.
SEED_CLIENT_ID = 1
_FILE_ID = re.compile(r"f_[0-9a-f]{32}")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_WORDS = re.compile(r"\w+|\s+|.", re.DOTALL)
# In UTF-8.
_OUTSIDE_BMP = re.compile(rb"[\xf0-\xf4][\x80-\xbf]{3}")
# Beyond so many differences, neighbours are replaced together with the text between them.
EDITS_MAX = 300
_ANCHORS_MAX = 5000
# pycrdt walks the blocks of a text up to each place that it edits: one change takes at most so many steps (some 50 ms).
STEPS_MAX = 2_000_000
# So many steps take as long as reading one block of an update (blocks.py).
STEPS_PER_PART = 200
# A block has at least a kind, a neighbour (two numbers) and a length besides its text, which for a fragmented document
# are larger than a byte each.
_BLOCK_BYTES = 5
# pycrdt copies a block where it parts it, and thousands of parts of one long block take it minutes. Where an update
# would have it copy more than so much, long blocks are parted first into pieces of this size.
COPIED_MAX_BYTES = 16 * 1024 * 1024
PIECE_BYTES = 4096
# So many blocks and deletions are merged at once, which takes some milliseconds; a larger update comes in slices.
SLICE_PARTS = 500
# What an update makes of a document at its limit is tried out while the document has no more blocks than this.
TRIED_BLOCKS_MAX = 50_000
# Below this size it is not read to find out.
SLICED_BYTES = 8 * 1024
# Into a client's list of blocks, pycrdt adds one in the middle for each that it parts: it moves so many as fast as it
# takes one step along a text.
_MOVED_PER_STEP = 16
# Below so many places it is not worth asking.
_FEW_CUTS = 100
# What pycrdt needs to merge n updates grows with the square of n: 37,000 keystrokes take 20 s at once, 0.3 s in groups.
_MERGE_AT_ONCE = 16


class Malformed(ValueError):
    """Bytes that are no update or no state vector. Nothing was changed."""


class NotPlain(Malformed):
    """The update holds something that no text of ours may hold. Nothing was changed."""


class NoFile(NotPlain):
    """The update holds a text that no file could ever show. Nothing was changed."""


class HalfCharacter(Malformed):
    """The update cuts characters in two. Nothing was changed. Once those in `parted` are taken out it can be merged;
    with none, it cannot."""

    def __init__(self, parted: Sequence[tuple[int, int]] = ()) -> None:
        super().__init__("a character is cut in two")
        self.parted = parted


class Early(ValueError):
    """The update builds on what has not arrived: of each client in `needs`, so many clocks. Nothing was changed."""

    def __init__(self, needs: dict[int, int]) -> None:
        super().__init__(f"blocks of {len(needs)} clients are not here")
        self.needs = needs


class TooLarge(ValueError):
    """The update would grow a text or the document past its limit. Nothing was changed."""


class TooLong(ValueError):
    """A block of text would be parted in too many places: part_blocks() comes first. Nothing was changed."""


class Broken(RuntimeError):
    """This replica must be thrown away and loaded again: pycrdt failed half-way through an update, or merged values
    into a text."""


class Differs(RuntimeError):
    """What was merged does not say the same as its parts do one after the other."""


@dataclass(frozen=True, slots=True)
class Limits:
    text_bytes: int
    document_bytes: int


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace `delete` bytes at byte `start` of the old text (UTF-8, never inside a code point) by `insert`."""

    start: int
    delete: int
    insert: str


def is_file_id(name: str) -> bool:
    """Whether a root of this name may hold a file's text."""
    return name == MAIN or _FILE_ID.fullmatch(name) is not None


def normalise(text: str) -> str:
    """Newlines become \\n and lone surrogates U+FFFD: what a shared text may hold."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def new_file_id() -> str:
    return f"f_{uuid.uuid4().hex}"


def seed(text: str, file_name: str, others: Mapping[str, str] | None = None) -> bytes:
    """The first update of a new document: its entry file, and `others` by path."""
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=SEED_CLIENT_ID)
    paths, texts = {MAIN: file_name}, {MAIN: text}
    for path, other in (others or {}).items():
        file_id = new_file_id()
        paths[file_id], texts[file_id] = path, other
    with doc.transaction():
        doc[FILES] = pycrdt.Map(paths)
        for file_id, content in texts.items():
            doc[file_id] = pycrdt.Text(normalise(content))
    return doc.get_update()


def merge(updates: Iterable[bytes]) -> bytes:
    """One update with the content of all, in any order, also of those whose dependencies are absent."""
    parts = [update for update in updates if update != EMPTY_UPDATE]
    try:
        while len(parts) > 1:
            groups = (parts[at : at + _MERGE_AT_ONCE] for at in range(0, len(parts), _MERGE_AT_ONCE))
            parts = [pycrdt.merge_updates(*group) if len(group) > 1 else group[0] for group in groups]
    except BaseException as error:
        raise _as_ours(error, Malformed) from error
    return parts[0] if parts else EMPTY_UPDATE


def replay(updates: Iterable[bytes]) -> bytes:
    """One update that opens as the updates do in their order.

    What they deleted again is left out on the way: memory follows the size of the document, not of its history.
    """
    return _opened(updates).get_update()


def compact(parts: Sequence[bytes]) -> bytes:
    """One update that opens as `parts` do one by one, which is proven by opening it.

    The content of deleted text is left out. While a part builds on updates that have not arrived, everything is kept:
    a document would drop it, and what pycrdt shows of it until then depends on the order, so the proof is that no
    block and no deletion is missing. Raises Malformed, Broken or Differs.
    """
    # In their order: see Replica.take_out.
    doc = _opened(parts)
    if any(_lacks(doc, part) for part in parts):
        merged = merge(parts)
        if not says_all(merged, parts):
            raise Differs("an update is missing")
        return merged
    compacted = doc.get_update()
    shown = _doc_of(compacted)
    if any(_lacks(shown, part) for part in parts):
        raise Differs("an update is missing")
    _require_same(doc, shown)
    return compacted


def says_all(merged: bytes, parts: Iterable[bytes]) -> bool:
    """Whether every block and every deletion of `parts` is in `merged`. Raises Malformed."""
    try:
        _, kept = blocks.read(merged)
        return all(kept.contains(blocks.read(part)[1]) for part in parts)
    except (blocks.Unreadable, blocks.NotPlain) as error:
        raise Malformed(str(error)) from error


def unmergeable(parts: Sequence[bytes], *, most: int) -> dict[int, str]:
    """Index -> error of the parts that cannot be merged with those before them; stops after `most`."""
    found: dict[int, str] = {}
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    for index, part in enumerate(parts):
        try:
            _apply(doc, part)
        except (Malformed, Broken) as error:
            found[index] = str(error)
            if len(found) == most:
                break
            doc = pycrdt.Doc()
            # It may be half applied.
            for good in [part for at, part in enumerate(parts[:index]) if at not in found]:
                _apply(doc, good)
    return found


def _require_same(one: pycrdt.Doc[Any], other: pycrdt.Doc[Any]) -> None:
    if _clocks(one) != _clocks(other):
        raise Differs("the state vectors differ")
    if _all_deletions(one) != _all_deletions(other):
        raise Differs("the deletions differ")
    if _listed(one) != _listed(other):
        raise Differs("the files differ")
    for name in {MAIN, *one.keys(), *other.keys()}:
        if is_file_id(name) and _text(one, name) != _text(other, name):
            raise Differs("a text differs")


def _residual(state: bytes, update: bytes) -> bytes:
    """What of the update is not in a document of this state vector, and all its deletions."""
    try:
        return pycrdt.get_update(update, state)
    except BaseException as error:
        raise _as_ours(error, Malformed) from error


def _lacks(doc: pycrdt.Doc[Any], update: bytes) -> bool:
    before = doc.get_state()
    residual = _residual(before, update)
    if residual[0] != 0:
        return True
    deleted = _deletions(residual)
    if not deleted:
        return False
    state = _state_vector(before)
    return any(start + length > state.get(client, 0) for client, ranges in deleted.items() for start, length in ranges)


def _clocks(doc: pycrdt.Doc[Any]) -> dict[int, int]:
    """The state vector; its bytes have the clients in any order."""
    return {client: clock for client, clock in _state_vector(doc.get_state()).items() if clock}


def _all_deletions(doc: pycrdt.Doc[Any]) -> blocks.Ranges:
    deleted = _deletions(doc.get_update(doc.get_state()))
    return {client: blocks.joined((at, at + length) for at, length in ranges) for client, ranges in deleted.items()}


def _apply(doc: pycrdt.Doc[Any], update: bytes) -> None:
    if update == EMPTY_UPDATE:
        return
    try:
        doc.apply_update(update)
    except BaseException as error:
        raise _as_ours(error, Broken) from error


def text_of(update: Updates, file_id: str = MAIN) -> str:
    return _text(_doc_of(update), file_id)


def files_of(update: Updates) -> dict[str, bytes]:
    """Path -> text of every listed file, the entry file first. Paths are relative and stay inside; none is lost."""
    doc = _doc_of(update)
    found: dict[str, bytes] = {}
    for file_id, path in _listed(doc).items():
        found[_free_path(path, found)] = _text(doc, file_id).encode()
    return found


@dataclass(frozen=True, slots=True)
class File:
    """A listed file: its text's root, a path that no other listed file has, and the text."""

    id: str
    path: str
    text: str


def listed_files(update: Updates) -> list[File]:
    """Every listed file as files_of has them, the entry file first."""
    return _listed_files(_doc_of(update))


def _listed_files(doc: pycrdt.Doc[Any]) -> list[File]:
    taken: dict[str, bytes] = {}
    found: list[File] = []
    for file_id, path in _listed(doc).items():
        free = _free_path(path, taken)
        taken[free] = b""
        found.append(File(file_id, free, _text(doc, file_id)))
    return found


@dataclass(frozen=True, slots=True)
class DeletedFile(File):
    """A file that is not listed any more. Only the server's own deletions say whose they were, and when."""

    user_id: str | None
    deleted_at: str | None


def deleted_files(update: Updates) -> list[DeletedFile]:
    """Every file whose text is here and that is not listed, the one that was deleted last first."""
    return _deleted(_doc_of(update))


def all_files(update: Updates) -> list[File]:
    """Every file, listed or deleted, the entry file first."""
    doc = _doc_of(update)
    return [*_listed_files(doc), *_deleted(doc)]


def _deleted(doc: pycrdt.Doc[Any]) -> list[DeletedFile]:
    listed, notes = _listed(doc), _notes(doc)
    roots = {name for name in doc.keys() if _FILE_ID.fullmatch(name)}  # noqa: SIM118
    found: list[DeletedFile] = []
    for file_id in sorted((roots | notes.keys()) - listed.keys()):
        note, text = notes.get(file_id, {}), _text(doc, file_id)
        if text or note:
            path = _safe_path(note.get("path")) or file_id
            found.append(DeletedFile(file_id, path, text, note.get("user"), note.get("at")))
    return sorted(found, key=lambda file: file.deleted_at or "", reverse=True)[:MAX_DELETED]


def _notes(doc: pycrdt.Doc[Any]) -> dict[str, dict[str, str]]:
    """What removal() wrote. A socket can put a text in the place of a note, which then says nothing."""
    try:
        notes = doc.get(DELETED, type=pycrdt.Map).to_py() or {}
    except BaseException as error:
        raise _as_ours(error, Broken) from error
    return {file_id: _note(note) for file_id, note in notes.items()}


def _note(written: object) -> dict[str, str]:
    try:
        note = json.loads(written) if isinstance(written, str) else None
    except (ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}


def replacement(update: Updates, text: str, file_id: str = MAIN) -> bytes | None:
    """A small change that turns the file's text into `text`, as one update; None when it is that text already."""
    return _changed(update, lambda doc, blocks: _replace(doc, file_id, normalise(text), blocks))


def path_set(update: Updates, file_id: str, path: str, text: str | None = None) -> bytes | None:
    """The change that lists the file under this path, a new one with its text; None when that is so already."""
    return files_set(update, {file_id: (path, text)})


def files_set(update: Updates, files: Mapping[str, tuple[str | None, str | None]]) -> bytes | None:
    """The change that gives these files a path, a text or both, and takes them from the deleted ones."""

    def edit(doc: pycrdt.Doc[Any], blocks: int) -> None:
        paths, notes = doc.get(FILES, type=pycrdt.Map), doc.get(DELETED, type=pycrdt.Map)
        for file_id, (path, text) in files.items():
            if path is not None and paths.get(file_id) != path:
                paths[file_id] = path
            if file_id in notes:
                del notes[file_id]
            if text is not None:
                _replace(doc, file_id, normalise(text), blocks)

    return _changed(update, edit)


def removal(update: Updates, file_id: str, path: str, user_id: str, deleted_at: str, most_kept: int) -> bytes | None:
    """The change that takes the file from the list. Of the texts of deleted files the newest are kept, up to
    `most_kept` bytes."""
    note = json.dumps({"path": path, "user": user_id, "at": deleted_at}, ensure_ascii=False)

    def edit(doc: pycrdt.Doc[Any], blocks: int) -> None:
        paths, notes = doc.get(FILES, type=pycrdt.Map), doc.get(DELETED, type=pycrdt.Map)
        if file_id in paths:
            del paths[file_id]
        notes[file_id] = note
        kept = 0
        for file in _deleted(doc):
            kept += len(file.text.encode())
            if kept > most_kept:
                _replace(doc, file.id, "", blocks)
                if file.id in notes:
                    del notes[file.id]

    return _changed(update, edit)


def _replace(doc: pycrdt.Doc[Any], file_id: str, new: str, blocks: int) -> None:
    shared: pycrdt.Text = doc.get(file_id, type=pycrdt.Text)
    old = str(shared)
    edits = edits_between(old, new, most=_most_edits(blocks))
    if len(shared) != len(old.encode()):
        # Something embedded takes a position of its own: positions in `old` would miss.
        edits = [Edit(0, len(shared), new)]
    _make(shared, edits)


def _make(shared: pycrdt.Text, edits: Sequence[Edit]) -> None:
    """Apply edits that are sorted by their places in the text as it is.

    The one in the middle goes first, then those behind it, then those before it: each parts a block that the others
    have made smaller, where one order from end to end would copy nearly the whole text for every edit.
    """
    waiting = [(0, len(edits), 0)]
    while waiting:
        first, last, shift = waiting.pop()
        if first == last:
            continue
        middle = (first + last) // 2
        edit = edits[middle]
        at = edit.start + shift
        if edit.delete:
            del shared[at : at + edit.delete]
        if edit.insert:
            shared.insert(at, edit.insert)
        waiting.append((first, middle, shift))
        waiting.append((middle + 1, last, shift + len(edit.insert.encode()) - edit.delete))


def _most_edits(blocks: int) -> int:
    return max(1, min(EDITS_MAX, STEPS_MAX // blocks))


def _blocks_bound(doc: pycrdt.Doc[Any], size: int) -> int:
    """At most so many blocks has a document of this size, without reading them: what is not text belongs to blocks."""
    texts = sum(len(doc.get(name, type=pycrdt.Text)) for name in doc.keys() if is_file_id(name))  # noqa: SIM118
    return max(1, (size - texts) // _BLOCK_BYTES)


def _changed(update: Updates, edit: Callable[[pycrdt.Doc[Any], int], None]) -> bytes | None:
    """What `edit` does to the document of this update, as one update; None when it does nothing. `edit` is told how
    many blocks the document has at most."""
    doc = _doc_of(update)
    changes: list[bytes] = []
    subscription = doc.observe(lambda event: changes.append(event.update))
    try:
        blocks = _blocks_bound(doc, _size(update))
        with doc.transaction():
            edit(doc, blocks)
    except BaseException as error:
        raise _as_ours(error, Broken) from error
    finally:
        doc.unobserve(subscription)
    made = merge(changes)
    return made if made != EMPTY_UPDATE else None


def grows_past(limit: int, update: Updates, change: bytes) -> bool:
    """Whether `change` makes the document larger than `limit`, as settings.DOCUMENT_MAX_BYTES counts it."""
    if _size(update) + len(change) <= limit:
        return False
    doc = _doc_of(update)
    before = len(doc.get_update())
    _apply(doc, change)
    after = len(doc.get_update())
    return after > limit and after > before


def _size(update: Updates) -> int:
    return sum(map(len, _parts(update)))


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


def joined(edits: Sequence[Edit], old: str, most: int) -> list[Edit]:
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
    old_parts, new_parts = levels[0].findall(old), levels[0].findall(new)
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
        # The same once more between the anchors of a sample, where that is less work than this was.
        is_small = 2 * (last - first + len(insert)) <= len(old) + len(new)
        found += _changes(old[first:last], insert, at + first, levels[not (is_sample and is_small) :], most)
    return found


def _anchors(old: list[str], new: list[str]) -> tuple[list[tuple[int, int]], bool]:
    """Positions of parts that occur once in each, as many as keep their order (longest increasing subsequence); and
    whether only a sample of them was looked at, because they are many."""
    counts_old, counts_new = Counter(old), Counter(new)
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


@dataclass(slots=True)
class Opened:
    """A document that was opened, in any thread, for a Replica, and what that needs to know of it."""

    doc: pycrdt.Doc[Any]
    size: int
    clocks: dict[int, int]
    halves: blocks.Halves
    # Whether blocks wait for others.
    waits: bool


def opened(update: Updates) -> Opened:
    """Raises Malformed or Broken."""
    doc = _opened(_parts(update))
    clocks = _clocks(doc)
    halves = halves_of(update)
    state = doc.get_state()
    waits = any(_residual(state, part)[0] != 0 for part in _parts(update))
    if waits:
        halves.cut_off(clocks)
    return Opened(doc, _size(update), clocks, halves, waits)


@dataclass(slots=True)
class Sliced:
    """An update that was read, in any thread, and is merged in slices."""

    update: bytes
    extent: blocks.Extent
    slices: list[bytes]


def sliced(update: bytes) -> Sliced:
    """Raises Malformed or NotPlain."""
    _, extent = _read(update)
    return Sliced(update, extent, blocks.slices(update, extent, SLICE_PARTS))


def tried(document: bytes, sliced: Sliced, limits: Limits) -> Sliced:
    """The update in slices that delete first, so that no text grows past what it is in the end. That is tried out on a
    copy of the document, in any thread. Raises TooLarge or Malformed."""
    slices = blocks.slices(sliced.update, sliced.extent, SLICE_PARTS, deletions_first=True)
    try:
        doc = _opened(pieces(document))
        _part_texts(doc)
        for part in slices:
            _apply(doc, part)
        text_bytes = _largest_text(doc)
    except Broken as error:
        raise Malformed(str(error)) from error
    if text_bytes > limits.text_bytes:
        raise TooLarge("text")
    return Sliced(sliced.update, sliced.extent, slices)


def pieces(update: bytes) -> list[bytes]:
    """The update in slices, each of which leaves other threads a turn; whole where it cannot be read."""
    if len(update) > SLICED_BYTES:
        with contextlib.suppress(Malformed):
            return sliced(update).slices
    return [update]


def _uncounted(_parts: int) -> None: ...


def _parts(update: Updates) -> Sequence[bytes]:
    return (update,) if isinstance(update, bytes) else update


def halves_of(update: Updates) -> blocks.Halves:
    """Of a document as the log has it. What it has cut already stays so, and is left to whoever edits there."""
    found = blocks.Halves()
    # Most documents have no such character, and then need not be read.
    if any(_OUTSIDE_BMP.search(part) for part in _parts(update)):
        # Something else may have got in before that was refused.
        with contextlib.suppress(Malformed):
            extent = _read(merge(_parts(update)))[1]
            found.add(extent.halves)
            found.discard(extent.cuts)
    return found


class Replica:
    """One live copy of a document. Create, use and close it on one thread: pycrdt's subscriptions require it.

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
        self._text_bound = _largest_text(self._doc)
        # Of a block of text.
        self._length_bound = self._text_bound
        # Which nothing may part from the first halves.
        self._halves = found.halves
        # Whether blocks have waited for others since this was loaded: then more may get in than an update holds.
        self.waits = found.waits
        # Which blocks are in the map of files; None until somebody changes it.
        self._files: blocks.Ranges | None = None
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
        """Whether to note how the entry file's text changes, for take_deltas."""
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
        """What somebody at this state vector lacks. Raises Malformed."""
        try:
            return self._doc.get_update(state)
        except BaseException as error:
            raise _as_ours(error, Malformed) from error

    def text(self, file_id: str = MAIN) -> str:
        return _text(self._doc, file_id)

    def has_news(self, update: bytes, count: Callable[[int], None] = _uncounted) -> bool:
        """Whether the update holds anything, insertion or deletion, that this replica lacks. Raises Malformed.

        `count` is told of how many parts were read.
        """
        count(_read(update)[1].parts)
        residual = _residual(self.state(), update)
        if residual[0] != 0:
            return True
        # A diff always carries the whole delete set, so only a comparison tells a deletion that is new.
        deleted = _deletions(residual)
        if not deleted:
            return False
        known = _deletions(self.diff(self.state()))
        count(sum(map(len, known.values())))
        return any(not _covers(known.get(client, []), ranges) for client, ranges in deleted.items())

    def meets(self, needs: Mapping[int, int]) -> bool:
        """Whether as much of each client is here as an Early asked for."""
        return all(self._clocks.get(client, 0) >= count for client, count in needs.items())

    def apply(
        self, update: bytes, count: Callable[[int], None] = _uncounted, *, may_copy: bool = False
    ) -> bytes | None:
        """Merge an update; returns what of it was new, None for nothing. Raises Malformed, Early, TooLarge or, unless
        it `may_copy` long blocks, TooLong before anything changed, Broken when it is half applied. `count` is told of
        how many parts it was read, before anything else is done with it."""
        found, extent = _read(update)
        count(extent.parts + self._steps(len(extent.cuts)) // STEPS_PER_PART)
        self._check(found, extent)
        if not may_copy and len(extent.cuts) * self._length_bound > COPIED_MAX_BYTES:
            raise TooLong
        # What is typed begins where the last update ended, and needs no search for what is here already.
        news = update if extent.continues(self._clocks) else _residual(self.state(), update)
        if news == EMPTY_UPDATE:
            return None
        self._check_size(news, extent)
        self._check_halves(len(self._new_halves(extent)))
        has_values = any(block.is_value for block in found)
        if has_values and self._files is None:
            self._files = self._find_files()
        # What is whole is merged whole, but for blocks that build on one another in a ring.
        builds_on_itself = any(clock >= self._clocks.get(client, 0) for client, clock in extent.neighbours)
        try:
            change = self._merge(news)
        except Broken:
            # pycrdt decodes an update before it merges it: nothing has changed when it cannot do that again.
            _residual(EMPTY_STATE, news)
            raise
        self._text_bound += extent.inserted
        self._advance(extent)
        if self.waits:
            self._look_again()
        if builds_on_itself and _residual(self.state(), news)[0] != 0:
            raise Broken("a part of it still waits for others")
        if has_values and change is not None:
            self._require_values_in_files(change)
        return change

    def has_room(self, sliced: Sliced) -> bool:
        """Whether no text passes its limit even if nothing that the update deletes makes room: otherwise tried() tells.
        Raises Early, or TooLarge for the document, as apply() would of the whole."""
        if needs := sliced.extent.needs(self._clocks):
            raise Early(needs)
        document_bytes, text_bytes = len(self._doc.get_update()), _largest_text(self._doc)
        if document_bytes + len(sliced.update) > self._limits.document_bytes:
            raise TooLarge("document")
        return not sliced.extent.inserted or text_bytes + sliced.extent.inserted <= self._limits.text_bytes

    def _check(self, found: list[blocks.Block], extent: blocks.Extent) -> None:
        if extent.has_empty:
            raise Malformed("a block is empty")
        if any(block.is_value and block.root not in (None, _FILES_ROOT) for block in found):
            raise NotPlain("a value is not in the map of files")
        if any(end > self._clocks.get(client, 0) and not is_file_id(root) for client, end, root in extent.texts):
            raise NoFile("a text is in no file")
        if needs := extent.needs(self._clocks):
            raise Early(needs)
        self._check_characters(extent)

    def _steps(self, cuts: int) -> int:
        return cuts * self.blocks_bound() // _MOVED_PER_STEP if cuts > _FEW_CUTS else 0

    def part_blocks(self) -> bytes | None:
        """Part the blocks of all texts into pieces, as TooLong asks for; returns the change, None when there is none.

        Between two pieces stands the mark of a character that was deleted at once: nobody sees it, and pycrdt does not
        join them again.
        """
        self._changes.clear()
        _part_texts(self._doc)
        change = self._taken_change()
        self._length_bound = PIECE_BYTES
        return change

    def absorb(self, update: bytes) -> bytes | None:
        """Merge what the log holds already: what it may hold was asked when it was written. Returns what of it was
        new, None for nothing. Raises Malformed or Broken."""
        news = _residual(self.state(), update)
        if news == EMPTY_UPDATE:
            return None
        change = self._merge(news)
        self.waits = self.waits or _residual(self.state(), news)[0] != 0
        if change is not None:
            # An update cannot add more text than it has bytes.
            self._text_bound += len(change)
            self._note(change)
        if self.waits:
            self._look_again()
        self._files = None
        return change

    def _merge(self, news: bytes) -> bytes | None:
        self._changes.clear()
        try:
            self._doc.apply_update(news)
        except BaseException as error:
            raise _as_ours(error, Broken) from error
        change = merge(self._changes)
        self._changes.clear()
        if change == EMPTY_UPDATE:
            return None
        self._document_bound += len(change)
        return change

    def _note(self, change: bytes) -> None:
        """Of what the log holds, which may cut what it has cut already."""
        try:
            extent = _read(change)[1]
        except Malformed:
            self._clocks = _clocks(self._doc)
        else:
            self._advance(extent)
            self._halves.discard(extent.cuts)

    def _look_again(self) -> None:
        """More may have got in than was told, or less."""
        clocks = _clocks(self._doc)
        if clocks != self._clocks:
            self._clocks = clocks
            self._halves = halves_of(self.diff())
            self._halves.cut_off(clocks)

    def _advance(self, extent: blocks.Extent) -> None:
        self._length_bound += extent.run
        self._halves.add(self._new_halves(extent))
        for client, spans in extent.written.items():
            if spans and spans[-1][1] > self._clocks.get(client, 0):
                self._clocks[client] = spans[-1][1]

    def _new_halves(self, extent: blocks.Extent) -> list[tuple[int, int]]:
        """Of blocks that are here already, an update may say what it likes."""
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
            raise HalfCharacter
        if parted := [place for place in extent.cuts if place in self._halves]:
            raise HalfCharacter(parted)

    def take_out(self, parted: Sequence[tuple[int, int]]) -> bytes:
        """Delete whole characters, given by their second halves, also if they are deleted already; returns the change.

        What is deleted has no halves: whatever stands between them stands at the same place everywhere. But it must be
        merged, and loaded, in an update of its own: of one update pycrdt merges insertions before deletions.
        """
        spans: dict[int, list[int]] = {}
        for client, clock in sorted(set(parted)):
            spans.setdefault(client, []).append(clock - 1)
        change = bytearray(b"\0" + blocks.varuint(len(spans)))
        for client, clocks in spans.items():
            change += blocks.varuint(client) + blocks.varuint(len(clocks))
            for clock in clocks:
                change += blocks.varuint(clock) + blocks.varuint(2)
        self._merge(bytes(change))
        self._halves.discard(parted)
        return bytes(change)

    def edit(self, edits: Sequence[Edit], count: Callable[[int], None] = _uncounted) -> bytes | None:
        """Change the entry file's text, as a page of this process would; returns the change, None when there is none.
        Raises TooLarge before anything changed. `count` is told of how many parts of an update this does the work."""
        blocks = self.blocks_bound()
        edits = joined(edits, self.text(), most) if len(edits) > (most := _most_edits(blocks)) else edits
        count(len(edits) * blocks // STEPS_PER_PART)
        inserted = sum(len(edit.insert.encode()) for edit in edits)
        if inserted:
            self._check_room(inserted, sum(edit.delete for edit in edits), len(edits))
            self._check_halves(sum(len(_OUTSIDE_BMP.findall(edit.insert.encode())) for edit in edits))
        self._changes.clear()
        try:
            with self._doc.transaction():
                _make(self._main, edits)
        except BaseException as error:
            raise _as_ours(error, Broken) from error
        self._text_bound += inserted
        return self._taken_change()

    def _taken_change(self) -> bytes | None:
        """What an edit of this process changed."""
        change = merge(self._changes) if self._changes else None
        self._changes.clear()
        if change is not None:
            self._document_bound += len(change)
            self._advance(_read(change)[1])
        return change

    @property
    def size_bound(self) -> int:
        """At most so large is the document."""
        return self._document_bound

    def blocks_bound(self) -> int:
        """At most so many blocks are here."""
        return _blocks_bound(self._doc, self._document_bound)

    def _check_room(self, inserted: int, deleted: int, count: int) -> None:
        if inserted > deleted and len(self._main) + inserted - deleted > self._limits.text_bytes:
            raise TooLarge("text")
        # Each insertion is a block with its neighbours' ids; deletions are ranges.
        size = inserted + 64 * count
        if self._document_bound + size > self._limits.document_bytes:
            self._document_bound = len(self._doc.get_update())
            if self._document_bound + size > self._limits.document_bytes:
                raise TooLarge("document")

    def position_at(self, index: int, text: str) -> dict[str, Any]:
        """A place in the entry file's text, which is `text`, as pages write it: before the character there now."""
        end = {"type": None, "tname": MAIN, "item": None, "assoc": 0}
        if index >= len(text):
            return end
        try:
            byte = len(text[:index].encode())
            client, clock = self._item_at(byte)
            if not text.isascii():
                # pycrdt adds bytes to an item's clock, which counts UTF-16 units: count them from the item's start.
                behind = _run_length(byte, lambda step: self._item_at(byte - step) == (client, clock - step))
                between = text.encode()[byte - behind : byte].decode(errors="ignore")
                clock += len(between.encode("utf-16-le")) // 2 - behind
        except BaseException as error:
            raise _as_ours(error, Broken) from error
        return {**end, "item": {"client": client, "clock": clock}}

    def _item_at(self, byte: int) -> tuple[int, int]:
        item = self._main.sticky_index(byte, pycrdt.Assoc.AFTER).to_json()["item"]
        return item["client"], item["clock"]

    def index_of(self, position: dict[str, Any], text: str) -> int | None:
        """Where a position of a page is in the entry file's text, which is `text`; None when it is not there."""
        item = position.get("item")
        if item is None:
            return None if position.get("tname") != MAIN else 0 if position.get("assoc", 0) < 0 else len(text)
        client, clock = item["client"], item["clock"]
        # pycrdt panics at an item that has not arrived.
        if clock >= _state_vector(self.state()).get(client, 0):
            return None
        try:
            byte = self._byte_of(client, clock)
            if text.isascii():
                return min(byte, len(text))
            # The same mistake the other way round.
            behind = _run_length(clock, lambda step: self._byte_of(client, clock - step) == byte - step)
            encoded = text.encode()
            rest = encoded[byte - behind :].decode(errors="ignore").encode("utf-16-le")[: 2 * behind]
            before = encoded[: byte - behind].decode(errors="ignore")
        except BaseException as error:
            raise _as_ours(error, Broken) from error
        return len(before) + len(rest.decode("utf-16-le", "ignore"))

    def _byte_of(self, client: int, clock: int) -> int:
        position = {"item": {"client": client, "clock": clock}, "assoc": 0}
        return pycrdt.StickyIndex.from_json(position, self._main).get_index()

    def _find_files(self) -> blocks.Ranges:
        try:
            merged, _ = _read(self._doc.get_update())
        except NotPlain:
            # Something else got in before that was refused: files can be added, and no path changed.
            merged = []
        return blocks.ranges_in(_FILES_ROOT, merged, {})

    def _require_values_in_files(self, change: bytes) -> None:
        """Where a value went is known once it is merged."""
        merged, _ = _read(change)
        self._files = blocks.ranges_in(_FILES_ROOT, merged, self._files or {})
        if not all(blocks.covers(self._files, block) for block in merged if block.is_value):
            raise Broken("a value is not in the map of files")

    def _check_halves(self, more: int) -> None:
        """Those of deleted characters stay until the log is compacted and loaded again."""
        if more and blocks.HALF_BYTES * (len(self._halves) + more) > self._limits.document_bytes:
            raise TooLarge("document")

    def _check_size(self, news: bytes, extent: blocks.Extent) -> None:
        size = len(news)
        if not any(extent.written.values()) or (
            self._document_bound + size <= self._limits.document_bytes
            and self._text_bound + extent.inserted <= self._limits.text_bytes
        ):
            return
        before = self._doc.get_update()
        self._document_bound, self._text_bound = len(before), _largest_text(self._doc)
        if self.blocks_bound() > TRIED_BLOCKS_MAX:
            # To try would take too long.
            document_bytes, text_bytes = len(before) + size, self._text_bound + extent.inserted
        else:
            trial = _doc_of([before, news])
            document_bytes, text_bytes = len(trial.get_update()), _largest_text(trial)
        if document_bytes > self._limits.document_bytes and document_bytes > len(before):
            raise TooLarge("document")
        if text_bytes > self._limits.text_bytes and text_bytes > self._text_bound:
            raise TooLarge("text")


def _part_texts(doc: pycrdt.Doc[Any]) -> None:
    try:
        with doc.transaction():
            for name in doc.keys():  # noqa: SIM118
                if is_file_id(name):
                    _part(doc.get(name, type=pycrdt.Text))
    except BaseException as error:
        raise _as_ours(error, Broken) from error


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


def _read(update: bytes) -> tuple[list[blocks.Block], blocks.Extent]:
    """As blocks.read. Raises Malformed or NotPlain."""
    try:
        return blocks.read(update)
    except blocks.NotPlain as error:
        raise NotPlain(str(error)) from error
    except blocks.Unreadable as error:
        raise Malformed(str(error)) from error


def _doc_of(update: Updates) -> pycrdt.Doc[Any]:
    if not isinstance(update, bytes):
        return _opened(update)
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    try:
        if update != EMPTY_UPDATE:
            doc.apply_update(update)
    except BaseException as error:
        raise _as_ours(error, Malformed) from error
    return doc


def _opened(updates: Iterable[bytes]) -> pycrdt.Doc[Any]:
    doc = _doc_of(EMPTY_UPDATE)
    waiting: list[bytes] = []
    for update in updates:
        _apply(doc, update)
        if _residual(doc.get_state(), update)[0] != 0:
            waiting.append(update)
    if waiting:
        # Of parts out of their order pycrdt may leave some waiting, until they come again.
        _apply(doc, merge(waiting))
    return doc


def _text(doc: pycrdt.Doc[Any], file_id: str) -> str:
    try:
        return str(doc.get(file_id, type=pycrdt.Text))
    except BaseException as error:
        raise _as_ours(error, Broken) from error


def _listed(doc: pycrdt.Doc[Any]) -> dict[str, str]:
    """File id -> path: the entry file first, whatever was done to the map, then ids that a page may make."""
    try:
        entries = doc.get(FILES, type=pycrdt.Map).to_py() or {}
    except BaseException as error:
        raise _as_ours(error, Broken) from error
    ids = [MAIN, *sorted(key for key in entries if _FILE_ID.fullmatch(key))]
    return {key: _safe_path(entries.get(key)) or key for key in ids[:MAX_FILES]}


# Controls, the other separator, and what changes the direction of text: a name must not look like another.
_NOT_IN_A_PATH = re.compile(r"[\x00-\x1f\x7f-\x9f\\\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def _safe_path(value: object) -> str | None:
    if not isinstance(value, str) or not 0 < len(value.encode()) <= 255:
        return None
    if _NOT_IN_A_PATH.search(value):
        return None
    return value if all(part not in ("", ".", "..") for part in value.split("/")) else None


def _free_path(path: str, taken: dict[str, bytes]) -> str:
    """Two people may have made the same path at once: the second becomes `name (2).ext`."""
    folder, _, name = path.rpartition("/")
    stem, dot, extension = name.rpartition(".") if "." in name[1:] else (name, "", "")
    candidate, number = path, 1
    while candidate in taken:
        number += 1
        candidate = f"{folder}/" * bool(folder) + f"{stem} ({number}){dot}{extension}"
    return candidate


def _largest_text(doc: pycrdt.Doc[Any]) -> int:
    try:
        # Also a file that is not listed may be brought back.
        file_ids = {MAIN, *(name for name in doc.keys() if is_file_id(name))}  # noqa: SIM118
        return max(len(doc.get(file_id, type=pycrdt.Text)) for file_id in file_ids)
    except BaseException as error:
        raise _as_ours(error, Broken) from error


def _as_ours(error: BaseException, kind: type[Exception]) -> BaseException:
    """A panic (BaseException) becomes `kind`; what must stop the process or the task stays what it is."""
    if isinstance(error, KeyboardInterrupt | SystemExit | asyncio.CancelledError | MemoryError):
        return error
    return error if isinstance(error, kind) else kind(str(error))


def _numbers(data: bytes) -> list[int]:
    """All LEB128 numbers of a buffer that pycrdt itself wrote."""
    found: list[int] = []
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            found.append(value)
            value = shift = 0
    return found


def _deletions(update: bytes) -> dict[int, list[tuple[int, int]]]:
    """Client -> (clock, length) ranges, of an update without blocks: varuint 0, then the delete set."""
    numbers = iter(_numbers(update)[1:])
    found: dict[int, list[tuple[int, int]]] = {}
    for _ in range(next(numbers)):
        client = next(numbers)
        found.setdefault(client, []).extend((next(numbers), next(numbers)) for _ in range(next(numbers)))
    return found


def _state_vector(state: bytes) -> dict[int, int]:
    numbers = _numbers(state)[1:]
    return dict(zip(numbers[::2], numbers[1::2], strict=True))


def _covers(known: list[tuple[int, int]], ranges: list[tuple[int, int]]) -> bool:
    """Whether every clock of the (clock, length) `ranges` lies in `known`."""
    joined = blocks.joined((start, start + length) for start, length in known)
    return all(blocks.holds(joined, start, start + length) for start, length in ranges)
