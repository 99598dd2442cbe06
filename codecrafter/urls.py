"""All HTTP paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.contrib.staticfiles.storage import staticfiles_storage
from django.shortcuts import redirect
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from accounts.urls import auth_urlpatterns, page_urlpatterns
from codecrafter.health import health, ready
from codecrafter.limits import Limits
from codecrafter.metrics import metrics
from execution.urls import api_urlpatterns as execution_api
from sessions_app.urls import api_urlpatterns as sessions_api
from sessions_app.views import home
from web.problems import api_not_found, server_error

if TYPE_CHECKING:
    from collections.abc import Sequence


def _slash_optional(patterns: Sequence[URLPattern]) -> list[URLPattern | URLResolver]:
    """Add each path with a trailing slash, without a name."""
    return [*patterns, *(path(f"{pattern.pattern}/", pattern.callback) for pattern in patterns)]


api_urlpatterns: list[URLPattern | URLResolver] = [
    path("auth/", include(auth_urlpatterns)),
    *_slash_optional([*sessions_api, *execution_api, path("limits", Limits.as_view(), name="limits")]),
]

# The admin's own login form would bypass our lockout.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    # First, because patterns are tried in order and API requests are the most frequent.
    path("api/schema", cache_control(no_cache=True)(SpectacularAPIView.as_view()), name="schema"),
    path("api/docs", require_safe(SpectacularSwaggerSplitView.as_view(url_name="schema")), name="api-docs"),
    path("api/", RedirectView.as_view(pattern_name="api-docs")),
    path("api/", include((api_urlpatterns, "api"))),
    path("api/v1/", include((api_urlpatterns, "api"), namespace="api_v1")),
    re_path(r"^api/(?P<path>.*)$", api_not_found),
    path("", home, name="home"),
    *page_urlpatterns,
    path("", include("sessions_app.urls")),
    path("admin/", admin.site.urls),
    path("favicon.ico", lambda request: redirect(staticfiles_storage.url("app/favicon.svg"))),
    path("health", health, name="health"),
    path("health/ready", ready, name="health-ready"),
    path("metrics", metrics, name="metrics"),
]

handler500 = server_error
