"""Paths of /api/auth and the account pages. A trailing slash is optional."""

from __future__ import annotations

from allauth.account import views as allauth_views
from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView

from accounts import api, views

_auth_views = {
    "register": api.Register,
    "login": api.Login,
    "refresh": api.Refresh,
    "logout": api.Logout,
    "sign-out-everywhere": api.SignOutEverywhere,
    "profile": api.Profile,
    "tokens": api.Tokens,
    "bots": api.Bots,
}
_item_views = {"tokens/<uuid:token_id>": api.Token, "bots/<uuid:bot_id>": api.Bot}
auth_urlpatterns: list[URLPattern | URLResolver] = [
    *(path(word, view.as_view(), name=f"auth-{word}") for word, view in _auth_views.items()),
    *(path(f"{word}/", view.as_view()) for word, view in _auth_views.items()),
    *(path(words, view.as_view(), name=f"auth-{words.partition('/')[0][:-1]}") for words, view in _item_views.items()),
    *(path(f"{words}/", view.as_view()) for words, view in _item_views.items()),
]

_own_urlpatterns = [
    re_path(r"^profile/?$", views.ProfileEdit.as_view(), name="profile-edit"),
    re_path(r"^account/sign-ins/?$", views.SignIns.as_view(), name="sign-ins"),
    re_path(r"^account/tokens/?$", views.Tokens.as_view(), name="tokens"),
    path("account/tokens/<uuid:token_id>/revoke", views.TokenRevoke.as_view(), name="token-revoke"),
    re_path(r"^account/data/?$", views.OwnData.as_view(), name="own-data"),
    path("account/delete", views.AccountDelete.as_view(), name="account-delete"),
    path("account/bots", views.BotMake.as_view(), name="bot-make"),
    path("account/bots/<uuid:bot_id>/retire", views.BotRetire.as_view(), name="bot-retire"),
    path("account/unsent-form", views.UnsentForm.as_view(), name="unsent-form"),
    path("account/email/send", views.EmailConfirmationResend.as_view(), name="email-confirmation-resend"),
]

# The paths of each configured provider (settings.SOCIALACCOUNT_PROVIDERS).
_provider_urlpatterns = [
    path("account/social/", include(f"allauth.socialaccount.providers.{name}.urls"))
    for name in settings.SOCIALACCOUNT_PROVIDERS
]

# The names are django-allauth's own: its views and templates reverse them.
page_urlpatterns: list[URLPattern | URLResolver] = [
    re_path(r"^signup/?$", views.SignUp.as_view(), name="account_signup"),
    re_path(r"^login/?$", views.LogIn.as_view(), name="account_login"),
    re_path(r"^logout/?$", views.LogOut.as_view(), name="account_logout"),
    re_path(r"^account/inactive/?$", RedirectView.as_view(pattern_name="account_login"), name="account_inactive"),
    re_path(r"^account/email/?$", RedirectView.as_view(pattern_name="accounts:profile-edit"), name="account_email"),
    re_path(r"^account/sessions/?$", RedirectView.as_view(pattern_name="accounts:sign-ins"), name="usersessions_list"),
    re_path(r"^account/password/reset/?$", views.PasswordReset.as_view(), name="account_reset_password"),
    re_path(r"^account/reauthenticate/?$", views.Reauthenticate.as_view(), name="account_reauthenticate"),
    re_path(r"^account/mfa/authenticate/?$", views.SecondFactor.as_view(), name="mfa_authenticate"),
    re_path(r"^account/mfa/reauthenticate/?$", views.ReauthenticateByCode.as_view(), name="mfa_reauthenticate"),
    re_path(r"^account/password/change/?$", allauth_views.password_change, name="account_change_password"),
    re_path(r"^account/password/set/?$", allauth_views.password_set, name="account_set_password"),
    re_path(r"^account/password/reset/sent/?$", allauth_views.password_reset_done, name="account_reset_password_done"),
    re_path(
        r"^account/password/reset/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>[^/]+)/?$",
        allauth_views.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    re_path(
        r"^account/password/reset/done/?$",
        allauth_views.password_reset_from_key_done,
        name="account_reset_password_from_key_done",
    ),
    re_path(
        r"^account/confirm-email/?$", allauth_views.email_verification_sent, name="account_email_verification_sent"
    ),
    re_path(r"^account/confirm-email/(?P<key>[-:\w]+)/?$", views.ConfirmEmail.as_view(), name="account_confirm_email"),
    path("account/mfa/", include("allauth.mfa.urls")),
    path("account/social/", include("allauth.socialaccount.urls")),
    path("account/social/oidc/<str:provider_id>/login/", views.log_in_at_provider),
    path("account/social/oidc/<str:provider_id>/login/callback/", views.come_back_from_provider),
    *_provider_urlpatterns,
    path("", include((_own_urlpatterns, "accounts"))),
]
