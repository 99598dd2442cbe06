"""The channel layer of the embedded default: in memory, and safe to call from any thread or event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from channels.layers import InMemoryChannelLayer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class LocalLayer(InMemoryChannelLayer):
    """An InMemoryChannelLayer whose queues live on an event loop of its own, in a daemon thread.

    The queues belong to one event loop: a put from another one does not wake the reader. So every call runs on that
    loop. (If it were the first caller's loop, the others would wait indefinitely once that loop stops.)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="channel layer", daemon=True).start()
            return self._loop

    async def _on_owner(self, method: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        async def call() -> Any:
            return await method(*args)

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), self._own_loop()))

    async def receive(self, channel: str) -> Any:
        return await self._on_owner(super().receive, channel)

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        await self._on_owner(super().send, channel, message)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        await self._on_owner(super().group_send, group, message)

    async def group_add(self, group: str, channel: str) -> None:
        await self._on_owner(super().group_add, group, channel)

    async def group_discard(self, group: str, channel: str) -> None:
        await self._on_owner(super().group_discard, group, channel)
