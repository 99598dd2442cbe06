"""The admin site's name, and what it leaves out."""

from __future__ import annotations

from allauth.account import admin as account_admin  # noqa: F401 (each registers what goes below)
from allauth.account.models import EmailAddress
from allauth.mfa import admin as mfa_admin  # noqa: F401
from allauth.mfa.models import Authenticator
from allauth.socialaccount import admin as social_admin  # noqa: F401
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions import admin as usersessions_admin  # noqa: F401
from allauth.usersessions.models import UserSession
from django.contrib import admin
from rest_framework_simplejwt.token_blacklist import admin as token_admin  # noqa: F401 (it registers what goes below)
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

admin.site.site_header = "CodeCrafter"
admin.site.site_title = "CodeCrafter"
admin.site.index_title = "Moderation"

# Refresh tokens in full, second factors, clients' secrets, and addresses to change past our actions.
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
