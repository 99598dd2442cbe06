"""The content of JWTs, and when they stop being valid.

Claims of both kinds: `sub` (user id), `jti`, `fam` (the sign-in it descends from), `mark` (a digest of the person's
password hash and sign_in_mark, so that a changed password, a suspension or "sign out everywhere" ends every token),
`iat`, `exp`, `token_type`.

A refresh token's `jti` is "<fam>.<random>", and its row in OutstandingToken carries the jti: a family is a prefix of an
indexed column. A row in BlacklistedToken, unique per token, means spent or revoked. The text of a token is not stored.
Access tokens have no row: one that is already out lives to its end (15 minutes) when only its family ends, and ends at
once with the mark, which is compared on each use. Sockets, which would outlive it, ask `live_families` too.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils import timezone
from django.utils.crypto import constant_time_compare
from rest_framework_simplejwt.exceptions import ExpiredTokenError, TokenError
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken
from rest_framework_simplejwt.utils import datetime_from_epoch

from accounts.errors import TokenExpired, TokenRefused
from accounts.models import User
from web.prepared import Columns, Prepared

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from django.db.models import QuerySet
    from rest_framework_simplejwt.tokens import Token

MARK_CHARACTERS = 32


@dataclass(frozen=True)
class TokenPair:
    access: str
    refresh: str


class FamilyRefreshToken(RefreshToken):
    def check_blacklist(self) -> None:
        """Do nothing: spend() decides by a write, because a check before a write can be raced."""


def issue(user: User, family: str | None = None) -> TokenPair:
    """Issue a new pair. Without `family`, this is a sign-in, which starts one."""
    family = family or uuid.uuid4().hex
    refresh = FamilyRefreshToken()
    refresh["sub"] = str(user.pk)
    refresh["jti"] = f"{family}.{uuid.uuid4().hex}"
    refresh["fam"] = family
    refresh["mark"] = user.get_session_auth_hash()[:MARK_CHARACTERS]
    OutstandingToken.objects.create(
        user=user,
        jti=refresh["jti"],
        token="",
        created_at=refresh.current_time,
        expires_at=datetime_from_epoch(refresh["exp"]),
    )
    return TokenPair(access=str(refresh.access_token), refresh=str(refresh))


def read_refresh(text: str) -> FamilyRefreshToken:
    """Return the refresh token, spent or not, if we signed it. Raises TokenExpired or TokenRefused."""
    try:
        token = FamilyRefreshToken(text)  # type: ignore[arg-type]
    except ExpiredTokenError as expired:
        raise TokenExpired from expired
    except TokenError as refused:
        raise TokenRefused from refused
    if not str(token["jti"]).startswith(f"{token.get('fam')}."):
        raise TokenRefused
    return token


def read_access(text: str) -> tuple[User, AccessToken]:
    """Return the user of an access token, and the token. Raises TokenExpired or TokenRefused."""
    try:
        token = AccessToken(text)  # type: ignore[arg-type]
    except ExpiredTokenError as expired:
        raise TokenExpired from expired
    except TokenError as refused:
        raise TokenRefused from refused
    return owner_of(token), token


def owner_of(token: Token) -> User:
    """Return the token's user if they may sign in and their sign-ins have not ended since. Raises TokenRefused."""
    try:
        row = _person.first(uuid.UUID(token.get("sub")))
    except (AttributeError, TypeError, ValueError):
        # Signed by us, but without a valid user id.
        row = None
    user = _columns.instance(row) if row else None
    if user is None or not user.is_able or not _is_of_today(token, user):
        raise TokenRefused
    return user


_columns = Columns(User)
_person = Prepared(lambda pk: User.objects.filter(pk=pk).values_list(*_columns.names))


def _is_of_today(token: Token, user: User) -> bool:
    """Whether the session hash in the token is current. Keys in SECRET_KEY_FALLBACKS still count."""
    mark = str(token.get("mark"))
    marks = (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
    return any(constant_time_compare(mark, made[:MARK_CHARACTERS]) for made in marks)


def spend(token: FamilyRefreshToken) -> bool:
    """Blacklist the token. Returns True to the one caller that did, False to all later ones.

    The unique row decides. The winner issues the successor in the same transaction, so a loser, which waits for that
    transaction, finds the successor when it revokes the family.
    """
    row = OutstandingToken.objects.filter(jti=token["jti"]).first()
    return row is not None and BlacklistedToken.objects.get_or_create(token=row)[1]


def revoke_family(family: str) -> None:
    """Blacklist every token of one sign-in, including any that are being issued at this moment."""
    _revoke(OutstandingToken.objects.filter(jti__startswith=f"{family}."))


def revoke_families_of(user: User) -> None:
    """Revoke every sign-in of a person over the API."""
    _revoke(OutstandingToken.objects.filter(user=user))


def family_started_at(family: str) -> datetime | None:
    """Return when the sign-in began, that is, when the password was given; None once its first token was purged."""
    first = OutstandingToken.objects.filter(jti__startswith=f"{family}.").order_by("id").first()
    return first.created_at if first else None


def live_families_of(user: User) -> int:
    """Count the API sign-ins that can still be refreshed. Spent tokens do not count, so each family has one."""
    return OutstandingToken.objects.filter(user=user, blacklistedtoken=None, expires_at__gt=timezone.now()).count()


def live_families(users: Collection[uuid.UUID]) -> set[str]:
    """Return the families of these users' API sign-ins that have neither ended nor been revoked."""
    rows = OutstandingToken.objects.filter(user__in=users, blacklistedtoken=None, expires_at__gt=timezone.now())
    return {jti.partition(".")[0] for jti in rows.values_list("jti", flat=True)}


def _revoke(rows: QuerySet[OutstandingToken]) -> None:
    while live := list(rows.filter(blacklistedtoken=None).order_by("id")):
        # Waits for a rotation that is spending one of these; the next query then sees its successor.
        BlacklistedToken.objects.bulk_create([BlacklistedToken(token=row) for row in live], ignore_conflicts=True)
