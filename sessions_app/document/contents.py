"""Create a document, read it at its head, and edit it from the server; live rooms show edits at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from django.conf import settings
from django.db import transaction

from sessions_app import events
from sessions_app.document import changes
from sessions_app.document.errors import Broken, Malformed
from sessions_app.document.quarantine import load_mended
from sessions_app.document.texts import DeletedFile, File, deleted_files, files_of, listed_files, text_of
from sessions_app.document.update_log import Entry, append, bell, load, touch
from sessions_app.errors import RevisionPassed, SessionNotFound, TextTooLarge
from sessions_app.models import CodeSession, Document, Update

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from sessions_app.document.updates import Updates

# How often an edit by the server is rebuilt because of a concurrent write.
EDIT_ATTEMPTS = 3
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seed:
    """The initial content of a document."""

    entry_text: str
    update: bytes


def seed(texts: Mapping[str, str]) -> Seed:
    """Build the initial content from these texts by path, the entry file first. Raises TextTooLarge.

    This may be slow, so call it before the transaction that creates the session.
    """
    texts = {path: checked(text) for path, text in texts.items()}
    (path, text), *others = texts.items()
    update = changes.seed(text, path, dict(others))
    if len(update) > settings.DOCUMENT_MAX_BYTES:
        raise TextTooLarge
    return Seed(text, update)


def create_document(session: CodeSession, seed: Seed) -> Document:
    """Create the document of a new session, in the transaction that creates the session."""
    document = Document.objects.create(session=session, head=1, tail_bytes=len(seed.update))
    Update.objects.create(document=document, seq=1, payload=seed.update, user=None, origin="server")
    keep_text(document.pk, seed.entry_text, 1)
    document.text, document.text_seq = seed.entry_text, 1
    return document


def files_at_head(session_id: UUID) -> tuple[int, dict[str, bytes]]:
    """Return the revision, and path -> text, with the entry file first."""
    return _read(session_id, files_of)


def files_listed(session_id: UUID) -> tuple[int, list[File]]:
    """Return the revision and the files, with the entry file first."""
    return _read(session_id, listed_files)


def files_deleted(session_id: UUID) -> tuple[int, list[DeletedFile]]:
    """Return the revision and the deleted files whose texts are kept, most recently deleted first."""
    return _read(session_id, deleted_files)


def entry_text(session: CodeSession) -> str:
    """Return the text of the entry file at the committed head."""
    return entry_at_head(session.pk)[1]


def entry_at_head(session_id: UUID) -> tuple[int, str]:
    """Return the head and the text of the entry file there. The stored text is valid while the head stays."""
    row = Document.objects.filter(pk=session_id).values_list("head", "text_seq", "text").first()
    if row is None:
        raise SessionNotFound
    head, text_seq, text = row
    if text_seq != head:
        head, text = _read(session_id, text_of)
        keep_text(session_id, text, head)
    return head, text


def _read(session_id: UUID, read: Callable[[Updates], T]) -> tuple[int, T]:
    """Return the head and the result of `read` on the document."""
    loaded = load(session_id)
    try:
        return loaded.head, read(loaded.parts)
    except (Malformed, Broken) as error:
        loaded = load_mended(session_id, error)
        return loaded.head, read(loaded.parts)


def replace_entry_text(session_id: UUID, text: str, user_id: UUID | None, base_revision: int | None = None) -> int:
    """Turn the entry file into `text` by a small edit, which live rooms show at once. Returns the new revision.

    Raises RevisionPassed if `base_revision` is given and is not the head, TextTooLarge over settings.TEXT_MAX_BYTES.
    """
    text = checked(text)
    return edit(session_id, user_id, lambda update: changes.replacement(update, text), base_revision, entry_text=text)


def edit(
    session_id: UUID,
    user_id: UUID | None,
    make: Callable[[Updates], bytes | None],
    base_revision: int | None = None,
    *,
    entry_text: str | None = None,
    also: Callable[[int], None] | None = None,
) -> int:
    """Append the update that `make` returns for the document. Live rooms show it at once.

    Returns the new revision, or the current one if nothing changes. If `make` raises, nothing is changed. It is called
    again if somebody else writes concurrently. `also` is called with the revision in the transaction that appends.
    `entry_text` is the entry file's text after the change, if known. Raises SessionNotFound, RevisionPassed as above,
    and TextTooLarge over settings.DOCUMENT_MAX_BYTES.
    """
    # The change is computed without a lock, because SQLite has a single one. So do not call this in a transaction.
    attempts = 0
    while True:
        attempts += 1
        head, payload = _read(session_id, lambda update: _made(update, make))
        if base_revision is not None and base_revision != head:
            raise RevisionPassed(revision=head)
        with transaction.atomic():
            document = Document.objects.select_for_update().filter(pk=session_id).only("epoch", "head").first()
            if document is None:
                raise SessionNotFound
            if document.head != head:
                if base_revision is not None:
                    raise RevisionPassed(revision=document.head)
                # The last attempt is appended anyway, and merges like an edit of a page that lags behind.
                if attempts < EDIT_ATTEMPTS:
                    continue
            seq = _append_edit(document, user_id, payload)
            if entry_text is not None and document.head == head:
                keep_text(session_id, entry_text, seq)
            if also is not None:
                also(seq)
            return seq


def _made(update: Updates, make: Callable[[Updates], bytes | None]) -> bytes | None:
    payload = make(update)
    if payload is not None and changes.grows_past(settings.DOCUMENT_MAX_BYTES, update, payload):
        raise TextTooLarge
    return payload


def _append_edit(document: Document, user_id: UUID | None, payload: bytes | None) -> int:
    if payload is None:
        return document.head
    entry = Entry(payload, user_id, "server")
    seq = append({document.pk: [entry]})[document.pk].last_seq
    touch([document.pk])
    transaction.on_commit(lambda: events.ring_document(document.pk, bell(document.epoch, seq, seq, [entry])))
    return seq


def keep_text(session_id: UUID, text: str, seq: int) -> None:
    # PostgreSQL's text type cannot store NUL, so such a text is computed on every read.
    if "\x00" not in text:
        Document.objects.filter(pk=session_id, text_seq__lt=seq).update(text=text, text_seq=seq)


def checked(text: str) -> str:
    """Return the text as a document stores it. Raises TextTooLarge over settings.TEXT_MAX_BYTES."""
    text = changes.normalise(text)
    if len(text.encode()) > settings.TEXT_MAX_BYTES:
        raise TextTooLarge
    return text
