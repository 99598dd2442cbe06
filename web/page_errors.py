"""Render the errors of problems.py as HTML pages."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.http import Http404
from django.shortcuts import render
from django.views import defaults

from web.middleware import AsyncMiddleware
from web.problems import DomainError, is_api

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase


class PageErrors(AsyncMiddleware):
    """Middleware. Renders uncaught DomainErrors, and gives 405 a page instead of an empty body."""

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = await self.get_response(request)
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED and not is_api(request):
            page = await sync_to_async(render)(request, "405.html", status=response.status_code)
            page["Allow"] = response["Allow"]
            return page
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return error_page(request, exception) if isinstance(exception, DomainError) and not is_api(request) else None


def error_page(request: HttpRequest, error: DomainError) -> HttpResponse:
    """Render an error with its status and `Retry-After`. All 404s look alike."""
    if error.status == HTTPStatus.NOT_FOUND:
        return defaults.page_not_found(request, Http404())
    context = {"status": error.status, "detail": error.detail}
    page = render(request, "refused.html", context, status=error.status)
    if wait := error.extra.get("retry_after"):
        page["Retry-After"] = str(wait)
    return page
