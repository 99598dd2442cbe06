"""Whether a request carries a valid credential, found out once: the limit of the anonymous asks before the view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from drf_spectacular.contrib.rest_framework_simplejwt import SimpleJWTScheme
from rest_framework.exceptions import APIException
from rest_framework_simplejwt.authentication import JWTAuthentication

if TYPE_CHECKING:
    from django.http import HttpRequest
    from rest_framework.request import Request


class BearerAuthentication(JWTAuthentication):
    """A good token is verified, and its person fetched, once per request, however often it is asked about."""

    def authenticate(self, request: Request | HttpRequest) -> Any:
        bare: Any = getattr(request, "_request", request)
        if not hasattr(bare, "bearer"):
            # Of either kind of request, only META is read.
            bare.bearer = super().authenticate(cast("Request", request))
        return bare.bearer


class BearerScheme(SimpleJWTScheme):  # type: ignore[no-untyped-call]
    """For the schema of the API: drf-spectacular finds it by being defined."""

    target_class = "codecrafter.http.bearer.BearerAuthentication"


def has_valid_credential(request: HttpRequest) -> bool:
    """True for a good token, or without any token for the cookie of somebody who is signed in."""
    try:
        if BearerAuthentication().authenticate(request) is not None:
            return True
    except APIException:
        return False
    # Looking at the session marks the answer as one that varies by cookie.
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return False
    return request.user.is_authenticated and request.user.is_active
