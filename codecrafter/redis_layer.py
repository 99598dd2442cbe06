"""The layer of several processes: channels_redis' pub/sub, which here waits for what Redis says.

It would ask ten times a second whether anything was said; a process whose sockets are idle spent most of its time so.
"""

from __future__ import annotations

import asyncio
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer, RedisSingleShardConnection
from redis.asyncio.client import PubSub

# Between two looks at the connection's health.
WAIT_SECONDS = 5


class RedisLayer(RedisPubSubChannelLayer):
    def _get_layer(self) -> Any:
        is_new = asyncio.get_running_loop() not in self._layers
        layer = super()._get_layer()
        if is_new:
            layer._shards = [_Shard(shard.host, layer) for shard in layer._shards]
        return layer


class _Shard(RedisSingleShardConnection):
    def _ensure_redis(self) -> None:
        if self._redis is None:
            super()._ensure_redis()
            assert self._redis is not None
            self._pubsub = _PatientPubSub(self._redis.connection_pool)


class _PatientPubSub(PubSub):
    async def get_message(self, ignore_subscribe_messages: bool = False, timeout: float | None = 0.0) -> Any:  # noqa: ASYNC109
        """Waits WAIT_SECONDS whatever `timeout` says: whoever asks asks again at once, so nothing is lost by it."""
        return await super().get_message(ignore_subscribe_messages, WAIT_SECONDS)
