"""Who is at a socket, and how they signed in. Both are values: what changes is replaced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.crypto import constant_time_compare

if TYPE_CHECKING:
    from uuid import UUID

    from accounts.models import User


@dataclass(frozen=True, slots=True)
class Identity:
    # As frames name the person; and as the log and the access table do.
    user_id: str
    author: UUID
    username: str
    # The person's in this room, once they have joined it.
    hue: int
    is_bot: bool = False
    is_guest: bool = False

    @classmethod
    def of(cls, user: User) -> Identity:
        return cls(str(user.pk), user.pk, user.username, user.hue, user.is_bot, user.is_guest)


@dataclass(frozen=True, slots=True)
class SignIn:
    # Changes with the person's password, and when all their sign-ins are ended.
    session_hash: str
    # The key of a cookie session, or the family of a token; a ticket keeps what it was asked for with.
    session_key: str = ""
    family: str = ""
    # The personal token, and what it may be used for; None for whatever the person may do.
    token_id: UUID | None = None
    scopes: frozenset[str] | None = None
    # Unix seconds; None for a cookie, which lasts as long as its session, and for a token without an end.
    expires_at: float | None = None

    @property
    def comes_by_cookie(self) -> bool:
        return bool(self.session_key)

    @property
    def is_renewable(self) -> bool:
        """Whether another access token may take its place."""
        return self.expires_at is not None and self.token_id is None

    def allows(self, scope: str) -> bool:
        return self.scopes is None or scope in self.scopes

    def matches(self, session_hash: str) -> bool:
        # A personal token has a life of its own.
        return self.token_id is not None or constant_time_compare(self.session_hash, session_hash)
