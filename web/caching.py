"""Answers are private and kept by nobody, unless the view says otherwise by a Cache-Control of its own.

A browser would keep a page, and show it after somebody has logged out; a proxy would show it to somebody else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.cache import patch_vary_headers

from web.middleware import AsyncMiddleware

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


class PrivateByDefault(AsyncMiddleware):
    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = await self.get_response(request)
        response.headers.setdefault("Cache-Control", "no-store")
        if request.path.startswith("/api/"):
            patch_vary_headers(response, ("Authorization", "Cookie"))
        return response
