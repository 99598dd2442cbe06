"""Rate limits: fixed windows counted in the cache by one atomic increment.

Scopes and rates are settings.RATES, "requests/seconds". Counters are per user, or per address for the anonymous.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.core.cache import cache
from rest_framework.throttling import BaseThrottle

from codecrafter.http.client import counted_address
from codecrafter.http.problems import DomainError

if TYPE_CHECKING:
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


class GeneralThrottle(BaseThrottle):
    """The default of every view: one budget per signed-in user, one per anonymous address."""

    scope: ClassVar[str | None] = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        user = request.user
        signed_in = bool(user and user.is_authenticated)
        who = f"user:{user.pk}" if signed_in else f"address:{counted_address(request)}"
        scope = self.scope or ("user" if signed_in else "anonymous")
        count_or_refuse(scope, who)
        return True


class RunThrottle(GeneralThrottle):
    scope = "run"


class StatusThrottle(GeneralThrottle):
    scope = "status"


class RegisterThrottle(GeneralThrottle):
    scope = "register"
