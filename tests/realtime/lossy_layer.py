"""The Redis layer, worse: a fifth of all messages is lost, and others overtake each other. Only tests select it."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from codecrafter.redis_layer import RedisLayer

DROPPED = 0.2
LATE_SECONDS = 0.1


class LossyLayer(RedisLayer):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._chance = random.Random(20)
        self._late: set[asyncio.Task[None]] = set()

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        if self._chance.random() < DROPPED:
            return
        task = asyncio.ensure_future(self._send_late(group, message, self._chance.random() * LATE_SECONDS))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _send_late(self, group: str, message: dict[str, Any], seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._get_layer().group_send(group, message)
