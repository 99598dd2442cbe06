"""Access control for sessions: one table for REST, pages, sockets and admin.

`access_to` is the only way to get a session for a user. A session that the user may not see is reported as absent.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from django.db.models import OuterRef, Subquery

from accounts.models import Scope, User
from activity import audit
from sessions_app import storage
from sessions_app.errors import NotAllowed, RunsFrozen, SessionLocked, SessionNotFound
from sessions_app.models import CodeSession, Collaborator, GuestPass, Permission
from web.prepared import Columns, Prepared

if TYPE_CHECKING:
    from collections.abc import Collection

    from django.contrib.auth.models import AnonymousUser

OWNER = "owner"
# The permissions in a session, from most to least.
PERMISSIONS = (OWNER, Permission.ADMIN.value, Permission.WRITE.value, Permission.READ.value)


class Action(StrEnum):
    VIEW = "view"
    EXPORT = "export"
    FORK = "fork"
    CHAT = "chat"
    EDIT = "edit"
    RUN = "run"
    TYPE_INTO_RUN = "type_into_run"
    STOP_ANY_RUN = "stop_any_run"
    CHANGE_SETTINGS = "change_settings"
    SHARE = "share"
    MANAGE_ADMINS = "manage_admins"
    ALLOW_GUESTS = "allow_guests"
    TRANSFER = "transfer"
    ARCHIVE = "archive"


_READ = frozenset(PERMISSIONS)
_WRITE = frozenset({OWNER, "admin", "write"})
_ADMIN = frozenset({OWNER, "admin"})
TABLE: dict[Action, frozenset[str]] = {
    Action.VIEW: _READ,
    Action.EXPORT: _READ,
    Action.FORK: _READ,
    Action.CHAT: _READ,
    Action.EDIT: _WRITE,
    Action.RUN: _WRITE,
    Action.TYPE_INTO_RUN: _WRITE,
    Action.STOP_ANY_RUN: _ADMIN,
    Action.CHANGE_SETTINGS: _ADMIN,
    Action.SHARE: _ADMIN,
    Action.MANAGE_ADMINS: frozenset({OWNER}),
    Action.ALLOW_GUESTS: frozenset({OWNER}),
    Action.TRANSFER: frozenset({OWNER}),
    Action.ARCHIVE: frozenset({OWNER}),
}
# Actions of readers that visitors of a public session must join it for.
JOINED_ONLY = frozenset({Action.CHAT})
# Guests cannot own anything.
NOT_FOR_GUESTS = frozenset({Action.FORK})
# Moderators can view and stop things in any session, but not edit.
MODERATOR = frozenset({Action.VIEW, Action.EXPORT, Action.STOP_ANY_RUN})
# What is still allowed in a locked session, and what is not allowed in one whose runs are frozen.
IN_LOCKED = frozenset({Action.VIEW, Action.EXPORT, Action.FORK, Action.STOP_ANY_RUN})
NOT_IN_FROZEN = frozenset({Action.RUN, Action.TYPE_INTO_RUN})


@dataclass(frozen=True)
class Access:
    """A user's access to a session. `permission` is None for a moderator who is not a member.

    `has_joined` is false for a visitor of a public session, who can read it without being a member.
    """

    session: CodeSession
    permission: str | None
    has_joined: bool
    is_moderator: bool
    is_guest: bool = False
    # The head of the document at the time of the check; 0 if many were checked together.
    revision: int = 0

    def may(self, action: Action) -> bool:
        return self.is_granted(action) and self._stopped_by(action) is None

    def is_granted(self, action: Action) -> bool:
        """Whether the table allows the action, regardless of locks and freezes."""
        if self.is_guest and action in NOT_FOR_GUESTS:
            return False
        if self.permission in TABLE[action] and (self.has_joined or action not in JOINED_ONLY):
            return True
        return self.is_moderator and action in MODERATOR

    def require(self, action: Action) -> None:
        """Raise NotAllowed, with the reason, unless the action is allowed."""
        if not self.may(action):
            stopped = self._stopped_by(action) if self.is_granted(action) else None
            raise (stopped or NotAllowed)()

    def _stopped_by(self, action: Action) -> type[NotAllowed] | None:
        if self.session.locked_at is not None and action not in IN_LOCKED:
            return SessionLocked
        if action is Action.EDIT:
            return storage.refusal_of(self.session.owner_id)
        return RunsFrozen if self.session.frozen_at is not None and action in NOT_IN_FROZEN else None

    @property
    def shown_permission(self) -> str:
        return shown_permission(self.session, self.permission)

    @property
    def live_permission(self) -> str:
        """The permission of the user's sockets: read while nothing can be added to the session."""
        return Permission.READ.value if self._stopped_by(Action.EDIT) else self.shown_permission


def permission_of(session: CodeSession, user_id: uuid.UUID | None, given: str | None) -> str | None:
    """Return owner for the owner, and for others what they were given as members, if anything."""
    return OWNER if session.owner_id == user_id else given


def shown_permission(session: CodeSession, permission: str | None) -> str:
    """Return the permission to show: read for moderators, and for everybody in a locked session."""
    return permission if permission and session.locked_at is None else Permission.READ.value


def can_edit(permission: str | None) -> bool:
    return permission in TABLE[Action.EDIT]


def access_to(user: User | AnonymousUser, session_id: uuid.UUID | str, action: Action = Action.VIEW) -> Access:
    """Return the user's access to an active session.

    Raises SessionNotFound if the user may not see the session (or the id is not a UUID), NotAllowed if they may see it
    but not do this.
    """
    return _access(user, *_session(user, session_id, archived=False), action)


def access_to_archived(user: User | AnonymousUser, session_id: uuid.UUID | str) -> Access:
    """Return the owner's access to an archived session. Raises SessionNotFound for everybody else."""
    return _access(user, *_session(user, session_id, archived=True), Action.ARCHIVE, hide=True)


def within_scopes(permission: str | None, scopes: Collection[str] | None) -> str | None:
    """Limit a permission to the scopes of a personal token; None means no limit."""
    if permission is None or scopes is None or Scope.EDIT in scopes:
        return permission
    return Permission.READ.value


def permissions_in(
    pairs: Collection[tuple[uuid.UUID, User]],
) -> dict[tuple[uuid.UUID, uuid.UUID], str | None]:
    """Return what sockets may do (owner, admin, write or read; None if the user may not see the session).

    Takes many (session, user) pairs, and returns permissions by the ids of both, in two queries, or three with guests.
    """
    session_ids, user_ids = {session_id for session_id, _ in pairs}, {user.pk for _, user in pairs}
    sessions = {found.pk: found for found in CodeSession.objects.filter(pk__in=session_ids, archived_at__isnull=True)}
    rows = Collaborator.objects.filter(session__in=session_ids, user__in=user_ids)
    given = {(row[0], row[1]): row[2] for row in rows.values_list("session_id", "user_id", "permission")}
    if guests := [user for _, user in pairs if user.is_guest]:
        passes = GuestPass.objects.valid().filter(session__in=session_ids, user__in=guests)
        given |= {(row[0], row[1]): row[2] for row in passes.values_list("session_id", "user_id", "permission")}
    permissions: dict[tuple[uuid.UUID, uuid.UUID], str | None] = {}
    for session_id, user in pairs:
        access = None
        if user.is_able and (session := sessions.get(session_id)) is not None:
            own = permission_of(session, user.pk, given.get((session_id, user.pk)))
            access = _access_with(user, session, own)
        may_view = access is not None and access.may(Action.VIEW)
        permissions[session_id, user.pk] = access.live_permission if access is not None and may_view else None
    return permissions


def _session(
    user: User | AnonymousUser, session_id: uuid.UUID | str, *, archived: bool
) -> tuple[CodeSession, str | None, int]:
    """Load the session, the user's permission in it, and the head of its document, in one query."""
    if not user.is_authenticated or not user.is_able:
        raise SessionNotFound
    try:
        key = session_id if isinstance(session_id, uuid.UUID) else uuid.UUID(session_id)
    except ValueError:
        raise SessionNotFound from None
    row = _find.first(user.pk, key)
    if row is None:
        raise SessionNotFound
    given, head, session = row[0], row[1], _sessions.instance(row[2 : 2 + len(_sessions)])
    if (session.archived_at is not None) is not archived:
        raise SessionNotFound
    session.owner = user if session.owner_id == user.pk else _owners.instance(row[2 + len(_sessions) :])
    if user.is_guest:
        given = _given_to_guest(user, session)
    return session, permission_of(session, user.pk, given), head or 0


_sessions, _owners = Columns(CodeSession), Columns(User, "owner__", ("id", "username"))
_find = Prepared(
    lambda user_id, session_id: (
        CodeSession.objects.filter(pk=session_id)
        .order_by()
        .annotate(
            given=Subquery(Collaborator.objects.filter(session=OuterRef("pk"), user=user_id).values("permission")[:1])
        )
        .values_list("given", "document__head", *_sessions.names, *_owners.names)
    )
)


def _access(
    user: User | AnonymousUser,
    session: CodeSession,
    given: str | None,
    revision: int,
    action: Action,
    *,
    hide: bool = False,
) -> Access:
    assert user.is_authenticated
    access = _access_with(user, session, given, revision)
    if not access.may(Action.VIEW):
        raise SessionNotFound
    if hide and not access.is_granted(action):
        raise SessionNotFound
    if not hide:
        access.require(action)
    if access.permission is None:
        audit.note_look(user.pk, "session", session.pk)
    return access


def _access_with(user: User, session: CodeSession, given: str | None, revision: int = 0) -> Access:
    # Guests of one session cannot visit others.
    visits = session.is_public and not user.is_guest
    seen = given or (Permission.READ.value if visits else None)
    return Access(session, seen, given is not None, user.is_moderator, user.is_guest, revision)


def _given_to_guest(user: User, session: CodeSession) -> str | None:
    passes = GuestPass.objects.valid().filter(session=session, user=user)
    return passes.values_list("permission", flat=True).first()
