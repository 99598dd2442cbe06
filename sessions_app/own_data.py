"""The part of sessions in accounts/privacy.py: what a person owns, said and wrote; and who owns it when they go."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db.models import F
from django.utils import timezone

from accounts.privacy import Owned, as_json, as_lines
from sessions_app import crdt, documents, events, sharing, zips
from sessions_app.errors import PersonNotFound
from sessions_app.models import (
    ChatMessage,
    CodeSession,
    Collaborator,
    Invite,
    InviteUse,
    Quarantined,
    Report,
    Segment,
    Update,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from accounts.models import User
    from accounts.privacy import File

_ROWS = 200


def export(user: User) -> Iterator[File]:
    for session in CodeSession.objects.filter(owner=user).order_by("created_at").iterator(chunk_size=_ROWS):
        yield from _session(session)
    joined = Collaborator.objects.filter(user=user).values("session_id", "session__title", "permission", "added_at")
    yield "joined_sessions.json", as_json(list(joined))
    said = ChatMessage.objects.filter(user=user).order_by("created_at")
    rows = said.values("session_id", "created_at", "text", "removed_at")
    yield "chat.jsonl", as_lines(rows.iterator(chunk_size=_ROWS))
    reports = Report.objects.filter(reporter=user).values("session_id", "created_at", "reason", "state")
    yield "reports.jsonl", as_lines(reports.iterator(chunk_size=_ROWS))


def _session(session: CodeSession) -> Iterator[File]:
    title = zips.name_of(session.title)[:60]
    # With the id, because two sessions may bear one title.
    folder = f"sessions/{title} {session.pk}"
    about = {
        "id": session.pk,
        "title": session.title,
        "language": session.language,
        "is_public": session.is_public,
        "allows_guests": session.allows_guests,
        "forked_from": session.forked_from_id,
        "metadata": session.metadata,
        "created_at": session.created_at,
        "updated_at": session.updated_at,
        "archived_at": session.archived_at,
        "people": list(session.collaborators.values("user__username", "permission")),
    }
    yield f"{folder}/session.json", as_json(about)
    try:
        _, files = documents.files_at_head(session.pk)
    except (documents.LogDamaged, crdt.Malformed, crdt.Broken):
        yield f"{folder}/UNREADABLE.txt", [b"The text of this session cannot be read. Ask whoever runs this server.\n"]
        return
    taken: set[str] = set()
    for path, content in files.items():
        yield f"{folder}/files/{zips.free_name(zips.safe_name(path), taken)}", [content]


def estate(user: User) -> list[Owned]:
    """Their sessions that somebody else could own."""
    sessions = CodeSession.objects.filter(owner=user, closed_at=None)
    owned = ((session, [heir.user for heir in sharing.heirs_of(session)]) for session in sessions)
    return [Owned(session.pk, session.title, heirs) for session, heirs in owned if heirs]


def erase(user: User, heirs: Mapping[UUID, UUID]) -> list[dict[str, Any]]:
    """Their sessions go to the named people or away; elsewhere their name goes and what they wrote stays.

    What a moderator closed is neither handed over nor deleted.

    Raises PersonNotFound when somebody named cannot own the session.
    """
    entries: list[dict[str, Any]] = []
    people = [user, *user.bots.all()]
    elsewhere = set(Collaborator.objects.filter(user__in=people).values_list("session_id", flat=True))
    for session in CodeSession.objects.filter(owner=user).order_by("pk"):
        elsewhere.add(session.pk)
        if session.closed_at is not None:
            # Moderators answer for it: it stays, with the row that has no name as its owner.
            continue
        if session.pk in heirs:
            entries.append(_hand_over(session, user, heirs[session.pk]))
        else:
            entries.append(_entry("session.deleted", user, session.pk))
            session.delete()
    Collaborator.objects.filter(user__in=people).delete()
    Invite.objects.filter(created_by__in=people, revoked_at=None).update(revoked_at=timezone.now())
    InviteUse.objects.filter(user__in=people).delete()
    for rows in (Update, Segment, Quarantined, ChatMessage):
        rows.objects.filter(user__in=people).update(user=None)
    Report.objects.filter(reporter__in=people).update(reporter=None)
    for session_id in elsewhere:
        events.recheck_access_on_commit(session_id)
    return entries


def _hand_over(session: CodeSession, user: User, heir_id: UUID) -> dict[str, Any]:
    if not sharing.heirs_of(session).filter(user=heir_id).exists():
        raise PersonNotFound(f"“{session.title}” cannot go to somebody who is not in it.")
    CodeSession.objects.filter(pk=session.pk).update(owner_id=heir_id, version=F("version") + 1)
    Collaborator.objects.filter(session=session, user_id=heir_id).delete()
    return _entry("session.transferred", user, session.pk, person=str(heir_id))


def _entry(action: str, user: User, session_id: UUID, **metadata: str) -> dict[str, Any]:
    return {
        "action": action,
        "actor_id": user.pk,
        "target_type": "session",
        "target_id": session_id,
        "metadata": {"account": "deleted"} | metadata,
    }


def forget_archived() -> None:
    """Periodic: delete what was archived more than settings.ARCHIVE_DAYS days ago; 0 keeps everything.

    What a moderator closed stays, for whoever has to answer for it.
    """
    if settings.ARCHIVE_DAYS:
        oldest = timezone.now() - timedelta(days=settings.ARCHIVE_DAYS)
        for session in CodeSession.objects.filter(archived_at__lt=oldest, closed_at=None).iterator(chunk_size=_ROWS):
            session.delete()
