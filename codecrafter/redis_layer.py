"""The channel layer of several processes: channels_redis' pub/sub, changed to block until a message arrives.

It polls ten times a second, which took most of the CPU time of a process with idle sockets.
"""

from __future__ import annotations

import asyncio
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer, RedisSingleShardConnection
from redis.asyncio.client import PubSub

# Between two checks of the connection.
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
        """Wait up to WAIT_SECONDS, whatever `timeout` says. The caller polls in a loop, so it misses nothing."""
        return await super().get_message(ignore_subscribe_messages, WAIT_SECONDS)
