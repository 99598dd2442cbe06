"""Read the contents of a document: its files, their texts, and deleted files. Pure.

A document has a root map `files` (file id -> path) and one root text per file id. A deleted file leaves the map but
keeps its text, so that edits that arrive late can merge into it. The server records in a root map `deleted` (file id
-> JSON) its path, and who deleted it when.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from typing import Any

import pycrdt

from sessions_app.document.errors import Broken, as_ours
from sessions_app.document.updates import Updates, doc_of
from sessions_app.limits import FILES_MAX

FILES = "files"
DELETED = "deleted"
FILES_ROOT = FILES.encode()
MAIN = "main"
# The limit of deleted files listed. Anybody could fake more by writing into roots that no file ever had.
MAX_DELETED = 100
_FILE_ID = re.compile(r"f_[0-9a-f]{32}")
# Controls, backslashes, and what changes the direction of text: names must not be able to imitate others.
_NOT_IN_A_PATH = re.compile(r"[\x00-\x1f\x7f-\x9f\\\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class File:
    """A listed file: the root of its text, its unique path, and the text."""

    id: str
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class DeletedFile(File):
    """A file that is no longer listed. Only deletions by the server record who deleted it, and when."""

    user_id: str | None
    deleted_at: str | None


def is_file_id(name: str) -> bool:
    """Whether a root of this name may hold a file's text."""
    return name == MAIN or _FILE_ID.fullmatch(name) is not None


def new_file_id() -> str:
    return f"f_{uuid.uuid4().hex}"


def text_of(update: Updates, file_id: str = MAIN) -> str:
    return text_in(doc_of(update), file_id)


def files_of(update: Updates) -> dict[str, bytes]:
    """Return path -> text of all listed files, the entry file first. Paths are unique, relative and safe."""
    doc = doc_of(update)
    found: dict[str, bytes] = {}
    for file_id, path in listed_in(doc).items():
        found[_free_path(path, found)] = text_in(doc, file_id).encode()
    return found


def listed_files(update: Updates) -> list[File]:
    """Return all listed files, the entry file first, with paths as in files_of."""
    return listed_files_in(doc_of(update))


def listed_files_in(doc: pycrdt.Doc[Any]) -> list[File]:
    taken: dict[str, bytes] = {}
    found: list[File] = []
    for file_id, path in listed_in(doc).items():
        free = _free_path(path, taken)
        taken[free] = b""
        found.append(File(file_id, free, text_in(doc, file_id)))
    return found


def deleted_files(update: Updates) -> list[DeletedFile]:
    """Return all files that have a text but are not listed, most recently deleted first."""
    return deleted_in(doc_of(update))


def all_files(update: Updates) -> list[File]:
    """Return all files, listed or deleted, the entry file first."""
    doc = doc_of(update)
    return [*listed_files_in(doc), *deleted_in(doc)]


def deleted_in(doc: pycrdt.Doc[Any]) -> list[DeletedFile]:
    listed, notes = listed_in(doc), _notes(doc)
    roots = {name for name in doc.keys() if _FILE_ID.fullmatch(name)}  # noqa: SIM118
    found: list[DeletedFile] = []
    for file_id in sorted((roots | notes.keys()) - listed.keys()):
        note, text = notes.get(file_id, {}), text_in(doc, file_id)
        if text or note:
            path = _safe_path(note.get("path")) or file_id
            found.append(DeletedFile(file_id, path, text, note.get("user"), note.get("at")))
    return sorted(found, key=lambda file: file.deleted_at or "", reverse=True)[:MAX_DELETED]


def _notes(doc: pycrdt.Doc[Any]) -> dict[str, dict[str, str]]:
    """Read what removal() wrote. Sockets can overwrite a note with other values, which are ignored."""
    try:
        notes = doc.get(DELETED, type=pycrdt.Map).to_py() or {}
    except BaseException as error:
        raise as_ours(error, Broken) from error
    return {file_id: _note(note) for file_id, note in notes.items()}


def _note(written: object) -> dict[str, str]:
    try:
        note = json.loads(written) if isinstance(written, str) else None
    except (ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}


def text_in(doc: pycrdt.Doc[Any], file_id: str) -> str:
    try:
        return str(doc.get(file_id, type=pycrdt.Text))
    except BaseException as error:
        raise as_ours(error, Broken) from error


def listed_in(doc: pycrdt.Doc[Any]) -> dict[str, str]:
    """Return file id -> path: the entry file first, whatever the map contains, then ids that pages may create."""
    try:
        entries = doc.get(FILES, type=pycrdt.Map).to_py() or {}
    except BaseException as error:
        raise as_ours(error, Broken) from error
    ids = [MAIN, *sorted(key for key in entries if _FILE_ID.fullmatch(key))]
    return {key: _safe_path(entries.get(key)) or key for key in ids[:FILES_MAX]}


def largest_text(doc: pycrdt.Doc[Any]) -> int:
    try:
        # Also a file that is not listed may be brought back.
        file_ids = {MAIN, *(name for name in doc.keys() if is_file_id(name))}  # noqa: SIM118
        return max(len(doc.get(file_id, type=pycrdt.Text)) for file_id in file_ids)
    except BaseException as error:
        raise as_ours(error, Broken) from error


def _safe_path(value: object) -> str | None:
    if not isinstance(value, str) or not 0 < len(value.encode()) <= 255:
        return None
    if _NOT_IN_A_PATH.search(value):
        return None
    return value if all(part not in ("", ".", "..") for part in value.split("/")) else None


def _free_path(path: str, taken: dict[str, bytes]) -> str:
    """Make a path unique: if two users created it concurrently, the second becomes `name (2).ext`."""
    folder, _, name = path.rpartition("/")
    stem, dot, extension = name.rpartition(".") if "." in name[1:] else (name, "", "")
    candidate, number = path, 1
    while candidate in taken:
        number += 1
        candidate = f"{folder}/" * bool(folder) + f"{stem} ({number}){dot}{extension}"
    return candidate
