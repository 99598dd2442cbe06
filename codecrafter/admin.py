"""The admin site's name, its index page, and the models that it hides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.account import admin as account_admin  # noqa: F401 (each registers what goes below)
from allauth.account.models import EmailAddress
from allauth.mfa import admin as mfa_admin  # noqa: F401
from allauth.mfa.models import Authenticator
from allauth.socialaccount import admin as social_admin  # noqa: F401
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions import admin as usersessions_admin  # noqa: F401
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.urls import reverse
from rest_framework_simplejwt.token_blacklist import admin as token_admin  # noqa: F401 (it registers what goes below)
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from accounts.models import User, able
from execution.models import AvailableLanguage, DeadLetter, Run, Status
from sessions_app.models import Report

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.template.response import TemplateResponse

admin.site.site_header = "CodeCrafter"
admin.site.site_title = "CodeCrafter"
admin.site.index_title = "Moderation"
# The lists need the width, and every page is two clicks from the index.
admin.site.enable_nav_sidebar = False
admin.site.index_template = "admin/desk_index.html"

_plain_index = admin.site.index


def _index(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
    return _plain_index(request, {"cards": _cards(request), **(extra_context or {})})


def _cards(request: HttpRequest) -> list[tuple[str, int, str]]:
    """Return (label, number, URL) for whatever may need this moderator's attention."""
    runs, languages = Run.objects, AvailableLanguage.objects
    shown = (
        ("sessions_app.report", "open reports", Report.objects.filter(state=Report.State.OPEN), "state__exact=open"),
        ("execution.run", "programs running", runs.filter(status=Status.RUNNING), "state=running"),
        ("execution.run", "programs waiting", runs.filter(status=Status.QUEUED), "state=waiting"),
        ("execution.deadletter", "dead letters", DeadLetter.objects.filter(requeued_at=None), "requeued_at__isempty=1"),
        (
            "accounts.user",
            "suspended users",
            User.objects.exclude(able()).filter(is_active=True),
            "status=suspended",
        ),
        (
            "execution.availablelanguage",
            "languages switched off",
            languages.exclude(switched_off_at=None),
            "switched_off_at__isempty=0",
        ),
    )
    cards = []
    for page, words, rows, query in shown:
        app, _, model = page.partition(".")
        if request.user.has_perm(f"{app}.view_{model}"):
            cards.append((words, rows.count(), reverse(f"admin:{app}_{model}_changelist") + f"?{query}"))
    return cards


admin.site.index = _index  # type: ignore[method-assign]

# They hold full refresh tokens, second factors and client secrets, or would bypass our actions.
for hidden in (
    OutstandingToken,
    BlacklistedToken,
    Authenticator,
    EmailAddress,
    SocialAccount,
    SocialApp,
    SocialToken,
    UserSession,
):
    if admin.site.is_registered(hidden):
        admin.site.unregister(hidden)
