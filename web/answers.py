"""Cache responses for KEPT_SECONDS, without ever serving a stale one.

A private response is kept in this process with the tag of the state that it shows, and is looked up by the tag of the
current state, which takes one database query. So a commit, of a permission above all, invalidates it everywhere.
A shared response is kept in the cache with a generation. Changing what it shows starts a new generation on commit, and
whatever is made of the old state meanwhile belongs to the old one. Shared responses are kept in Redis only: a cache in
this process would miss changes by other processes, such as management commands.
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
# Larger ones are not kept: settings.CACHES["answers"] bounds their number, not their size.
PRIVATE_MAX_BYTES = 64 * 1024


def kept(name: str, tag: str) -> bytes | None:
    """Return the private response if it shows the state with this tag."""
    found = cast("tuple[str, bytes] | None", caches["answers"].get(name))
    return found[1] if found and found[0] == tag else None


def keep(name: str, tag: str, body: bytes) -> None:
    if len(body) <= PRIVATE_MAX_BYTES:
        caches["answers"].set(name, (tag, body), KEPT_SECONDS)


def shared(name: str, make: Callable[[], bytes]) -> bytes:
    """Return the shared response. Makes it if there is none of this generation or the cache is unavailable."""
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
        logger.warning("the cache is unavailable, %s is not kept", name)
    return body


def forget(name: str) -> None:
    """Invalidate the shared response: now for the current transaction, and on commit for everybody else."""
    if settings.REDIS_URL:
        _renew(name)
        transaction.on_commit(lambda: _renew(name))


def _renew(name: str) -> None:
    try:
        cache.set(_generation_key(name), uuid.uuid4().hex, None)
    except Exception:
        logger.warning("the cache is unavailable: %s may be up to %d s old once it is back", name, KEPT_SECONDS)


def _key(name: str) -> str:
    return f"answer:{name}"


def _generation_key(name: str) -> str:
    return f"generation:{name}"
