"""Store cache values in Redis as JSON. Django's own serializer is pickle, which can run code when loading.

Write access to Redis, which workers have, must not be enough to run code in the web process.
"""

from __future__ import annotations

import json
import logging
from typing import Any

logger = logging.getLogger(__name__)


class JSONSerializer:
    """The serializer of Django's RedisCache (settings.CACHES). Integers stay as they are, so that Redis can count."""

    def dumps(self, value: Any) -> int | bytes:
        return value if type(value) is int else json.dumps(value, separators=(",", ":")).encode()

    def loads(self, data: bytes) -> Any:
        """Decode a value. Returns None, as for a missing value, if it is not JSON."""
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            logger.warning("ignored a value in the cache that is not JSON")
            return None
