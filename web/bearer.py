"""Whether a request carries a valid credential, found out once: the limit of the anonymous asks before the view."""

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
    """True for a good token, or without any token for the cookie of somebody who is signed in."""
    # The first of the defaults reads the Authorization header, which both kinds of request have in META.
    by_header = cast("type[BaseAuthentication]", api_settings.DEFAULT_AUTHENTICATION_CLASSES[0])()
    try:
        if by_header.authenticate(cast("Request", request)) is not None:
            return True
    except APIException:
        return False
    # Looking at the session marks the answer as one that varies by cookie.
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return False
    return request.user.is_authenticated and request.user.is_active
