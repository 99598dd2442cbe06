"""Absolute links begin with PUBLIC_URL, whatever name the request was sent to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings

from web.middleware import AsyncMiddleware

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase


def public_host() -> str:
    """The host, and the port unless it is the scheme's own, that people are told."""
    return urlsplit(settings.PUBLIC_URL).netloc


class AbsoluteLinks(AsyncMiddleware):
    """Whatever makes absolute links (allauth's mails, callbacks, paging, invites) asks request.build_absolute_uri()."""

    async def __call__(self, request: Any) -> HttpResponseBase:
        # A cached property of Django's, which build_absolute_uri() alone reads.
        request._current_scheme_host = settings.PUBLIC_URL
        return await self.get_response(request)
