"""Counters that several processes share through the cache, each incremented in one atomic step.

A cache that does not respond must neither fail every request nor lift every limit. Until it is back, each process
counts in its own memory and retries the cache every few seconds.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, TypeVar

from django.core.cache import caches

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.core.cache.backends.base import BaseCache

logger = logging.getLogger(__name__)
T = TypeVar("T")
AWAY_SECONDS = 5.0
_away_until = 0.0


def increment(key: str, seconds: int) -> int:
    """Increment the counter and return it. It expires `seconds` after its first increment."""
    return _ask(lambda cache: _increment(cache, key, seconds))


def value(key: str) -> int:
    return _ask(lambda cache: int(cache.get(key, 0)))


def _increment(cache: BaseCache, key: str, seconds: int) -> int:
    cache.add(key, 0, timeout=seconds)
    try:
        return cache.incr(key)
    except ValueError:
        # It expired between the two calls, so this is the first of the next window.
        return 1


def _ask(question: Callable[[BaseCache], T]) -> T:
    global _away_until
    if time.monotonic() >= _away_until:
        try:
            return question(caches["default"])
        except Exception as error:
            # The backend's library raises all sorts: timeouts, refused connections, a server that is still loading.
            _away_until = time.monotonic() + AWAY_SECONDS
            logger.warning("the cache is unavailable, this process counts on its own: %s", error)
    return question(caches["own"])
