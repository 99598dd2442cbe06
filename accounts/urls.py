"""/api/auth and the account pages. A trailing slash is accepted and not needed."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView

from accounts import api, views

_auth_views = {
    "register": api.Register,
    "login": api.Login,
    "refresh": api.Refresh,
    "logout": api.Logout,
    "profile": api.Profile,
}
auth_urlpatterns: list[URLPattern | URLResolver] = [
    *(path(word, view.as_view(), name=f"auth-{word}") for word, view in _auth_views.items()),
    *(path(f"{word}/", view.as_view()) for word, view in _auth_views.items()),
]

_profile_urlpatterns = [re_path(r"^profile/?$", views.ProfileEdit.as_view(), name="profile-edit")]

# The names are django-allauth's own: its views and templates reverse them.
page_urlpatterns: list[URLPattern | URLResolver] = [
    re_path(r"^signup/?$", views.SignUp.as_view(), name="account_signup"),
    re_path(r"^login/?$", views.LogIn.as_view(), name="account_login"),
    re_path(r"^logout/?$", views.LogOut.as_view(), name="account_logout"),
    re_path(r"^account/inactive/?$", RedirectView.as_view(pattern_name="account_login"), name="account_inactive"),
    re_path(r"^account/email/?$", RedirectView.as_view(pattern_name="accounts:profile-edit"), name="account_email"),
    path("", include((_profile_urlpatterns, "accounts"))),
]
