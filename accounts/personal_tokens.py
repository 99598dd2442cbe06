"""Create personal tokens and look up their users, for REST (bearer.py) and sockets.

The text is "cct_" and 256 random bits. Its SHA-256 is stored, and its first characters, to tell tokens apart.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from accounts.access import suspension_of
from accounts.errors import TokenRefused
from accounts.models import PersonalToken, Scope, User

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

BEGINNING = "cct_"
_SHOWN_CHARACTERS = len(BEGINNING) + 6


def looks_like_one(text: str) -> bool:
    return text.startswith(BEGINNING)


def make(user: User, name: str, scopes: Collection[Scope], expires_at: datetime | None) -> tuple[PersonalToken, str]:
    """Create a token of this person or bot. Returns it with its text, which cannot be recovered."""
    text = BEGINNING + secrets.token_urlsafe(32)
    token = PersonalToken.objects.create(
        user=user,
        name=name,
        digest=_digest(text),
        prefix=text[:_SHOWN_CHARACTERS],
        scopes=[scope.value for scope in Scope if scope in scopes],
        expires_at=expires_at,
    )
    return token, text


def read(text: str) -> tuple[User, PersonalToken]:
    """Return the user of the token, and the token. Raises TokenRefused."""
    digest = _digest(text)
    token = PersonalToken.objects.usable().select_related("user").filter(digest=digest).first()
    if token is None:
        raise TokenRefused(_why_unusable(digest))
    return token.user, token


def _why_unusable(digest: str) -> str:
    """Explain the refusal. Only the holder of an otherwise valid token is told of a suspension."""
    token = PersonalToken.objects.select_related("user__bot_of").filter(digest=digest).first()
    if token is not None and token.is_usable:
        for person in (token.user, token.user.bot_of):
            if person is not None and person.is_suspended:
                return suspension_of(person).detail
    return "This personal token does not exist, has expired or was revoked."


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
