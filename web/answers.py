"""Answers that are kept for KEPT_SECONDS, so that what many read is made once. None is ever out of date:

A private one is kept in this process with the tag of the state that it shows, and asked for with the tag of the state
that there is now, which takes one look into the database. So a commit, of a permission above all, ends it everywhere.
A shared one is kept in the cache with a generation. Who changes what it shows starts a new generation when that is
committed, and what somebody made of the old state meanwhile is of the old generation. It is kept in Redis only: a
cache of this process would not hear what another one, such as a management command, changes.
"""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, cast

from django.conf import settings
from django.core.cache import cache, caches
from django.db import transaction

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)
KEPT_SECONDS = 300
# Larger ones are made each time: settings.CACHES["answers"] bounds how many there are, not how much they take.
PRIVATE_MAX_BYTES = 64 * 1024


def kept(name: str, tag: str) -> bytes | None:
    """The private answer, if it shows the state of this tag."""
    found = cast("tuple[str, bytes] | None", caches["answers"].get(name))
    return found[1] if found and found[0] == tag else None


def keep(name: str, tag: str, body: bytes) -> None:
    if len(body) <= PRIVATE_MAX_BYTES:
        caches["answers"].set(name, (tag, body), KEPT_SECONDS)


def shared(name: str, make: Callable[[], bytes]) -> bytes:
    """The shared answer, made anew when there is none of this generation or the cache is away."""
    if not settings.REDIS_URL:
        return make()
    try:
        found = cache.get_many([_key(name), _generation_key(name)])
    except Exception:
        return make()
    generation = found.get(_generation_key(name), "")
    kept = found.get(_key(name))
    if kept and kept[0] == generation:
        return cast("str", kept[1]).encode()
    body = make()
    try:
        cache.set(_key(name), (generation, body.decode()), KEPT_SECONDS)
    except Exception:
        logger.warning("the cache is away, %s is not kept", name)
    return body


def forget(name: str) -> None:
    """What the shared answer shows is being changed: for who changes it at once, for all others on commit."""
    if settings.REDIS_URL:
        _renew(name)
        transaction.on_commit(lambda: _renew(name))


def _renew(name: str) -> None:
    try:
        cache.set(_generation_key(name), uuid.uuid4().hex, None)
    except Exception:
        logger.warning("the cache is away: %s may be up to %d s old when it is back", name, KEPT_SECONDS)


def _key(name: str) -> str:
    return f"answer:{name}"


def _generation_key(name: str) -> str:
    return f"generation:{name}"
