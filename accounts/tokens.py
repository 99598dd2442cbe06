"""What is in a token, and when it stops being good.

Claims of both kinds: `sub` (user id), `jti`, `fam` (the sign-in it descends from), `hash_password` (a digest of the
stored password hash, so that a changed password ends every token), `iat`, `exp`, `token_type`.

A refresh token's `jti` is "<fam>.<random>", and its row in OutstandingToken carries the jti: a family is a prefix of an
indexed column. A row in BlacklistedToken, unique per token, means spent or revoked. The text of a token is not stored.
Access tokens have no row: one that is already out lives to its end (15 minutes) whatever happens to its family.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rest_framework_simplejwt.exceptions import ExpiredTokenError, TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken
from rest_framework_simplejwt.utils import datetime_from_epoch, get_md5_hash_password

from accounts.errors import TokenExpired, TokenRefused
from accounts.models import User

if TYPE_CHECKING:
    from django.db.models import QuerySet


@dataclass(frozen=True)
class TokenPair:
    access: str
    refresh: str


class FamilyRefreshToken(RefreshToken):
    def check_blacklist(self) -> None:
        """Nothing: `spend` decides by a write, because a check before a write can be raced."""


def issue(user: User, family: str | None = None) -> TokenPair:
    """A new pair. Without `family` it starts one: this is a sign-in."""
    family = family or uuid.uuid4().hex
    refresh = FamilyRefreshToken()
    refresh["sub"] = str(user.pk)
    refresh["jti"] = f"{family}.{uuid.uuid4().hex}"
    refresh["fam"] = family
    refresh[api_settings.REVOKE_TOKEN_CLAIM] = get_md5_hash_password(user.password)
    OutstandingToken.objects.create(
        user=user,
        jti=refresh["jti"],
        token="",
        created_at=refresh.current_time,
        expires_at=datetime_from_epoch(refresh["exp"]),
    )
    return TokenPair(access=str(refresh.access_token), refresh=str(refresh))


def read_refresh(text: str) -> FamilyRefreshToken:
    """The token if we signed it and it has not expired, spent or not; else TokenExpired or TokenRefused."""
    try:
        token = FamilyRefreshToken(text)  # type: ignore[arg-type]
    except ExpiredTokenError as expired:
        raise TokenExpired from expired
    except TokenError as refused:
        raise TokenRefused from refused
    if not str(token["jti"]).startswith(f"{token.get('fam')}."):
        raise TokenRefused
    return token


def owner_of(token: FamilyRefreshToken) -> User:
    """Whose it is, if they may still sign in with the password that it was made under; else TokenRefused."""
    user = User.objects.filter(pk=token["sub"], is_active=True).first()
    if user is None or token.get(api_settings.REVOKE_TOKEN_CLAIM) != get_md5_hash_password(user.password):
        raise TokenRefused
    return user


def spend(token: FamilyRefreshToken) -> bool:
    """Blacklist it: True for the one caller who did, False for everybody after.

    The unique row decides. Whoever spends issues the successor in the same transaction, so that a loser, who waits for
    that transaction, finds the successor when it revokes the family.
    """
    row = OutstandingToken.objects.filter(jti=token["jti"]).first()
    return row is not None and BlacklistedToken.objects.get_or_create(token=row)[1]


def revoke_family(family: str) -> None:
    """Blacklist every token of one sign-in, those that are being issued at this moment included."""
    while live := list(_live(family)):
        # Waits for a rotation that is spending one of these; the next look then sees its successor.
        BlacklistedToken.objects.bulk_create([BlacklistedToken(token=row) for row in live], ignore_conflicts=True)


def _live(family: str) -> QuerySet[OutstandingToken]:
    return OutstandingToken.objects.filter(jti__startswith=f"{family}.", blacklistedtoken=None).order_by("id")
