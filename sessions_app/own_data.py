"""Export, hand over and erase what sessions_app stores about a user (see accounts/privacy.py)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Prefetch, Q
from django.utils import timezone

from accounts.models import User
from accounts.privacy import Owned, as_json, as_lines
from activity import audit
from sessions_app import events, sharing, zips
from sessions_app.access import OWNER
from sessions_app.description import describe
from sessions_app.document import contents
from sessions_app.document.errors import Broken, Malformed
from sessions_app.document.update_log import LogDamaged
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

    from django.db.models import QuerySet

    from accounts.privacy import File

_ROWS = 200
_ERASED_SESSIONS = 10


def export(user: User) -> Iterator[File]:
    people = Prefetch("collaborators", Collaborator.objects.select_related("user"))
    sessions = _owned(user).select_related("owner").order_by("created_at").prefetch_related(people)
    for session in sessions.iterator(chunk_size=_ROWS):
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
    # With the id, because two sessions may have the same title.
    folder = f"sessions/{title} {session.pk}"
    about = describe(session, OWNER) | {
        "archived_at": session.archived_at,
        "people": [
            {"user__username": person.user.username, "permission": person.permission}
            for person in session.collaborators.all()
        ],
    }
    yield f"{folder}/session.json", as_json(about)
    try:
        _, files = contents.files_at_head(session.pk)
    except (LogDamaged, Malformed, Broken):
        yield (
            f"{folder}/UNREADABLE.txt",
            [b"The text of this session cannot be read. Ask the operator of this server.\n"],
        )
        return
    taken: set[str] = set()
    for path, content in files.items():
        yield f"{folder}/files/{zips.free_name(zips.safe_name(path), taken)}", [content]


def estate(user: User) -> list[Owned]:
    """Return the user's sessions that somebody else could own."""
    owned: dict[UUID, Owned] = {}
    others = Collaborator.objects.filter(session__in=_own(user)).exclude(user=user)
    for heir in sharing.heirs(others).select_related("session"):
        session = heir.session
        owned.setdefault(session.pk, Owned(session.pk, session.title, [])).heirs.append(heir.user)
    return list(owned.values())


def bequeath(user: User, heirs: Mapping[UUID, UUID]) -> None:
    """Hand the user's sessions to the heirs, except those that a moderator closed.

    Raises PersonNotFound if an heir cannot own the session, StorageFull if one has no room.
    """
    owned = dict(_own(user).filter(pk__in=heirs).order_by("pk").values_list("pk", "title"))
    others = Collaborator.objects.filter(session__in=list(owned)).exclude(user=user)
    able = set(sharing.heirs(others).values_list("session_id", "user_id"))
    for session_id, title in owned.items():
        if (session_id, heirs[session_id]) not in able:
            raise PersonNotFound(f"“{title}” cannot go to somebody who is not in it.")
    for heir in User.objects.filter(pk__in=[heirs[session_id] for session_id in owned]).order_by("pk"):
        with transaction.atomic():
            sharing.require_room_of_heir(heir, [session_id for session_id in owned if heirs[session_id] == heir.pk])
    for session_id in owned:
        _hand_over(session_id, user, heirs[session_id])


@transaction.atomic
def _hand_over(session_id: UUID, user: User, heir_id: UUID) -> None:
    _owned(user).filter(pk=session_id).update(owner_id=heir_id, version=F("version") + 1)
    Collaborator.objects.filter(session_id=session_id, user_id=heir_id).delete()
    events.recheck_access_on_commit(session_id)
    _note("session.transferred", user, session_id, person=str(heir_id))


@transaction.atomic
def take_over(bot: User) -> None:
    """Hand the sessions of a retired bot to its owner, in whose storage they already count."""
    Collaborator.objects.filter(session__owner=bot, user=bot.bot_of).delete()
    sessions = CodeSession.objects.filter(owner=bot)
    for session_id in list(sessions.values_list("pk", flat=True)):
        events.recheck_access_on_commit(session_id)
    sessions.update(owner=bot.bot_of_id, version=F("version") + 1)


@transaction.atomic
def erase(user: User) -> bool:
    """Delete the user's sessions, except those that a moderator closed. In other sessions, what they wrote stays."""
    people = [user, *user.bots.all()]
    if sessions := list(_own(user).order_by("pk").values_list("pk", flat=True)[:_ERASED_SESSIONS]):
        CodeSession.objects.filter(pk__in=sessions).delete()
        for session_id in sessions:
            events.recheck_access_on_commit(session_id)
        for session_id in sessions:
            _note("session.deleted", user, session_id)
        return True
    joined = Collaborator.objects.filter(user__in=people)
    if places := dict(joined.values_list("pk", "session_id")[:_ROWS]):
        Collaborator.objects.filter(pk__in=places).delete()
        for session_id in places.values():
            events.recheck_access_on_commit(session_id)
        return True
    theirs: list[tuple[QuerySet[Any], dict[str, Any]]] = [
        (Invite.objects.filter(created_by__in=people, revoked_at=None), {"revoked_at": timezone.now()}),
        (Report.objects.filter(reporter__in=people), {"reporter": None}),
        *(
            (rows.objects.filter(user__in=people), {"user": None})
            for rows in (Update, Segment, Quarantined, ChatMessage)
        ),
    ]
    for rows, change in theirs:
        if ids := list(rows.values_list("pk", flat=True)[:_ROWS]):
            rows.model._default_manager.filter(pk__in=ids).update(**change)
            return True
    InviteUse.objects.filter(user__in=people).delete()
    return False


def _owned(user: User) -> QuerySet[CodeSession]:
    """Select the user's sessions, including those of their bots, as in storage.py."""
    return CodeSession.objects.filter(Q(owner=user) | Q(owner__bot_of=user))


def _own(user: User) -> QuerySet[CodeSession]:
    """Leave out sessions that a moderator closed. They stay, with a nameless row as their owner."""
    return _owned(user).filter(closed_at=None)


def _note(action: str, user: User, session_id: UUID, **metadata: str) -> None:
    audit.append(
        action,
        actor_id=user.pk,
        target_type="session",
        target_id=session_id,
        metadata={"account": "deleted"} | metadata,
    )


def forget_archived() -> None:
    """Delete sessions archived more than settings.ARCHIVE_DAYS days ago (0 keeps all). Runs periodically.

    Sessions closed by a moderator stay as evidence.
    """
    if settings.ARCHIVE_DAYS:
        oldest = timezone.now() - timedelta(days=settings.ARCHIVE_DAYS)
        for session in CodeSession.objects.filter(archived_at__lt=oldest, closed_at=None).iterator(chunk_size=_ROWS):
            session.delete()
