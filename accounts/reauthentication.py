"""Require the password again, over the API, for operations that outlive a borrowed sign-in. Pages use django-allauth's.

Both remember the password for `ACCOUNT_REAUTHENTICATION_TIMEOUT` seconds.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from allauth.account import app_settings
from allauth.account.internal.flows.reauthentication import did_recently_reauthenticate, reauthenticate_by_password
from django.contrib.auth import authenticate
from django.utils import timezone

from accounts import tokens
from accounts.errors import PasswordRefused, ReauthenticationNeeded, refuse_suspended
from accounts.lockout import refuse_locked

if TYPE_CHECKING:
    from accounts.access import SignedInRequest


def require_password(request: SignedInRequest, given: str) -> None:
    """Return if the user authenticated recently, or if `given` is their password.

    Raises ReauthenticationNeeded, PasswordRefused or RateLimited. Guesses count like those at the login.
    """
    bare = request._request
    token: Any = request.auth
    if did_recently_reauthenticate(bare) if token is None else _is_new(token["fam"]):
        return
    if not given:
        raise ReauthenticationNeeded
    found = authenticate(bare, username=request.user.username, password=given)
    refuse_locked(bare)
    refuse_suspended(bare)
    if found is None or found.pk != request.user.pk:
        raise PasswordRefused
    if token is None:
        reauthenticate_by_password(bare)


def _is_new(family: str) -> bool:
    started = tokens.family_started_at(family)
    return started is not None and started > timezone.now() - timedelta(seconds=app_settings.REAUTHENTICATION_TIMEOUT)
