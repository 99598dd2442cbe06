"""Create, rotate and revoke invite links, and join through one, as a member or as a guest."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Count, F, Prefetch, QuerySet
from django.utils import timezone

from accounts.guests import make_guest
from activity.log import record
from sessions_app.errors import GuestsNotAllowed, InviteNotFound, SessionNotFound, TooManyGuests, TooManyInvites
from sessions_app.limits import GUESTS_MAX, INVITES_MAX
from sessions_app.models import CodeSession, GuestPass, Invite, InviteUse, Permission
from sessions_app.sharing import GUEST_TIME, end_guests, join, tell_role

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from accounts.models import User
    from sessions_app.access import Access

INVITES_SHOWN = 100
# How many uses of a link are listed.
INVITE_USES_SHOWN = 100


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _new_token() -> str:
    """Return 128 random bits, which need no slow hash."""
    return secrets.token_urlsafe(16)


def listed_invites(session: CodeSession) -> QuerySet[Invite]:
    """Return the links that were not revoked, with their uses, in a fixed number of queries."""
    newest = InviteUse.objects.select_related("user").order_by("-used_at", "-id")[:INVITE_USES_SHOWN]
    return (
        session.invites.unrevoked()
        .select_related("created_by")
        .annotate(joined_count=Count("uses"))
        .prefetch_related(Prefetch("uses", newest, to_attr="newest_uses"))[:INVITES_SHOWN]
    )


@transaction.atomic
def create_invite(
    access: Access,
    by: User,
    *,
    permission: str = Permission.WRITE,
    expires_at: datetime | None = None,
    uses: int | None = None,
) -> tuple[Invite, str]:
    """Create a link that is valid until `expires_at` and for the number of `uses`, if given.

    Returns it with its token, which is not stored. Raises TooManyInvites.
    """
    session = access.session
    # Locked, so that concurrent requests cannot both take the last place.
    CodeSession.objects.select_for_update().get(pk=session.pk)
    if session.invites.usable().count() >= INVITES_MAX:
        raise TooManyInvites
    token = _new_token()
    invite = Invite.objects.create(
        session=session,
        token_sha256=_digest(token),
        permission=permission,
        created_by=by,
        expires_at=expires_at,
        uses_left=uses,
    )
    record(
        "invite.created",
        f"{by.username} created an invite link",
        user_id=by.pk,
        session_id=session.pk,
        metadata={"invite": str(invite.pk), "permission": permission},
    )
    return invite, token


@transaction.atomic
def rotate_invite(access: Access, by: User, invite_id: UUID) -> tuple[Invite, str]:
    """Give a link a new address. The old one stops working; its permission and limits stay.

    Guests who joined through the old address are removed; people with an account stay.
    """
    session = access.session
    token = _new_token()
    if not session.invites.usable().filter(pk=invite_id).update(token_sha256=_digest(token)):
        raise InviteNotFound
    end_guests(session, by, session.guest_passes.filter(invite=invite_id))
    record(
        "invite.rotated",
        f"{by.username} gave an invite link a new address",
        user_id=by.pk,
        session_id=session.pk,
        metadata={"invite": str(invite_id)},
    )
    return session.invites.select_related("created_by").get(pk=invite_id), token


@transaction.atomic
def revoke_invite(access: Access, by: User, invite_id: UUID) -> None:
    """Revoke a link and remove guests who joined through it. People with an account stay."""
    session = access.session
    # Before the link is revoked, while their passes are still valid.
    end_guests(session, by, session.guest_passes.filter(invite=invite_id))
    if not session.invites.unrevoked().filter(pk=invite_id).update(revoked_at=timezone.now()):
        raise InviteNotFound
    record(
        "invite.revoked",
        f"{by.username} revoked an invite link",
        user_id=by.pk,
        session_id=session.pk,
        metadata={"invite": str(invite_id)},
    )


def _invites_of(token: str) -> QuerySet[Invite]:
    return (
        Invite.objects.usable()
        .select_related("session__owner")
        .filter(token_sha256=_digest(token), session__archived_at=None)
    )


def find_invite(token: str) -> Invite:
    """Return the valid invite with this token. Raises InviteNotFound, whatever the reason."""
    invite = _invites_of(token).first()
    if invite is None:
        raise InviteNotFound
    return invite


@transaction.atomic
def accept_invite(user: User, token: str) -> CodeSession:
    """Join with the permission that the link grants. A user who already has as much does not use up the link.

    Raises InviteNotFound, whatever the reason.
    """
    invite, session = _open_invite(token)
    if join(session, user, invite.permission):
        _use(invite, user)
    return session


def _open_invite(token: str) -> tuple[Invite, CodeSession]:
    """Find and lock the invite, so that one user gets the last use, and concurrent requests of a user count once."""
    invite = _invites_of(token).select_for_update(of=("self",)).first()
    if invite is None:
        raise InviteNotFound
    return invite, invite.session


def _use(invite: Invite, user: User) -> None:
    if not Invite.objects.usable().filter(pk=invite.pk).update(uses_left=F("uses_left") - 1):
        raise InviteNotFound
    InviteUse.objects.get_or_create(invite=invite, user=user)


@transaction.atomic
def come_as_guest(name: str, session_id: UUID, token: str = "") -> GuestPass:
    """Create a guest with the permission that the link of `token` grants, or as a reader of the public session.

    Raises InviteNotFound or SessionNotFound, GuestsNotAllowed, TooManyGuests, GuestNameRefused.
    """
    if token:
        invite, session = _open_invite(token)
        permission = invite.permission
        if session.pk != session_id:
            raise InviteNotFound
    else:
        found = CodeSession.objects.public().filter(pk=session_id).first()
        if found is None:
            raise SessionNotFound
        invite, session, permission = None, found, Permission.READ.value
    # Locked, so that concurrent requests cannot both take the last place.
    if not CodeSession.objects.select_for_update().get(pk=session.pk).allows_guests:
        raise GuestsNotAllowed
    if GuestPass.objects.present().filter(session=session).count() >= GUESTS_MAX:
        raise TooManyGuests
    guest = make_guest(name)
    made = GuestPass.objects.create(
        user=guest, session=session, invite=invite, permission=permission, expires_at=timezone.now() + GUEST_TIME
    )
    if invite is not None:
        _use(invite, guest)
    record("session.guest_came", f"{guest.username} joined “{session.title}”", user_id=guest.pk, session_id=session.pk)
    tell_role(session, guest, permission, by=guest, is_new=True)
    return made
