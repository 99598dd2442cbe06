"""The embedded channel layer: in memory, and safe to call from any thread or event loop of the process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from channels.layers import InMemoryChannelLayer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class LocalLayer(InMemoryChannelLayer):  # type: ignore[misc]
    """InMemoryChannelLayer's queues belong to one event loop: a put from another one does not wake its reader.

    The first loop that touches the layer owns it; calls from other loops hop there and wait.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._owner: asyncio.AbstractEventLoop | None = None

    async def _on_owner(self, method: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        running = asyncio.get_running_loop()
        if self._owner is None or self._owner.is_closed():
            self._owner = running
        if self._owner is running:
            return await method(*args)

        async def call() -> Any:
            return await method(*args)

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), self._owner))

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
