"""Manage the members of a session: collaborators, guests, joining, leaving, transfer. Each function is one verb."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from accounts.access import people_named
from accounts.actions import delete_account
from accounts.guests import rename_guest
from accounts.models import User, able
from activity import audit
from activity.log import record
from sessions_app import events, storage
from sessions_app.access import OWNER, PERMISSIONS, Access, Action
from sessions_app.errors import (
    NoCollaborator,
    NotAllowed,
    OwnerStays,
    PersonNotFound,
    StorageFull,
    TooManySessions,
)
from sessions_app.models import CodeSession, Collaborator, GuestPass, Permission

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from django.db.models import QuerySet

    from sessions_app import messages

GUEST_TIME = timedelta(hours=12)
GUEST_KEPT = timedelta(days=30)
# How many guests one round of upkeep erases; the next round continues.
GUESTS_FORGOTTEN = 200


def set_collaborator(access: Access, by: User, username: str, permission: str) -> Collaborator:
    """Add a user by name, or change their permission."""
    person = people_named(username).filter(able(), is_guest=False).first()
    if person is None:
        raise PersonNotFound(errors={"username": [PersonNotFound.detail]})
    return _set_permission(access, by, person, permission)


def change_collaborator(access: Access, by: User, user_id: UUID, permission: str) -> Collaborator:
    """Change the permission of a member."""
    person = User.objects.filter(pk=user_id, collaborations__session=access.session).first()
    if person is None and user_id != access.session.owner_id:
        raise NoCollaborator
    return _set_permission(access, by, person or access.session.owner, permission)


@transaction.atomic
def _set_permission(access: Access, by: User, person: User, permission: str) -> Collaborator:
    session = access.session
    if person.pk == session.owner_id:
        raise OwnerStays
    existing = Collaborator.objects.select_for_update().filter(session=session, user=person).first()
    _require_power_over(access, permission, *([existing.permission] if existing else []))
    collaborator, _ = Collaborator.objects.update_or_create(
        session=session, user=person, defaults={"permission": permission}
    )
    record(
        "collaborator.changed",
        f"{by.username} gave {person.username} the permission {permission} in “{session.title}”",
        user_id=by.pk,
        session_id=session.pk,
        metadata={"person": str(person.pk), "permission": permission},
    )
    if existing is None or existing.permission != permission:
        tell_role(session, person, permission, by=by, is_new=existing is None)
    events.recheck_access_on_commit(session.pk)
    _note(
        "collaborator.changed" if existing else "collaborator.added",
        session,
        by,
        person=str(person.pk),
        permission=permission,
        was=existing.permission if existing else None,
    )
    return collaborator


def _note(action: str, session: CodeSession, by: User, **metadata: str | None) -> None:
    """Add an entry to the audit trail, at the end of a transaction."""
    audit.append(action, actor_id=by.pk, target_type="session", target_id=session.pk, metadata=metadata)


def _require_power_over(access: Access, *permissions: str) -> None:
    """Raise NotAllowed unless the user may add, change and remove admins."""
    if Permission.ADMIN in permissions and not access.may(Action.MANAGE_ADMINS):
        raise NotAllowed("Only the owner can add, change or remove admins.")


def tell_role(session: CodeSession, person: User, permission: str, *, by: User, is_new: bool = False) -> None:
    user, changer = events.speaker(person), events.speaker(by)
    notice: messages.AnyNotice = (
        {"type": "notice", "kind": "joined", "user": user, "permission": permission, "by": changer}
        if is_new
        else {"type": "notice", "kind": "role_changed", "user": user, "permission": permission, "by": changer}
    )
    events.announce_on_commit(session.pk, notice)


def _tell_left(session: CodeSession, person: User, by: User) -> None:
    notice: messages.AnyNotice = {
        "type": "notice",
        "kind": "left",
        "user": events.speaker(person),
        "by": events.speaker(by),
    }
    events.announce_on_commit(session.pk, notice)


@transaction.atomic
def remove_collaborator(access: Access, by: User, user_id: UUID) -> None:
    """Remove a member. Members may also remove themselves.

    Somebody removed by others may know the invite links, so these stop working.
    """
    session = access.session
    if user_id == session.owner_id:
        raise OwnerStays
    collaborator = (
        Collaborator.objects.select_for_update().select_related("user").filter(session=session, user_id=user_id).first()
    )
    if user_id != by.pk:
        access.require(Action.SHARE)
        if collaborator is not None:
            _require_power_over(access, collaborator.permission)
    if collaborator is None:
        raise NoCollaborator
    collaborator.delete()
    if user_id != by.pk:
        _revoke_all(session, by)
    record(
        "collaborator.removed",
        f"{collaborator.user.username} is no longer in “{session.title}”",
        user_id=by.pk,
        session_id=session.pk,
        metadata={"person": str(user_id)},
    )
    _tell_left(session, collaborator.user, by)
    events.recheck_access_on_commit(session.pk)
    _note("collaborator.removed", session, by, person=str(user_id), was=collaborator.permission)


def _revoke_all(session: CodeSession, by: User) -> None:
    end_guests(session, by, session.guest_passes.filter(invite__isnull=False))
    session.invites.unrevoked().update(revoked_at=timezone.now())


@transaction.atomic
def remove_guest(access: Access, by: User, user_id: UUID) -> None:
    """Remove a guest. They may know the invite links, so these stop working."""
    session = access.session
    passes = session.guest_passes.filter(user=user_id)
    if not passes.valid().exists():
        raise NoCollaborator
    end_guests(session, by, passes)
    _revoke_all(session, by)
    record("session.guest_removed", f"{by.username} removed a guest", user_id=by.pk, session_id=session.pk)


@transaction.atomic
def change_guest_name(access: Access, guest: User, name: str) -> GuestPass:
    """Change a guest's name, also on open pages. Raises GuestNameRefused."""
    guest_pass = access.session.guest_passes.valid().select_related("user").get(user=guest)
    old_name, guest_pass.user.username = guest.username, rename_guest(guest, name)
    record(
        "session.guest_renamed",
        f"{old_name} is called {guest_pass.user.username} now",
        user_id=guest.pk,
        session_id=access.session.pk,
    )
    transaction.on_commit(lambda: events.recheck_person(str(guest.pk)))
    return guest_pass


def heirs_of(session: CodeSession) -> QuerySet[Collaborator]:
    """Select the collaborators who could become the owner, with their users. (Guests are not collaborators.)"""
    return heirs(session.collaborators.all())


def heirs(collaborators: QuerySet[Collaborator]) -> QuerySet[Collaborator]:
    """Select those who could own the session."""
    return collaborators.filter(able("user__"), user__bot_of=None).select_related("user")


def require_room_of_heir(heir: User, session_ids: Collection[UUID]) -> None:
    """Raise StorageFull if these sessions would exceed the storage of their new owner."""
    try:
        storage.require_room_for(heir, storage.bytes_of(session_ids), sessions=len(session_ids))
    except (StorageFull, TooManySessions):
        what = "this session" if len(session_ids) == 1 else "these sessions"
        raise StorageFull(f"{heir.username} has no room for {what}.") from None


@transaction.atomic
def transfer_session(access: Access, by: User, username: str) -> CodeSession:
    """Make a collaborator the owner. The previous owner stays as an admin.

    Raises PersonNotFound if the new owner is not in the session, is suspended or is a bot, StorageFull if they have no
    room for it, and NotAllowed if `by` is no longer the owner.
    """
    session = access.session
    # Locked, so that the user does not leave between this query and the UPDATE.
    theirs = heirs_of(session).select_for_update(of=("self",)).filter(user__in=people_named(username)).first()
    if theirs is None:
        detail = "Nobody with that name who could own the session is in it. Add them first."
        raise PersonNotFound(errors={"username": [detail]})
    require_room_of_heir(theirs.user, [session.pk])
    moved = CodeSession.objects.filter(pk=session.pk, owner=by, archived_at=None).update(
        owner=theirs.user, version=F("version") + 1, updated_at=timezone.now()
    )
    if not moved:
        raise NotAllowed
    theirs.delete()
    Collaborator.objects.update_or_create(session=session, user=by, defaults={"permission": Permission.ADMIN})
    record(
        "session.transferred",
        f"{by.username} made {theirs.user.username} the owner of “{session.title}”",
        user_id=by.pk,
        session_id=session.pk,
        level="warning",
        metadata={"person": str(theirs.user_id)},
    )
    tell_role(session, theirs.user, OWNER, by=by)
    tell_role(session, by, Permission.ADMIN, by=by)
    events.recheck_access_on_commit(session.pk)
    session.refresh_from_db()
    _note("session.transferred", session, by, person=str(theirs.user_id))
    return session


def end_guests(session: CodeSession, by: User, passes: QuerySet[GuestPass]) -> None:
    """Remove these guests and close their sockets. Call it in a transaction."""
    now = timezone.now()
    ending = list(passes.filter(ended_at=None, expires_at__gt=now).select_related("user"))
    GuestPass.objects.filter(pk__in=[guest_pass.pk for guest_pass in ending]).update(ended_at=now)
    for guest_pass in ending:
        _tell_left(session, guest_pass.user, by)
    events.recheck_access_on_commit(session.pk)


def forget_guests() -> None:
    """Erase the names of guests whose passes expired GUEST_KEPT ago. What they wrote stays. Runs periodically."""
    over = Q(ended_at__lt=timezone.now() - GUEST_KEPT) | Q(expires_at__lt=timezone.now() - GUEST_KEPT)
    for guest_pass in GuestPass.objects.filter(over, user__deleted_at=None).select_related("user")[:GUESTS_FORGOTTEN]:
        delete_account(guest_pass.user, {})


@transaction.atomic
def leave_session(access: Access, user: User) -> None:
    """Leave the session. Raises OwnerStays for the owner, NoCollaborator for visitors."""
    if user.is_guest:
        end_guests(access.session, user, access.session.guest_passes.filter(user=user))
    else:
        remove_collaborator(access, user, user.pk)


@transaction.atomic
def join_public(access: Access, user: User) -> None:
    """Join a public session as a reader, so that it is in the user's list."""
    if access.permission is not None:
        join(access.session, user, Permission.READ)


def join(session: CodeSession, user: User, permission: str) -> bool:
    """Add the user or raise their permission. Returns False if they already had as much."""
    if session.owner_id == user.pk:
        return False
    collaborator, is_new = Collaborator.objects.get_or_create(
        session=session, user=user, defaults={"permission": permission}
    )
    if is_new:
        record("session.joined", f"{user.username} joined “{session.title}”", user_id=user.pk, session_id=session.pk)
    elif PERMISSIONS.index(permission) >= PERMISSIONS.index(collaborator.permission):
        return False
    elif not Collaborator.objects.filter(pk=collaborator.pk, permission=collaborator.permission).update(
        permission=permission
    ):
        # A concurrent request added the user.
        return False
    tell_role(session, user, permission, by=user, is_new=is_new)
    events.recheck_access_on_commit(session.pk)
    return True
