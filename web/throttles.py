"""Rate limits: fixed windows counted in the cache by one atomic increment.

Scopes and rates are settings.RATES, "requests/seconds". Users are counted by account, anonymous callers by address, and
guests by both. RateLimits counts anonymous requests, before DRF rejects most of them; the throttle of the view counts
the others. Responses report what is left in RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-11).
"""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.shortcuts import render
from rest_framework.throttling import BaseThrottle

from web import counters
from web.bearer import has_valid_credential
from web.client import counted_address
from web.middleware import AsyncMiddleware
from web.problems import DomainError, is_api, problem_response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpRequest, HttpResponse, JsonResponse
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request
    from rest_framework.views import APIView


@dataclass(frozen=True, slots=True)
class Budget:
    """One caller's requests in one scope: `used` of `limit`, in a window that ends in `seconds_left`."""

    scope: str
    limit: int
    window_seconds: int
    used: int
    seconds_left: int

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)


class RateLimited(DomainError):
    code = "rate_limited"
    status = 429
    detail = "Too many requests."

    def __init__(self, budget: Budget) -> None:
        wait = budget.seconds_left
        super().__init__(f"Too many requests. Try again in {wait} s.", retry_after=wait)
        self.budget = budget
        self.headers = headers_of([budget])


def headers_of(budgets: Sequence[Budget]) -> dict[str, str]:
    """Build both headers as lists of structured fields: the policies, and what is left of each."""
    if not budgets:
        return {}
    return {
        "RateLimit-Policy": ", ".join(f'"{one.scope}";q={one.limit};w={one.window_seconds}' for one in budgets),
        "RateLimit": ", ".join(f'"{one.scope}";r={one.remaining};t={one.seconds_left}' for one in budgets),
    }


# The guests at one address together: a class may sit behind it, and one person can come as many guests.
GUESTS_TOGETHER = 10


def _window(scope: str, who: str) -> tuple[str, int, int, int]:
    """Return the counter's key, the limit, the length of the window, and the whole seconds until it ends."""
    limit, window = (int(part) for part in settings.RATES[scope].split("/"))
    if who.startswith(_GUESTS):
        limit *= GUESTS_TOGETHER
    now = time.time()
    started = int(now // window) * window
    # Hashed, because names may contain characters that cache keys may not.
    key = f"rate:{scope}:{hashlib.sha256(who.encode()).hexdigest()[:32]}:{started}"
    return key, limit, window, max(1, int(started + window - now))


def count(scope: str, who: str) -> Budget | None:
    """Count one request of `who` and return the budget; None if rate limits are off."""
    if not settings.RATE_LIMITS:
        return None
    key, limit, window, seconds_left = _window(scope, who)
    return Budget(scope, limit, window, counters.increment(key, window + 1), seconds_left)


def budget_of(scope: str, who: str) -> Budget | None:
    """Return the budget of `who` without counting a request."""
    if not settings.RATE_LIMITS:
        return None
    key, limit, window, seconds_left = _window(scope, who)
    return Budget(scope, limit, window, counters.value(key), seconds_left)


def count_or_refuse(scope: str, who: str) -> Budget | None:
    """Count one request, or raise RateLimited with Retry-After."""
    budget = count(scope, who)
    if budget is not None and budget.used > budget.limit:
        raise RateLimited(budget)
    return budget


def count_person_or_refuse(scope: str, user: Any, request: HttpRequest) -> Budget | None:
    """Count one request of a user, or raise RateLimited. Guests also count towards the total of their address."""
    if user.is_guest:
        count_or_refuse(scope, f"{_GUESTS}{counted_address(request)}")
    return count_or_refuse(scope, who_is(user))


class RateLimits(AsyncMiddleware):
    """Middleware. Counts each request under /api/ without a valid credential before doing any work for it.

    Every response there reports what is left of the budgets that its request was counted in. Pages count too: for the
    signed-in user, and for anonymous callers by address in a separate scope.
    """

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not settings.RATE_LIMITS or _UNCOUNTED.match(request.path_info):
            return await self.get_response(request)
        if not is_api(request):
            return await sync_to_async(self._count_page)(request) or await self.get_response(request)
        refusal = await sync_to_async(self._count)(request)
        response = refusal or await self.get_response(request)
        for name, value in headers_of(request.META.get(_COUNTED, ())).items():
            # A rejection by the view has its own headers, for the exhausted budget.
            response[name] = f"{response[name]}, {value}" if name in response else value
        return response

    def _count(self, request: HttpRequest) -> JsonResponse | None:
        if has_valid_credential(request):
            return None
        try:
            _note(request, count_or_refuse("anonymous", who_is_at(request)))
        except RateLimited as refused:
            response = problem_response(refused.status, refused.code, refused.detail)
            for name, value in {"Retry-After": str(refused.budget.seconds_left), **refused.headers}.items():
                response[name] = value
            return response
        return None

    def _count_page(self, request: HttpRequest) -> HttpResponse | None:
        user = request.user
        try:
            if user.is_authenticated:
                count_person_or_refuse("user", user, request)
            else:
                count_or_refuse("page", who_is_at(request))
        except RateLimited as refused:
            page = render(request, "429.html", {"wait": refused.budget.seconds_left}, status=refused.status)
            page["Retry-After"] = str(refused.budget.seconds_left)
            return page
        return None


# Probes and scrapers have rules of their own.
_UNCOUNTED = re.compile(r"/(health|metrics)\b")
_GUESTS = "guests:"
# The META key of the budgets that a request was counted in. Callers can set HTTP_* keys only.
_COUNTED = "codecrafter.counted"


def _note(request: HttpRequest, budget: Budget | None) -> None:
    if budget is not None:
        request.META.setdefault(_COUNTED, []).append(budget)


def who_is(user: Any) -> str:
    """Return a user's part of a counter's key. Bots spend their owner's budget."""
    return f"user:{user.bot_of_id or user.pk}"


def who_is_at(request: HttpRequest) -> str:
    """Return an anonymous caller's part of a counter's key."""
    return f"address:{counted_address(request)}"


class GeneralThrottle(BaseThrottle):
    """The default throttle of views: one budget per user. A view with a scope of its own has a separate budget.

    At a view that ignores credentials, all callers are counted by address.
    """

    scope: ClassVar[str | None] = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        user = request.user
        signed_in = bool(user and user.is_authenticated)
        scope = self.scope or ("user" if signed_in else "anonymous")
        if signed_in:
            _note(request._request, count_person_or_refuse(scope, user, request._request))
        elif scope != "anonymous" or _COUNTED not in request.META:
            _note(request._request, count_or_refuse(scope, who_is_at(request._request)))
        return True


class RunThrottle(GeneralThrottle):
    scope = "run"


class StatusThrottle(GeneralThrottle):
    scope = "status"


class RegisterThrottle(GeneralThrottle):
    scope = "register"
