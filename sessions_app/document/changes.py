"""Build the changes that the server makes to a document, each as one small update. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pycrdt

from sessions_app.document.diff import EDITS_MAX, Edit, edits_between
from sessions_app.document.errors import Broken, as_ours
from sessions_app.document.texts import DELETED, FILES, MAIN, deleted_in, is_file_id, new_file_id
from sessions_app.document.updates import EMPTY_UPDATE, Updates, apply, doc_of, merge, size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# A fixed client id, so that the same text gives the same bytes, and a seed applied twice does not duplicate it.
SEED_CLIENT_ID = 1
# pycrdt walks the blocks of a text up to each place that it edits: one change takes at most so many steps (some 50 ms).
STEPS_MAX = 2_000_000
# A block has at least a kind, a neighbour (two numbers) and a length besides its text, which for a fragmented document
# are larger than a byte each.
_BLOCK_BYTES = 5


def normalise(text: str) -> str:
    """Convert text to what a shared text may contain: line ends become \\n, and lone surrogates U+FFFD."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def seed(text: str, file_name: str, others: Mapping[str, str] | None = None) -> bytes:
    """Build the first update of a new document: its entry file, and `others` by path."""
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


def replacement(update: Updates, text: str, file_id: str = MAIN) -> bytes | None:
    """Build a small change that turns the file's text into `text`, as one update; None if they are equal."""
    return changed(update, lambda doc, most: _replace(doc, file_id, normalise(text), most))


def path_set(update: Updates, file_id: str, path: str, text: str | None = None) -> bytes | None:
    """Build the change that lists a file under this path, with its text if it is new; None if nothing changes."""
    return files_set(update, {file_id: (path, text)})


def files_set(update: Updates, files: Mapping[str, tuple[str | None, str | None]]) -> bytes | None:
    """Build the change that gives these files a path, a text or both, and undeletes them."""

    def edit(doc: pycrdt.Doc[Any], most: int) -> None:
        paths, notes = doc.get(FILES, type=pycrdt.Map), doc.get(DELETED, type=pycrdt.Map)
        for file_id, (path, text) in files.items():
            if path is not None and paths.get(file_id) != path:
                paths[file_id] = path
            if file_id in notes:
                del notes[file_id]
            if text is not None:
                _replace(doc, file_id, normalise(text), most)

    return changed(update, edit)


def removal(update: Updates, file_id: str, path: str, user_id: str, deleted_at: str, most_kept: int) -> bytes | None:
    """Build the change that takes the file off the list. The newest texts of deleted files are kept, up to
    `most_kept` bytes."""
    note = json.dumps({"path": path, "user": user_id, "at": deleted_at}, ensure_ascii=False)

    def edit(doc: pycrdt.Doc[Any], most: int) -> None:
        paths, notes = doc.get(FILES, type=pycrdt.Map), doc.get(DELETED, type=pycrdt.Map)
        if file_id in paths:
            del paths[file_id]
        notes[file_id] = note
        kept = 0
        for file in deleted_in(doc):
            kept += len(file.text.encode())
            if kept > most_kept:
                _replace(doc, file.id, "", most)
                if file.id in notes:
                    del notes[file.id]

    return changed(update, edit)


def _replace(doc: pycrdt.Doc[Any], file_id: str, new: str, most: int) -> None:
    shared: pycrdt.Text = doc.get(file_id, type=pycrdt.Text)
    old = str(shared)
    edits = edits_between(old, new, most=most)
    if len(shared) != len(old.encode()):
        # Embedded values take up positions, so positions in `old` would be wrong.
        edits = [Edit(0, len(shared), new)]
    make_edits(shared, edits)


def make_edits(shared: pycrdt.Text, edits: Sequence[Edit]) -> None:
    """Apply edits that are sorted by their positions in the current text.

    The middle one goes first, then those after it, then those before it, recursively. Each edit then splits a block
    that others have made smaller, whereas going from end to end would copy nearly the whole text for every edit.
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


def most_edits(blocks: int) -> int:
    return max(1, min(EDITS_MAX, STEPS_MAX // blocks))


def blocks_bound(doc: pycrdt.Doc[Any], size: int) -> int:
    """At most so many blocks has a document of this size, without reading them: what is not text belongs to blocks."""
    texts = sum(len(doc.get(name, type=pycrdt.Text)) for name in doc.keys() if is_file_id(name))  # noqa: SIM118
    return max(1, (size - texts) // _BLOCK_BYTES)


def changed(update: Updates, edit: Callable[[pycrdt.Doc[Any], int], None]) -> bytes | None:
    """Return what `edit` does to the document of this update, as one update; None if nothing. `edit` is given the
    limit of edits per text."""
    doc = doc_of(update)
    changes: list[bytes] = []
    subscription = doc.observe(lambda event: changes.append(event.update))
    try:
        most = most_edits(blocks_bound(doc, size_of(update)))
        with doc.transaction():
            edit(doc, most)
    except BaseException as error:
        raise as_ours(error, Broken) from error
    finally:
        doc.unobserve(subscription)
    made = merge(changes)
    return made if made != EMPTY_UPDATE else None


def grows_past(limit: int, update: Updates, change: bytes) -> bool:
    """Whether `change` grows the document beyond `limit`, as settings.DOCUMENT_MAX_BYTES counts it."""
    if size_of(update) + len(change) <= limit:
        return False
    doc = doc_of(update)
    before = len(doc.get_update())
    apply(doc, change)
    after = len(doc.get_update())
    return after > limit and after > before
