"""Look up users, and decide who may do what outside of sessions (for those, see sessions_app/access.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Q
from django.db.models.functions import Lower

from accounts.errors import AccountSuspended
from accounts.models import PersonalToken, User
from web.problems import Forbidden, NotFound
from web.times import moment

if TYPE_CHECKING:
    from uuid import UUID

    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from rest_framework.request import Request

    class SignedInRequest(Request):
        """A REST request behind IsAuthenticated."""

        user: User

    class SignedInPageRequest(HttpRequest):
        """A page request behind login_required."""

        user: User


def people_named(username: str, among: QuerySet[User] | None = None) -> QuerySet[User]:
    """Select at most one user. Uses LOWER() on the column, as the unique constraint does, so its index applies."""
    among = User.objects.all() if among is None else among
    return among.alias(folded=Lower("username")).filter(folded=username.lower())


def people_at(email: str, among: QuerySet[User] | None = None) -> QuerySet[User]:
    """Select at most one user."""
    among = User.objects.all() if among is None else among
    return among.alias(folded=Lower("email")).filter(folded=email.lower())


def find_for_sign_in(name: str) -> User | None:
    """Find a user by username or email address. Usernames cannot contain @, so the two never clash."""
    if "\x00" in name:
        return None
    return (people_at(name) if "@" in name else people_named(name)).first()


def suspension_of(user: User) -> AccountSuspended:
    """Build the error that tells suspended users why, once they have proved who they are."""
    until = user.suspended_until
    ends = f"until {until:%Y-%m-%d %H:%M} UTC" if until else "indefinitely"
    reason = f" Reason: {user.suspension_reason}" if user.suspension_reason else ""
    return AccountSuspended(
        f"This account is suspended {ends}.{reason}",
        reason=user.suspension_reason,
        suspended_until=moment(until) if until else None,
    )


def check_moderator(user: User | AnonymousUser) -> User:
    """Return the user, or raise Forbidden unless they are a moderator or an administrator of the platform."""
    if not isinstance(user, User) or not user.is_moderator:
        raise Forbidden("Only moderators can do this.")
    return user


def own_bots(user: User) -> QuerySet[User]:
    return user.bots.filter(is_active=True).order_by("username")


def own_bot(user: User, bot_id: UUID) -> User:
    """Return a bot of this user. Raises NotFound."""
    bot = own_bots(user).filter(pk=bot_id).first()
    if bot is None:
        raise NotFound("You have no such bot.")
    return bot


def own_bot_named(user: User, username: str) -> User:
    bot = people_named(username, own_bots(user)).first()
    if bot is None:
        raise NotFound("You have no bot with this username.")
    return bot


def own_tokens(user: User) -> QuerySet[PersonalToken]:
    """Select the tokens of this user and of their bots that were not revoked, newest first."""
    theirs = PersonalToken.objects.filter(Q(user=user) | Q(user__bot_of=user), revoked_at=None)
    return theirs.select_related("user").order_by("-created_at", "id")


def own_token(user: User, token_id: UUID) -> PersonalToken:
    token = own_tokens(user).filter(pk=token_id).first()
    if token is None:
        raise NotFound("You have no such token.")
    return token
