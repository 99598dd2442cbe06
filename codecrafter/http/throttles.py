"""Rate limits: fixed windows counted in the cache by one atomic increment.

Scopes and rates are settings.RATES, "requests/seconds". Counters are per user, or per address for the anonymous.
The anonymous are counted by AnonymousLimit, before DRF turns most of them away; the signed-in by their views' throttle.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, ClassVar

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.core.cache import cache
from rest_framework.throttling import BaseThrottle

from codecrafter.http.bearer import has_valid_credential
from codecrafter.http.client import counted_address
from codecrafter.http.problems import DomainError, problem_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from django.http import HttpRequest, HttpResponse, JsonResponse
    from rest_framework.request import Request
    from rest_framework.views import APIView


class RateLimited(DomainError):
    code = "rate_limited"
    status = 429
    detail = "Too many requests."


def count(scope: str, who: str) -> int:
    """Count one request of `who`; 0 while within the rate, otherwise the seconds until the window ends."""
    if not settings.RATE_LIMITS:
        return 0
    limit, window = (int(part) for part in settings.RATES[scope].split("/"))
    now = time.time()
    started = int(now // window) * window
    # Hashed, because a name may hold what a cache key may not.
    key = f"rate:{scope}:{hashlib.sha256(who.encode()).hexdigest()[:32]}:{started}"
    cache.add(key, 0, timeout=window + 1)
    try:
        used = cache.incr(key)
    except ValueError:
        # The window ended between the two calls.
        return 0
    return max(1, int(started + window - now)) if used > limit else 0


def count_or_refuse(scope: str, who: str) -> None:
    """Count one request, or raise RateLimited with Retry-After."""
    if wait := count(scope, who):
        raise RateLimited(f"Too many requests. Try again in {wait} s.", retry_after=wait)


class AnonymousLimit:
    """Middleware. Counts each request under /api/ without a valid credential, once, before any work is done for it."""

    async_capable = True
    sync_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], Awaitable[HttpResponse]]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.RATE_LIMITS and request.path_info.startswith("/api/"):
            refusal = await sync_to_async(self._count)(request)
            if refusal is not None:
                return refusal
        return await self.get_response(request)

    def _count(self, request: HttpRequest) -> JsonResponse | None:
        if has_valid_credential(request):
            return None
        request.META[_COUNTED] = True
        try:
            count_or_refuse("anonymous", f"address:{counted_address(request)}")
        except RateLimited as refused:
            response = problem_response(refused.status, refused.code, refused.detail)
            response["Retry-After"] = str(refused.extra["retry_after"])
            return response
        return None


# Among the headers' names, which are all HTTP_*, nobody can send this one.
_COUNTED = "codecrafter.counted_as_anonymous"


class GeneralThrottle(BaseThrottle):
    """The default of every view: one budget per signed-in person. A view's own scope has a budget of its own.

    A valid credential at a view that does not look at it is counted here, by address like everybody else there.
    """

    scope: ClassVar[str | None] = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        user = request.user
        signed_in = bool(user and user.is_authenticated)
        who = f"user:{user.pk}" if signed_in else f"address:{counted_address(request)}"
        scope = self.scope or ("user" if signed_in else "anonymous")
        if scope != "anonymous" or _COUNTED not in request.META:
            count_or_refuse(scope, who)
        return True


class RunThrottle(GeneralThrottle):
    scope = "run"


class StatusThrottle(GeneralThrottle):
    scope = "status"


class RegisterThrottle(GeneralThrottle):
    scope = "register"
