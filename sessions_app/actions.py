"""What a person can do with sessions. Each function is one verb; its side effects leave when it commits."""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from accounts.access import people_named
from accounts.models import User
from activity.log import record
from codecrafter.http.throttles import count_or_refuse
from sessions_app import crdt, documents, events, history, languages, zips
from sessions_app.access import PERMISSIONS, Action, Standing, standing_in
from sessions_app.errors import InviteNotFound, MessageTooLong, NotAllowed, NothingSaid, OwnerStays, PersonNotFound
from sessions_app.models import (
    CHAT_MAX_CHARACTERS,
    RESTORE_DAYS,
    ChatMessage,
    CodeSession,
    Collaborator,
    Invite,
    Permission,
)

if TYPE_CHECKING:
    from uuid import UUID


def untitled(language: languages.Language) -> str:
    return f"Untitled {language.name}"


@transaction.atomic
def create_session(
    owner: User,
    *,
    language: languages.Language,
    title: str = "",
    content: str | None = None,
    is_public: bool = False,
    metadata: dict[str, Any] | None = None,
) -> CodeSession:
    """A new session with its text: `content`, or the language's hello-world when it is None."""
    session = CodeSession.objects.create(
        owner=owner,
        title=title or untitled(language),
        language=language.key,
        is_public=is_public,
        metadata=metadata or {},
    )
    documents.create_document(session, language.hello if content is None else content, language.file_name)
    record("session.created", f"{owner.username} created “{session.title}”", user_id=owner.pk, session_id=session.pk)
    return session


@transaction.atomic
def change_session(
    standing: Standing, user: User, changes: dict[str, Any], *, expected_version: int
) -> CodeSession | None:
    """Change title, language, is_public or metadata; None when the row is no longer at `expected_version`.

    A text that is still the old language's hello-world becomes the new one's.
    """
    session = standing.session
    changed = CodeSession.objects.filter(pk=session.pk, version=expected_version, archived_at=None).update(
        **changes, version=F("version") + 1, updated_at=timezone.now()
    )
    if not changed:
        return None
    old_title, old_language = session.title, session.language
    session.refresh_from_db()
    if session.language != old_language:
        _swap_hello(session, old_language, user)
    record(
        "session.changed",
        f"{user.username} changed {', '.join(sorted(changes))} of “{session.title}”",
        user_id=user.pk,
        session_id=session.pk,
    )
    if "is_public" in changes:
        events.recheck_access_on_commit(session.pk)
    events.announce_on_commit(
        session.pk,
        {
            "type": "session.changed",
            "title": session.title,
            "language": session.language,
            "is_public": session.is_public,
            "version": session.version,
        },
    )
    by = events.speaker(user)
    if session.title != old_title:
        _notify(session, {"type": "notice", "kind": "title_changed", "title": session.title, "by": by})
    if session.language != old_language:
        _notify(session, {"type": "notice", "kind": "language_changed", "language": session.language, "by": by})
    return session


def _notify(session: CodeSession, notice: events.AnyNotice) -> None:
    events.announce_on_commit(session.pk, notice)


def _swap_hello(session: CodeSession, old_language: str, user: User) -> None:
    text = documents.entry_text(session)
    if not text.strip() or (old_language in languages.LANGUAGES and text == languages.get(old_language).hello):
        documents.replace_entry_text(session.pk, languages.get(session.language).hello, user.pk)


def write_content(standing: Standing, user: User, content: str, *, base_revision: int | None = None) -> int:
    """Merge `content` into the shared text as a minimal edit; returns the new revision."""
    return documents.replace_entry_text(standing.session.pk, content, user.pk, base_revision)


def restore_text(standing: Standing, user: User, revision: int) -> int:
    """Turn the entry file's text into what it was at `revision`, as one more edit; returns the new revision.

    Its line ends become \\n, as those of every edit by the server. Raises RevisionUnknown, TextTooLarge.
    """
    session = standing.session
    text = history.text_at(session.pk, revision)
    with transaction.atomic():
        restored = documents.replace_entry_text(session.pk, text, user.pk)
        record(
            "session.text_restored",
            f"{user.username} restored the text of “{session.title}” as of revision {revision}",
            user_id=user.pk,
            session_id=session.pk,
            metadata={"revision": revision, "restored_as": restored},
        )
    return restored


def export_session(standing: Standing, user: User) -> tuple[int, bytes]:
    """The revision at the committed head and its files as a zip archive."""
    session = standing.session
    revision, files = documents.files_at_head(session.pk)
    archive = zips.pack(files)
    record(
        "session.exported",
        f"{user.username} downloaded “{session.title}”",
        user_id=user.pk,
        session_id=session.pk,
        metadata={"revision": revision},
    )
    return revision, archive


@transaction.atomic
def archive_session(standing: Standing, user: User) -> None:
    session = standing.session
    CodeSession.objects.filter(pk=session.pk, archived_at=None).update(
        archived_at=timezone.now(), version=F("version") + 1
    )
    record("session.archived", f"{user.username} archived “{session.title}”", user_id=user.pk, session_id=session.pk)
    # Before the check, which closes the sockets.
    _notify(session, {"type": "notice", "kind": "archived", "by": events.speaker(user)})
    events.recheck_access_on_commit(session.pk)


@transaction.atomic
def restore_session(standing: Standing, user: User) -> CodeSession:
    """Bring an archived session back within RESTORE_DAYS days."""
    session = standing.session
    restored = CodeSession.objects.filter(
        pk=session.pk, archived_at__gte=timezone.now() - timedelta(days=RESTORE_DAYS)
    ).update(archived_at=None, version=F("version") + 1, updated_at=timezone.now())
    if not restored:
        raise NotAllowed(f"A session can be restored for {RESTORE_DAYS} days after it was archived.")
    record("session.restored", f"{user.username} restored “{session.title}”", user_id=user.pk, session_id=session.pk)
    session.refresh_from_db()
    return session


def _require_power_over(standing: Standing, *permissions: str) -> None:
    """Admins are made, changed and removed by the owner only."""
    if Permission.ADMIN in permissions and not standing.may(Action.MANAGE_ADMINS):
        raise NotAllowed("Only the owner adds, changes or removes admins.")


def set_collaborator(standing: Standing, by: User, username: str, permission: str) -> Collaborator:
    """Add a person by name, or change what they may do."""
    person = people_named(username).filter(is_active=True).first()
    if person is None:
        raise PersonNotFound(errors={"username": [PersonNotFound.detail]})
    return _set_permission(standing, by, person, permission)


def change_collaborator(standing: Standing, by: User, user_id: UUID, permission: str) -> Collaborator:
    """Change what a person who is in the session may do."""
    person = User.objects.filter(pk=user_id, collaborations__session=standing.session).first()
    if person is None and user_id != standing.session.owner_id:
        raise PersonNotFound("That person is not in this session.")
    return _set_permission(standing, by, person or standing.session.owner, permission)


@transaction.atomic
def _set_permission(standing: Standing, by: User, person: User, permission: str) -> Collaborator:
    session = standing.session
    if person.pk == session.owner_id:
        raise OwnerStays
    existing = Collaborator.objects.select_for_update().filter(session=session, user=person).first()
    _require_power_over(standing, permission, *([existing.permission] if existing else []))
    collaborator, _ = Collaborator.objects.update_or_create(
        session=session, user=person, defaults={"permission": permission}
    )
    record(
        "collaborator.changed",
        f"{by.username} gave {person.username} {permission} in “{session.title}”",
        user_id=by.pk,
        session_id=session.pk,
        metadata={"person": str(person.pk), "permission": permission},
    )
    if existing is None or existing.permission != permission:
        _tell_role(session, person, permission, by=by, is_new=existing is None)
    events.recheck_access_on_commit(session.pk)
    return collaborator


def _tell_role(session: CodeSession, person: User, permission: str, *, by: User, is_new: bool) -> None:
    user, changer = events.speaker(person), events.speaker(by)
    if is_new:
        _notify(session, {"type": "notice", "kind": "joined", "user": user, "permission": permission, "by": changer})
    else:
        _notify(
            session, {"type": "notice", "kind": "role_changed", "user": user, "permission": permission, "by": changer}
        )


@transaction.atomic
def remove_collaborator(standing: Standing, by: User, user_id: UUID) -> None:
    """Take a person out; anybody may take out themselves.

    Who is taken out by somebody else might know the invite link, so the link stops working.
    """
    session = standing.session
    if user_id == session.owner_id:
        raise OwnerStays
    collaborator = (
        Collaborator.objects.select_for_update().select_related("user").filter(session=session, user_id=user_id).first()
    )
    if user_id != by.pk:
        if not standing.may(Action.SHARE):
            raise NotAllowed
        if collaborator is not None:
            _require_power_over(standing, collaborator.permission)
    if collaborator is None:
        raise PersonNotFound("That person is not in this session.")
    collaborator.delete()
    if user_id != by.pk:
        session.invites.filter(revoked_at=None).update(revoked_at=timezone.now())
    record(
        "collaborator.removed",
        f"{collaborator.user.username} is no longer in “{session.title}”",
        user_id=by.pk,
        session_id=session.pk,
        metadata={"person": str(user_id)},
    )
    gone = events.speaker(collaborator.user)
    _notify(session, {"type": "notice", "kind": "left", "user": gone, "by": events.speaker(by)})
    events.recheck_access_on_commit(session.pk)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@transaction.atomic
def create_invite(standing: Standing, by: User) -> tuple[Invite, str]:
    """A new write link, which replaces the old one. Returns it with its token, which is kept nowhere."""
    session = standing.session
    session.invites.filter(revoked_at=None).update(revoked_at=timezone.now())
    token = secrets.token_urlsafe(16)
    invite = Invite.objects.create(session=session, token_sha256=_digest(token), created_by=by)
    record("invite.created", f"{by.username} made an invite link", user_id=by.pk, session_id=session.pk)
    return invite, token


def revoke_invite(standing: Standing, by: User, invite_id: UUID) -> None:
    revoked = standing.session.invites.filter(pk=invite_id, revoked_at=None).update(revoked_at=timezone.now())
    if not revoked:
        raise InviteNotFound
    record("invite.revoked", f"{by.username} revoked the invite link", user_id=by.pk, session_id=standing.session.pk)


def find_invite(token: str) -> Invite:
    """The working invite of this token. Raises InviteNotFound, alike for every reason."""
    invite = (
        Invite.objects.select_related("session__owner")
        .filter(token_sha256=_digest(token), revoked_at=None, session__archived_at=None)
        .filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))
        .exclude(uses_left=0)
        .first()
    )
    if invite is None:
        raise InviteNotFound
    return invite


@transaction.atomic
def accept_invite(user: User, token: str) -> CodeSession:
    """Join with what the link grants; a person who already has more keeps it."""
    invite = find_invite(token)
    if invite.uses_left is not None and not Invite.objects.filter(pk=invite.pk, uses_left__gt=0).update(
        uses_left=F("uses_left") - 1
    ):
        raise InviteNotFound
    _join(invite.session, user, invite.permission)
    return invite.session


@transaction.atomic
def join_public(standing: Standing, user: User) -> None:
    """Become a reader of a public session, so that it is in one's list."""
    if standing.permission is not None:
        _join(standing.session, user, Permission.READ)


def _join(session: CodeSession, user: User, permission: str) -> None:
    if session.owner_id == user.pk:
        return
    collaborator, created = Collaborator.objects.get_or_create(
        session=session, user=user, defaults={"permission": permission}
    )
    if not created and PERMISSIONS.index(permission) < PERMISSIONS.index(collaborator.permission):
        collaborator.permission = permission
        collaborator.save(update_fields=["permission"])
        _tell_role(session, user, permission, by=user, is_new=False)
    if created:
        _tell_role(session, user, permission, by=user, is_new=True)
        record("session.joined", f"{user.username} joined “{session.title}”", user_id=user.pk, session_id=session.pk)
    events.recheck_access_on_commit(session.pk)


def say(user: User, session_id: UUID | str, text: str, ref: str | None = None) -> ChatMessage:
    """Store a message and show it to everybody in the room, with `ref` so that the sender knows it again.

    Raises SessionNotFound, NotAllowed for who has not joined, RateLimited, NothingSaid, MessageTooLong.
    """
    standing = standing_in(user, session_id, Action.CHAT)
    count_or_refuse("chat", f"user:{user.pk}")
    text = _clean(text)
    session = standing.session
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


def chat_event(message: ChatMessage, user: User, ref: str | None = None) -> events.Chat:
    event: events.Chat = {
        "type": "chat",
        "id": str(message.pk),
        "user": events.speaker(user),
        "text": message.text,
        "created_at": message.created_at.isoformat(),
    }
    if ref is not None:
        event["ref"] = ref
    return event


# Control characters, and those that reverse how the text around them is shown.
_UNSEEN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_LINE_ENDS = str.maketrans({"\t": "    ", "\x85": "\n", "\u2028": "\n", "\u2029": "\n"})


def _clean(text: str) -> str:
    """The message as it is stored: composed characters, \\n for every line end, and nothing that cannot be seen."""
    text = _UNSEEN.sub("", crdt.normalise(text).translate(_LINE_ENDS))
    text = unicodedata.normalize("NFC", text).strip()
    if not any(unicodedata.category(character)[0] not in "CZ" for character in text):
        raise NothingSaid(errors={"text": [NothingSaid.detail]})
    if len(text) > CHAT_MAX_CHARACTERS:
        raise MessageTooLong(errors={"text": [MessageTooLong.detail]})
    return text


@transaction.atomic
def remove_message(message: ChatMessage, by: User) -> bool:
    """Take a message out of the chat of everybody but moderators; False when it already is."""
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
    return True
