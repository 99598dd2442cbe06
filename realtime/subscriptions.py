"""What the channel layer brings to the rooms of this process: one subscription per room, and one about people."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from channels.layers import get_channel_layer

if TYPE_CHECKING:
    from collections.abc import Callable

    Hear = Callable[[dict[str, Any]], None]

logger = logging.getLogger(__name__)
SUBSCRIBE_SECONDS = 2


@dataclass(slots=True)
class _Subscription:
    hear: Hear
    task: asyncio.Task[None]


class Subscriptions:
    """By group. What the layer does not take from this process is heard here all the same."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._of: dict[str, _Subscription] = {}

    async def start(self, group: str, hear: Hear, *, wait: bool) -> None:
        """Have `hear` called with every message to this group; with `wait`, return once the layer has us in it."""
        subscribed = asyncio.Event()
        self.listen(group, hear, subscribed)
        if wait:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(subscribed.wait(), SUBSCRIBE_SECONDS)

    def listen(self, group: str, hear: Hear, subscribed: asyncio.Event | None = None) -> None:
        task = self._loop.create_task(self._listen(group, subscribed or asyncio.Event()))
        self._of[group] = _Subscription(hear, task)

    def hear_with(self, group: str, hear: Hear) -> None:
        """Have another function called from now on."""
        self._of[group].hear = hear

    def end(self, group: str) -> None:
        if (subscription := self._of.pop(group, None)) is not None:
            subscription.task.cancel()

    def end_all(self) -> None:
        for group in list(self._of):
            self.end(group)

    def start_over(self) -> None:
        """Subscribe anew to every group, after the layer was flushed."""
        for group, subscription in list(self._of.items()):
            subscription.task.cancel()
            self.listen(group, subscription.hear)

    def take_undelivered(self, group: str, message: dict[str, Any]) -> None:
        """What the layer did not take still concerns the rooms of this process (called in the speaker's thread)."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._hear_undelivered, group, message)

    def _hear_undelivered(self, group: str, message: dict[str, Any]) -> None:
        if (subscription := self._of.get(group)) is not None:
            subscription.hear(message)

    async def _listen(self, group: str, subscribed: asyncio.Event) -> None:
        """Listen to one group. A layer that fails is asked again; until then the ticks see."""
        layer = get_channel_layer()
        assert layer is not None
        while True:
            channel = ""
            try:
                channel = await layer.new_channel()
                await layer.group_add(group, channel)
                subscribed.set()
                while True:
                    message = await layer.receive(channel)
                    if (subscription := self._of.get(group)) is None:
                        continue
                    try:
                        subscription.hear(message)
                    except Exception:
                        logger.exception("a message to %s was not understood", group)
            except asyncio.CancelledError:
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(layer.group_discard(group, channel), SUBSCRIBE_SECONDS)
                raise
            except Exception as error:
                logger.warning("%s does not hear the channel layer: %r", group, error)
                await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311
