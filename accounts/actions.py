"""What a person can do with their account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.account.models import EmailAddress
from django.contrib.auth import authenticate
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from accounts import access, tokens
from accounts.errors import CredentialsRefused, EmailTaken, TokenExpired, TokenRefused, UsernameTaken
from accounts.models import Role, User
from accounts.moderators import ensure_group
from activity.log import record
from codecrafter.http.problems import Forbidden

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accounts.tokens import TokenPair


def register(*, username: str, email: str, password: str) -> User:
    """A new person. The fields are already validated; UsernameTaken or EmailTaken name both when both are."""
    email = email.lower()
    _refuse_taken(username, email)
    user = User(username=username, email=email)
    # Before the transaction: hashing takes a fifth of a second, and SQLite has one writer.
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError:
        # Somebody else took the name between the look and the write.
        _refuse_taken(username, email)
        raise
    record("user.registered", f"{user.username} signed up", user_id=user.pk)
    return user


def sign_in(name: str, password: str) -> tuple[User, TokenPair]:
    """Tokens for the API by user name or e-mail address; CredentialsRefused for every reason alike."""
    user = authenticate(None, username=name, password=password)
    if not isinstance(user, User):
        raise CredentialsRefused
    with transaction.atomic():
        now = timezone.now()
        User.objects.filter(pk=user.pk).update(last_login=now)
        user.last_login = now
        pair = tokens.issue(user)
        record("user.signed_in", f"{user.username} signed in", user_id=user.pk, metadata={"door": "api"})
    return user, pair


def rotate_refresh(refresh: str) -> TokenPair:
    """A new pair for an unspent refresh token; TokenRefused otherwise.

    A token that comes a second time has been copied, or its answer was lost. Both look the same from here, so the
    whole family ends and the person signs in again. Access tokens that are out live on for at most 15 minutes.
    """
    token = tokens.read_refresh(refresh)
    user = tokens.owner_of(token)
    with transaction.atomic():
        if tokens.spend(token):
            return tokens.issue(user, family=token["fam"])
    # Outside of the transaction, so that what is raised does not undo it.
    tokens.revoke_family(token["fam"])
    record(
        "user.token_reused",
        f"An old token of {user.username} was used again; that sign-in was ended",
        user_id=user.pk,
        level="warning",
    )
    raise TokenRefused


def sign_out(refresh: str) -> None:
    """End the sign-in that this refresh token belongs to. Ending it twice, or after its time, is fine."""
    try:
        token = tokens.read_refresh(refresh)
    except TokenExpired:
        return
    tokens.revoke_family(token["fam"])
    user = User.objects.filter(pk=token["sub"]).first()
    if user is not None:
        record("user.signed_out", f"{user.username} signed out", user_id=user.pk, metadata={"door": "api"})


def change_profile(
    user: User,
    *,
    username: str | None = None,
    email: str | None = None,
    preferences: Mapping[str, Any] | None = None,
    check_version: Callable[[int], None] = lambda version: None,
) -> User:
    """Change what is given; `preferences` replaces the keys it names. Returns the person as stored.

    `check_version` is called with the current version while the row is held, and may raise. UsernameTaken and
    EmailTaken as in `register`.
    """
    try:
        with transaction.atomic():
            stored = User.objects.select_for_update().get(pk=user.pk)
            check_version(stored.version)
            changes: dict[str, Any] = {}
            if username is not None and username != stored.username:
                changes["username"] = username
            if email is not None and email.lower() != stored.email:
                changes["email"] = email.lower()
            if preferences is not None and stored.preferences | dict(preferences) != stored.preferences:
                changes["preferences"] = stored.preferences | dict(preferences)
            if not changes:
                return stored
            _refuse_taken(changes.get("username"), changes.get("email"), but=stored)
            User.objects.filter(pk=stored.pk).update(**changes, version=F("version") + 1)
            if "email" in changes:
                # Mail must never again go to an address that is no longer theirs.
                EmailAddress.objects.filter(user=stored).delete()
    except IntegrityError:
        _refuse_taken(username, email, but=user)
        raise
    stored.refresh_from_db()
    record(
        "user.profile_changed",
        f"{stored.username} changed their {' and '.join(sorted(changes))}",
        user_id=stored.pk,
        metadata={"fields": sorted(changes)},
    )
    return stored


def _refuse_taken(username: str | None, email: str | None, *, but: User | None = None) -> None:
    """Raise with every taken field in `errors`; the error's own code is that of the first."""
    others = User.objects.exclude(pk=but.pk) if but is not None else User.objects.all()
    refusals: dict[str, type[UsernameTaken] | type[EmailTaken]] = {}
    if username is not None and access.people_named(username, others).exists():
        refusals["username"] = UsernameTaken
    if email is not None and access.people_at(email, others).exists():
        refusals["email"] = EmailTaken
    if refusals:
        errors = {name: [{"message": kind.detail, "code": kind.code}] for name, kind in refusals.items()}
        raise next(iter(refusals.values()))(errors=errors)


def set_role(user: User, role: Role, *, by: User) -> None:
    """Make somebody a user, a moderator or an admin, and let what they may do in the admin follow.

    Only a superuser may, and never for themselves, so that there is always one left. Raises Forbidden.
    """
    if not by.is_superuser or by.pk == user.pk:
        raise Forbidden("Only another administrator can change this role.")
    with transaction.atomic():
        stored = User.objects.select_for_update().get(pk=user.pk)
        was, stored.role = stored.role, role
        stored.is_staff = role in (Role.MODERATOR, Role.ADMIN)
        stored.is_superuser = role == Role.ADMIN
        stored.version += 1
        stored.save(update_fields=["role", "is_staff", "is_superuser", "version"])
        if role == Role.MODERATOR:
            stored.groups.add(ensure_group())
        else:
            stored.groups.remove(ensure_group())
        record(
            "user.role_changed",
            f"{by.username} made {stored.username} {role}, who was {was}",
            user_id=by.pk,
            level="warning",
            metadata={"user": str(stored.pk), "role": str(role), "was": str(was)},
        )
