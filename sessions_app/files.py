"""Create, rename, rewrite and delete the files of a session through the update log, so that live rooms show it.

Paths assigned here are unique. Pages that edit concurrently may still create two files with one name; both are kept,
the second under another name (document/texts.py).
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, TypeVar

from django.conf import settings
from django.utils import timezone

from activity.log import record
from sessions_app import events, zips
from sessions_app.document import changes, contents, texts
from sessions_app.document.texts import MAIN, DeletedFile, File
from sessions_app.errors import EntryStays, FileNotListed, PathRefused, PathTaken, TooManyFiles
from sessions_app.limits import FILES_MAX
from web.times import moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import languages
    from accounts.models import User
    from sessions_app.access import Access
    from sessions_app.document.updates import Updates
    from sessions_app.models import CodeSession

F = TypeVar("F", bound=File)

# The fraction of a document that the texts of deleted files may take, as a divisor.
KEPT_SHARE = 4
# The name of a restored file whose path is unknown or not allowed.
UNNAMED = "restored.txt"


def clean_path(path: str) -> str:
    """Return the path as it is stored, in composed characters. Raises PathRefused."""
    path = unicodedata.normalize("NFC", path)
    if not zips.is_allowed(path):
        raise PathRefused(errors={"path": [PathRefused.detail]})
    return path


def find_file(session: CodeSession, file_id: str) -> tuple[int, File]:
    """Return the revision and the file. Raises FileNotListed."""
    revision, listed = contents.files_listed(session.pk)
    return revision, _among(listed, file_id)


def create_file(access: Access, user: User, path: str, content: str = "") -> str:
    """Create a file and return its id. Raises PathRefused, PathTaken, TooManyFiles or TextTooLarge."""
    session, path, file_id = access.session, clean_path(path), texts.new_file_id()
    content = contents.checked(content)

    def make(update: Updates) -> bytes | None:
        listed = texts.listed_files(update)
        if len(listed) >= FILES_MAX:
            raise TooManyFiles
        _require_free(path, listed)
        return changes.path_set(update, file_id, path, content)

    contents.edit(session.pk, user.pk, make, also=lambda _seq: _note(session, user, "created", path))
    return file_id


def change_file(
    access: Access,
    user: User,
    file_id: str,
    *,
    path: str | None = None,
    content: str | None = None,
    base_revision: int | None = None,
) -> None:
    """Rename a file, or merge `content` into its text as a small edit, or both in one step.

    Raises FileNotListed, EntryStays for renaming the entry file, PathRefused, PathTaken, TextTooLarge, and
    RevisionPassed if `base_revision` is given and is not the head.
    """
    session = access.session
    path = clean_path(path) if path is not None else None
    content = contents.checked(content) if content is not None else None
    renamed = ""

    def make(update: Updates) -> bytes | None:
        nonlocal renamed
        renamed = ""
        listed = texts.listed_files(update)
        file = _among(listed, file_id)
        if path is not None and path != file.path:
            if file_id == MAIN:
                raise EntryStays
            _require_free(path, [other for other in listed if other.id != file_id])
            renamed = file.path
            return changes.path_set(update, file_id, path, content)
        return changes.replacement(update, content, file_id) if content is not None else None

    def note(_seq: int) -> None:
        if renamed:
            _note(session, user, "renamed", f"{renamed} to {path}")

    contents.edit(session.pk, user.pk, make, base_revision, also=note)


def delete_file(access: Access, user: User, file_id: str) -> None:
    """Delete a file so that it can be restored. Raises FileNotListed or EntryStays."""
    session = access.session
    path = ""

    def make(update: Updates) -> bytes | None:
        nonlocal path
        path = _among(texts.listed_files(update), file_id).path
        if file_id == MAIN:
            raise EntryStays
        change: bytes | None = None
        for most_kept in (settings.DOCUMENT_MAX_BYTES // KEPT_SHARE, 0):
            change = changes.removal(update, file_id, path, str(user.pk), moment(timezone.now()), most_kept)
            if change is None or not changes.grows_past(settings.DOCUMENT_MAX_BYTES, update, change):
                break
        return change

    def tell(_seq: int) -> None:
        by = events.speaker(user)
        events.announce_on_commit(
            session.pk, {"type": "notice", "kind": "file_deleted", "file": file_id, "path": path, "by": by}
        )
        _note(session, user, "deleted", path)

    contents.edit(session.pk, user.pk, make, also=tell)


def find_deleted(session: CodeSession, file_id: str) -> tuple[int, DeletedFile]:
    """Return the revision and the deleted file. Raises FileNotListed."""
    revision, deleted = contents.files_deleted(session.pk)
    return revision, _among(deleted, file_id)


def bring_back(access: Access, user: User, file_id: str, path: str | None = None) -> None:
    """Restore a deleted file with everything that was typed into it: under this path, or else under its old path or a
    similar one that is free. Raises FileNotListed, PathRefused, PathTaken or TooManyFiles."""
    session, wanted = access.session, clean_path(path) if path is not None else None
    chosen = ""

    def make(update: Updates) -> bytes | None:
        nonlocal chosen
        listed, file = texts.listed_files(update), _among(texts.deleted_files(update), file_id)
        if len(listed) >= FILES_MAX:
            raise TooManyFiles
        if wanted is not None:
            _require_free(wanted, listed)
        chosen = wanted if wanted is not None else free_path(file.path, [other.path for other in listed])
        return changes.files_set(update, {file_id: (chosen, None)})

    contents.edit(session.pk, user.pk, make, also=lambda _seq: _note(session, user, "restored", chosen))


def put_back(update: Updates, past: Sequence[File]) -> bytes | None:
    """Build the change that restores past texts of files, and lists those files again that were deleted. Raises
    TooManyFiles."""
    paths = {file.id: file.path for file in texts.listed_files(update)}
    wanted: dict[str, tuple[str | None, str | None]] = {}
    for file in past:
        path = None
        if file.id not in paths:
            path = paths[file.id] = free_path(file.path, paths.values())
        wanted[file.id] = (path, file.text)
    if len(paths) > FILES_MAX:
        raise TooManyFiles
    return changes.files_set(update, wanted)


def free_path(path: str, others: Iterable[str]) -> str:
    """Return the path, or a similar one that does not clash with the others."""
    taken: set[str] = set()
    for other in others:
        zips.free_name(other, taken)
    free = zips.free_name(path if zips.is_allowed(path) else UNNAMED, taken)
    return free if zips.is_allowed(free) else zips.free_name(UNNAMED, taken)


def language_followed(
    update: Updates, old: languages.Language | None, new: languages.Language, content: str | None
) -> bytes | None:
    """Build the change that adapts the entry file to a new language: its name, unless somebody renamed it or the new
    name is taken, and its text, which becomes `content` or, if it is still the old example, the new example.
    """
    entry, *others = texts.listed_files(update)
    is_named = old is not None and entry.path != old.file_name
    path = entry.path if is_named or not zips.is_free(new.file_name, [o.path for o in others]) else new.file_name
    if content is None and (not entry.text.strip() or (old is not None and entry.text == old.hello)):
        content = new.hello
    if path != entry.path:
        return changes.path_set(update, MAIN, path, content)
    return changes.replacement(update, content) if content is not None else None


def _among(listed: Sequence[F], file_id: str) -> F:
    for file in listed:
        if file.id == file_id:
            return file
    raise FileNotListed


def _require_free(path: str, listed: Sequence[File]) -> None:
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
