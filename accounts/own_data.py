"""Export and erase what accounts stores (see privacy.py): profile, tokens, sign-ins and activity log entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.db import transaction
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from accounts.models import PersonalToken
from accounts.privacy import as_json, as_lines
from activity import log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accounts.models import User
    from accounts.privacy import File


def export(user: User) -> Iterator[File]:
    yield (
        "profile.json",
        as_json(
            {
                "id": user.pk,
                "username": user.username,
                "email": user.email,
                "role": user.role,
                "preferences": user.preferences,
                "joined_at": user.date_joined,
                "last_login": user.last_login,
                "bots": [{"id": bot.pk, "username": bot.username} for bot in user.bots.all()],
                "signs_in_through": list(SocialAccount.objects.filter(user=user).values("provider", "uid")),
                "second_factors": list(Authenticator.objects.filter(user=user).values("type", "created_at")),
            }
        ),
    )
    names = ("user__username", "name", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")
    yield "tokens.json", as_json(list(_tokens_of(user).values(*names)))
    browsers = UserSession.objects.filter(user=user).values("ip", "user_agent", "created_at", "last_seen_at")
    yield "sign_ins.json", as_json(list(browsers))
    yield "activity.jsonl", as_lines(_activity_of(user))


def _activity_of(user: User) -> Iterator[dict[str, Any]]:
    before = None
    while entries := log.recent(user_id=user.pk, limit=log.RECENT_MAX, before=before):
        for entry in entries:
            yield {
                "timestamp": entry.timestamp,
                "action": entry.action,
                "message": entry.message,
                "session_id": entry.session_id,
                "metadata": entry.metadata,
            }
        before = entries[-1].cursor


@transaction.atomic
def erase(user: User) -> bool:
    _tokens_of(user).delete()
    user.notes.all().delete()
    user.groups.clear()
    for rows in (EmailAddress, SocialAccount, Authenticator, UserSession, OutstandingToken):
        rows.objects.filter(user=user).delete()
    return False


def _tokens_of(user: User) -> Any:
    return PersonalToken.objects.filter(user__in=[user, *user.bots.all()])
