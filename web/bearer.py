"""Check once per request whether it carries a valid credential, because the anonymous rate limit runs before views."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.conf import settings
from rest_framework.exceptions import APIException
from rest_framework.settings import api_settings

if TYPE_CHECKING:
    from django.http import HttpRequest
    from rest_framework.authentication import BaseAuthentication
    from rest_framework.request import Request


def has_valid_credential(request: HttpRequest) -> bool:
    """Whether the request has a valid token or, without a token, the session cookie of a signed-in user."""
    # The first default authenticator reads the Authorization header from META, which both kinds of request have.
    by_header = cast("type[BaseAuthentication]", api_settings.DEFAULT_AUTHENTICATION_CLASSES[0])()
    try:
        if by_header.authenticate(cast("Request", request)) is not None:
            return True
    except APIException:
        return False
    # Reading the session makes the response vary by cookie.
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return False
    return request.user.is_authenticated and request.user.is_active
