"""Make absolute links begin with PUBLIC_URL, whatever host the request was sent to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings

from web.middleware import AsyncMiddleware

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase


def public_host() -> str:
    """Return the public host, with the port unless it is the scheme's default."""
    return urlsplit(settings.PUBLIC_URL).netloc


class AbsoluteLinks(AsyncMiddleware):
    """Middleware. Changes request.build_absolute_uri(), which makes all links (mails, callbacks, paging, invites)."""

    async def __call__(self, request: Any) -> HttpResponseBase:
        # A cached property of Django that only build_absolute_uri() reads.
        request._current_scheme_host = settings.PUBLIC_URL
        return await self.get_response(request)
