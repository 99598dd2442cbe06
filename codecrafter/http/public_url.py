"""Absolute links begin with PUBLIC_URL, whatever name the request was sent to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


def public_host() -> str:
    """The host, and the port unless it is the scheme's own, that people are told."""
    return urlsplit(settings.PUBLIC_URL).netloc


class AbsoluteLinks:
    """Whatever makes absolute links (allauth's mails, callbacks, paging, invites) asks request.build_absolute_uri()."""

    async_capable = True
    sync_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    async def __call__(self, request: Any) -> HttpResponseBase:
        # A cached property of Django's, which build_absolute_uri() alone reads.
        request._current_scheme_host = settings.PUBLIC_URL
        return await self.get_response(request)
