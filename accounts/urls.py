"""/api/auth and the account pages. A trailing slash is accepted and not needed."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView

from accounts import api, views

auth_urlpatterns: list[URLPattern | URLResolver] = [
    re_path(r"^register/?$", api.Register.as_view(), name="auth-register"),
    re_path(r"^login/?$", api.Login.as_view(), name="auth-login"),
    re_path(r"^refresh/?$", api.Refresh.as_view(), name="auth-refresh"),
    re_path(r"^logout/?$", api.Logout.as_view(), name="auth-logout"),
    re_path(r"^profile/?$", api.Profile.as_view(), name="auth-profile"),
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
