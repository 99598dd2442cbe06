"""How values lie in Redis: as JSON. Django's own serializer is pickle, which runs what it reads.

Whoever can write to Redis, as a worker can, must not thereby run code in the web process.
"""

from __future__ import annotations

import json
import logging
from typing import Any

logger = logging.getLogger(__name__)


class JSONSerializer:
    """Django's RedisCache uses it (settings.CACHES). Whole numbers stay as they are, so that Redis can count."""

    def dumps(self, value: Any) -> int | bytes:
        return value if type(value) is int else json.dumps(value, separators=(",", ":")).encode()

    def loads(self, data: bytes) -> Any:
        """The value; None, as if there were none, for what this class has not written."""
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            logger.warning("a value in the cache is not JSON and is passed over")
            return None
