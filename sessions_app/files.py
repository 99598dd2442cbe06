"""The files of a session: create, rename, rewrite, delete, through the update log, so that live rooms show it.

A path is unique when it is given here. Pages that edit at the same moment may still make two of one name; both are
kept, the second under another name (crdt.py).
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from django.db import transaction

from activity.log import record
from sessions_app import crdt, documents, languages, zips
from sessions_app.errors import EntryStays, FileNotListed, PathRefused, PathTaken, TooManyFiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accounts.models import User
    from sessions_app.access import Standing
    from sessions_app.models import CodeSession


def clean_path(path: str) -> str:
    """The path as it is kept, in composed characters. Raises PathRefused."""
    path = unicodedata.normalize("NFC", path)
    if not zips.is_allowed(path):
        raise PathRefused(errors={"path": [PathRefused.detail]})
    return path


def find_file(session: CodeSession, file_id: str) -> tuple[int, crdt.File]:
    """(revision, the file). Raises FileNotListed."""
    revision, listed = documents.files_listed(session.pk)
    return revision, _among(listed, file_id)


@transaction.atomic
def create_file(standing: Standing, user: User, path: str, content: str = "") -> str:
    """A new file; returns its id. Raises PathRefused, PathTaken, TooManyFiles or TextTooLarge."""
    session, path, file_id = standing.session, clean_path(path), crdt.new_file_id()
    content = crdt.normalise(content)
    documents.require_size(content)

    def make(update: bytes) -> bytes | None:
        listed = crdt.listed_files(update)
        if len(listed) >= crdt.MAX_FILES:
            raise TooManyFiles
        _require_free(path, listed)
        return crdt.path_set(update, file_id, path, content)

    documents.edit(session.pk, user.pk, make)
    _note(session, user, "created", path)
    return file_id


@transaction.atomic
def change_file(
    standing: Standing,
    user: User,
    file_id: str,
    *,
    path: str | None = None,
    content: str | None = None,
    base_revision: int | None = None,
) -> None:
    """Rename a file or merge `content` into its text by the smallest edit, or both at once.

    Raises FileNotListed, EntryStays for a new name of the entry file, PathRefused, PathTaken, TextTooLarge, and
    RevisionPassed when `base_revision` is given and is not the head.
    """
    session = standing.session
    path = clean_path(path) if path is not None else None
    if content is not None:
        content = crdt.normalise(content)
        documents.require_size(content)
    renamed: list[str] = []

    def make(update: bytes) -> bytes | None:
        listed = crdt.listed_files(update)
        file = _among(listed, file_id)
        if path is not None and path != file.path:
            if file_id == crdt.MAIN:
                raise EntryStays
            _require_free(path, [other for other in listed if other.id != file_id])
            renamed.append(file.path)
            return crdt.path_set(update, file_id, path, content)
        return crdt.replacement(update, content, file_id) if content is not None else None

    documents.edit(session.pk, user.pk, make, base_revision)
    if renamed:
        _note(session, user, "renamed", f"{renamed[0]} to {path}")


@transaction.atomic
def delete_file(standing: Standing, user: User, file_id: str) -> None:
    """Take a file and its text out; the history keeps what it said. Raises FileNotListed, EntryStays."""
    session = standing.session
    gone: list[str] = []

    def make(update: bytes) -> bytes | None:
        gone.append(_among(crdt.listed_files(update), file_id).path)
        if file_id == crdt.MAIN:
            raise EntryStays
        return crdt.removal(update, file_id)

    documents.edit(session.pk, user.pk, make)
    _note(session, user, "deleted", gone[0])


def name_entry(session: CodeSession, old_language: str, user: User) -> None:
    """Let the entry file follow a change of language, unless somebody named it, or another file has that name."""
    wanted = languages.get(session.language).file_name
    had = languages.LANGUAGES.get(old_language)

    def make(update: bytes) -> bytes | None:
        entry, *others = crdt.listed_files(update)
        if (had is not None and entry.path != had.file_name) or not zips.is_free(wanted, [o.path for o in others]):
            return None
        return crdt.path_set(update, crdt.MAIN, wanted)

    documents.edit(session.pk, user.pk, make)


def _among(listed: Sequence[crdt.File], file_id: str) -> crdt.File:
    for file in listed:
        if file.id == file_id:
            return file
    raise FileNotListed


def _require_free(path: str, listed: Sequence[crdt.File]) -> None:
    if not zips.is_free(path, [file.path for file in listed]):
        raise PathTaken(errors={"path": [PathTaken.detail]})


def _note(session: CodeSession, user: User, verb: str, what: str) -> None:
    record(
        f"file.{verb}",
        f"{user.username} {verb} {what} in “{session.title}”",
        user_id=user.pk,
        session_id=session.pk,
        metadata={"path": what},
    )
