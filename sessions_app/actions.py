"""What users can do with sessions. Each function is one verb; its side effects happen on commit."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

import languages
from activity import audit
from activity.log import record
from sessions_app import events, files, sharing, storage, zips
from sessions_app.access import Access, Action, access_to
from sessions_app.description import settings_of
from sessions_app.document import contents, history
from sessions_app.document.changes import replacement
from sessions_app.document.texts import MAIN, DeletedFile, File
from sessions_app.errors import (
    ArchiveRefused,
    ArchiveTooLarge,
    ClosedByModerator,
    MessageTooLong,
    NotAllowed,
    NothingSaid,
    TextTooLarge,
)
from sessions_app.limits import CHAT_MAX_CHARACTERS, FILES_MAX, TITLE_MAX_CHARACTERS
from sessions_app.models import RESTORE_DAYS, ChatMessage, CodeSession
from web.lines import visible
from web.throttles import count_or_refuse, who_is
from web.times import moment

if TYPE_CHECKING:
    from typing import IO
    from uuid import UUID

    from accounts.models import User
    from sessions_app import messages
    from sessions_app.document.contents import Seed
    from sessions_app.document.updates import Updates


def untitled(language: languages.Language) -> str:
    return f"Untitled {language.name}"


def create_session(
    owner: User,
    *,
    language: languages.Language,
    title: str = "",
    content: str | None = None,
    is_public: bool = False,
    metadata: dict[str, Any] | None = None,
) -> CodeSession:
    """Create a session with `content`, or with the language's example if that is None."""
    text = language.hello if content is None else content
    seed = contents.seed({language.file_name: text})
    with transaction.atomic():
        session = _create(owner, language, seed, title, is_public=is_public, metadata=metadata)
        record(
            "session.created", f"{owner.username} created “{session.title}”", user_id=owner.pk, session_id=session.pk
        )
    return session


def fork_session(access: Access, user: User, title: str = "") -> CodeSession:
    """Copy the current files into a private session of this user, without history, members or runs.

    Raises TextTooLarge if the limits have been lowered since.
    """
    origin = access.session
    seed = contents.seed({file.path: file.text for file in contents.files_listed(origin.pk)[1]})
    title = title or f"Copy of {origin.title}"[:TITLE_MAX_CHARACTERS]
    language = languages.get(origin.language)
    with transaction.atomic():
        session = _create(user, language, seed, title, metadata=origin.metadata, forked_from=origin)
        record(
            "session.forked",
            f"{user.username} forked “{origin.title}”",
            user_id=user.pk,
            session_id=origin.pk,
            metadata={"fork": str(session.pk)},
        )
    return session


def import_session(
    owner: User, archive: IO[bytes], *, title: str = "", language: languages.Language | None = None
) -> CodeSession:
    """Create a session from a zip archive. Without a language, it is derived from the file names.

    Raises ArchiveRefused with the reason, or ArchiveTooLarge.
    """
    archive.seek(0, os.SEEK_END)
    if archive.tell() > settings.DOCUMENT_MAX_BYTES:
        raise ArchiveTooLarge
    try:
        texts = zips.unpack(
            archive,
            max_files=FILES_MAX,
            max_bytes=settings.TEXT_MAX_BYTES,
            max_total_bytes=settings.DOCUMENT_MAX_BYTES,
        )
        language, entry = zips.entry_of(list(texts), language)
        seed = contents.seed({language.file_name: texts.pop(entry), **texts})
    except zips.Refused as refusal:
        raise ArchiveRefused(str(refusal)) from None
    except zips.TooLarge as refusal:
        raise ArchiveTooLarge(str(refusal)) from None
    except TextTooLarge:
        raise ArchiveTooLarge from None
    with transaction.atomic():
        session = _create(owner, language, seed, title or untitled(language))
        record(
            "session.imported",
            f"{owner.username} imported “{session.title}” from an archive",
            user_id=owner.pk,
            session_id=session.pk,
            metadata={"files": 1 + len(texts)},
        )
    return session


def _create(
    owner: User,
    language: languages.Language,
    seed: Seed,
    title: str,
    *,
    is_public: bool = False,
    metadata: dict[str, Any] | None = None,
    forked_from: CodeSession | None = None,
) -> CodeSession:
    storage.require_room_for(owner, len(seed.update))
    session = CodeSession.objects.create(
        owner=owner,
        title=title or untitled(language),
        language=language.key,
        is_public=is_public,
        metadata=metadata or {},
        forked_from=forked_from,
    )
    contents.create_document(session, seed)
    return session


class _VersionPassed(Exception):
    pass


def change_session(
    access: Access,
    user: User,
    changes: dict[str, Any],
    *,
    expected_version: int,
    content: str | None = None,
    base_revision: int | None = None,
) -> CodeSession | None:
    """Change title, language, is_public or metadata. Returns None if the row is no longer at `expected_version`.

    `content` is merged into the entry file in the same transaction, as by write_content. If it is None, a text that is
    still the old language's example becomes the new one's.
    """
    session = access.session
    key = changes.get("language", session.language)
    language = languages.get(key) if key != session.language else None
    content = contents.checked(content) if content is not None else None
    if language is None and content is None:
        return _change_row(session, user, changes, expected_version)
    old = languages.LANGUAGES.get(session.language)

    def make(update: Updates) -> bytes | None:
        if language is not None:
            return files.language_followed(update, old, language, content)
        return replacement(update, content or "")

    def change_row(_seq: int) -> None:
        if _change_row(session, user, changes, expected_version) is None:
            raise _VersionPassed

    try:
        contents.edit(session.pk, user.pk, make, base_revision, entry_text=content, also=change_row)
    except _VersionPassed:
        return None
    return session


@transaction.atomic
def _change_row(session: CodeSession, user: User, changes: dict[str, Any], expected_version: int) -> CodeSession | None:
    changed = CodeSession.objects.filter(pk=session.pk, version=expected_version, archived_at=None).update(
        **changes, version=F("version") + 1, updated_at=timezone.now()
    )
    if not changed:
        return None
    old_title, old_language = session.title, session.language
    session.refresh_from_db()
    record(
        "session.changed",
        f"{user.username} changed {', '.join(sorted(changes))} of “{session.title}”",
        user_id=user.pk,
        session_id=session.pk,
    )
    if changes.get("allows_guests") is False:
        sharing.end_guests(session, user, session.guest_passes.all())
    if changes.get("is_public") is False:
        sharing.end_guests(session, user, session.guest_passes.filter(invite=None))
    if "is_public" in changes:
        events.recheck_access_on_commit(session.pk)
    events.announce_on_commit(session.pk, {"type": "session.changed", **settings_of(session)})
    by = events.speaker(user)
    if session.title != old_title:
        events.announce_on_commit(
            session.pk, {"type": "notice", "kind": "title_changed", "title": session.title, "by": by}
        )
    if session.language != old_language:
        events.announce_on_commit(
            session.pk, {"type": "notice", "kind": "language_changed", "language": session.language, "by": by}
        )
    return session


def write_content(access: Access, user: User, content: str, *, base_revision: int | None = None) -> int:
    """Merge `content` into the shared text as a small edit. Returns the new revision."""
    return contents.replace_entry_text(access.session.pk, content, user.pk, base_revision)


def restore_text(access: Access, user: User, revision: int, file_id: str | None = None) -> int:
    """Restore the texts of all files, or of one, from `revision`, as a new edit. Returns the new revision.

    Files deleted since are listed again, and files created since stay. Line ends become \\n, as in every edit by the
    server. Raises RevisionUnknown, FileNotListed, TextTooLarge or TooManyFiles.
    """
    session = access.session
    if file_id is None:
        past = [file for file in history.files_at(session.pk, revision) if not isinstance(file, DeletedFile)]
    else:
        past = [history.file_at(session.pk, revision, file_id)[0]]
    past = [File(file.id, file.path, contents.checked(file.text)) for file in past]

    def note(restored_as: int) -> None:
        what = "the text" if file_id is None else past[0].path
        record(
            "session.text_restored",
            f"{user.username} restored {what} of “{session.title}” as of revision {revision}",
            user_id=user.pk,
            session_id=session.pk,
            metadata={"revision": revision, "restored_as": restored_as},
        )

    entry_text = next((file.text for file in past if file.id == MAIN), None)
    return contents.edit(
        session.pk, user.pk, lambda update: files.put_back(update, past), entry_text=entry_text, also=note
    )


def export_session(access: Access, user: User) -> tuple[int, bytes]:
    """Return the revision at the committed head, and its files as a zip archive."""
    session = access.session
    revision, texts = contents.files_at_head(session.pk)
    archive = zips.pack(texts)
    record(
        "session.exported",
        f"{user.username} downloaded “{session.title}”",
        user_id=user.pk,
        session_id=session.pk,
        metadata={"revision": revision},
    )
    audit.append(
        "session.exported",
        actor_id=user.pk,
        target_type="session",
        target_id=session.pk,
        metadata={"revision": revision},
    )
    return revision, archive


@transaction.atomic
def archive_session(access: Access, user: User) -> None:
    session = access.session
    CodeSession.objects.filter(pk=session.pk, archived_at=None).update(
        archived_at=timezone.now(), version=F("version") + 1
    )
    record("session.archived", f"{user.username} archived “{session.title}”", user_id=user.pk, session_id=session.pk)
    # Before access is rechecked, which closes the sockets.
    events.announce_on_commit(session.pk, {"type": "notice", "kind": "archived", "by": events.speaker(user)})
    events.recheck_access_on_commit(session.pk)


@transaction.atomic
def delete_session(access: Access, user: User) -> None:
    """Delete an archived session for good, with its text, history, chat and runs. Raises ClosedByModerator."""
    session = access.session
    if session.closed_at is not None:
        raise ClosedByModerator("A moderator has closed this session. It cannot be deleted.")
    session_id = session.pk
    session.delete()
    record("session.deleted", f"{user.username} deleted “{session.title}”", user_id=user.pk, level="warning")
    audit.append("session.deleted", actor_id=user.pk, target_type="session", target_id=session_id)


@transaction.atomic
def restore_session(access: Access, user: User) -> CodeSession:
    """Bring an archived session back within RESTORE_DAYS days."""
    session = access.session
    if session.closed_at is not None:
        raise ClosedByModerator
    restored = CodeSession.objects.filter(
        pk=session.pk, closed_at=None, archived_at__gte=timezone.now() - timedelta(days=RESTORE_DAYS)
    ).update(archived_at=None, version=F("version") + 1, updated_at=timezone.now())
    if not restored:
        raise NotAllowed(f"A session can only be restored within {RESTORE_DAYS} days of being archived.")
    record("session.restored", f"{user.username} restored “{session.title}”", user_id=user.pk, session_id=session.pk)
    session.refresh_from_db()
    audit.append("session.restored", actor_id=user.pk, target_type="session", target_id=session.pk)
    return session


def say(user: User, session_id: UUID | str, text: str, ref: str | None = None) -> ChatMessage:
    """Store a message and show it to everybody in the room, with `ref` so that the sender recognizes it.

    Raises SessionNotFound, NotAllowed before joining, RateLimited, NothingSaid, MessageTooLong or StorageFull.
    """
    access = access_to(user, session_id, Action.CHAT)
    count_or_refuse("chat", who_is(user))
    text = _clean(text)
    session = access.session
    if full := storage.refusal_of(session.owner_id):
        raise full
    with transaction.atomic():
        message = ChatMessage.objects.create(session=session, user=user, text=text)
        record(
            "chat.said",
            f"{user.username} wrote in the chat of “{session.title}”",
            user_id=user.pk,
            session_id=session.pk,
            metadata={"message": str(message.pk)},
        )
        events.announce_on_commit(session.pk, chat_event(message, user, ref))
    return message


def chat_event(message: ChatMessage, user: User, ref: str | None = None) -> messages.Chat:
    event: messages.Chat = {
        "type": "chat",
        "id": str(message.pk),
        "user": events.speaker(user),
        "text": message.text,
        "created_at": moment(message.created_at),
    }
    if ref is not None:
        event["ref"] = ref
    return event


def _clean(text: str) -> str:
    """Remove control characters and those that change the direction of the text around them."""
    text = visible(text.replace("\0", ""))
    if not text:
        raise NothingSaid(errors={"text": [NothingSaid.detail]})
    if len(text) > CHAT_MAX_CHARACTERS:
        raise MessageTooLong(errors={"text": [MessageTooLong.detail]})
    return text


@transaction.atomic
def remove_message(message: ChatMessage, by: User) -> bool:
    """Hide a message from everybody but moderators. Returns False if it is already hidden."""
    removed = ChatMessage.objects.shown().filter(pk=message.pk).update(removed_at=timezone.now(), removed_by=by)
    if not removed:
        return False
    record(
        "moderation.chat_removed",
        f"{by.username} removed a chat message",
        user_id=by.pk,
        session_id=message.session_id,
        metadata={"message": str(message.pk), "author": str(message.user_id)},
    )
    events.announce_on_commit(message.session_id, {"type": "chat.removed", "id": str(message.pk)})
    audit.append(
        "chat.removed",
        actor_id=by.pk,
        target_type="session",
        target_id=message.session_id,
        metadata={"message": str(message.pk)},
    )
    return True
