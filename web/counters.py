"""Counters that several processes share through the cache, each raised by one atomic step.

A cache that does not answer must neither end every request nor leave every door open: meanwhile each process counts in
its own memory, and asks the cache again a few seconds later.
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
    """Count one, and return how many there are now. The counter is forgotten `seconds` after its first."""
    return _ask(lambda cache: _increment(cache, key, seconds))


def value(key: str) -> int:
    return _ask(lambda cache: int(cache.get(key, 0)))


def _increment(cache: BaseCache, key: str, seconds: int) -> int:
    cache.add(key, 0, timeout=seconds)
    try:
        return cache.incr(key)
    except ValueError:
        # It was forgotten between the two calls, so this one is the first of the next.
        return 1


def _ask(question: Callable[[BaseCache], T]) -> T:
    global _away_until
    if time.monotonic() >= _away_until:
        try:
            return question(caches["default"])
        except Exception as error:
            # Whatever the backend's library raises: time-outs, refused connections, a server that is loading.
            _away_until = time.monotonic() + AWAY_SECONDS
            logger.warning("the cache is away, this process counts for itself: %s", error)
    return question(caches["own"])
