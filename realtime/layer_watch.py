"""Checks whether the channel layer carries what this process says: it sends itself a message every second and listens.

A layer that is away shows up as an error, but one that hangs, or a subscription that was lost, only as silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

from channels.layers import get_channel_layer

from realtime import metrics
from sessions_app import events

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

PROBE_SECONDS = 1
SILENCE_SECONDS = 5
# A layer that answers again takes its subscriptions up by itself; one that stays silent so long starts over.
START_OVER_SECONDS = 30


class LayerWatch:
    def __init__(self, process: str, on_change: Callable[[bool], None], start_over: Callable[[], None]) -> None:
        self.is_degraded = False
        self._group = f"process.{process}"
        self._on_change = on_change
        self._start_over = start_over
        self._heard_at = time.monotonic()

    async def run(self) -> None:
        listener = asyncio.create_task(self._listen())
        started_over_at = time.monotonic()
        try:
            while True:
                events.ring(self._group, {"type": "layer.probe"})
                await asyncio.sleep(PROBE_SECONDS)
                now = time.monotonic()
                is_silent = now - self._heard_at > SILENCE_SECONDS
                if is_silent != self.is_degraded:
                    self._turn(is_silent)
                if not is_silent:
                    started_over_at = now
                elif now - started_over_at > START_OVER_SECONDS:
                    started_over_at = now
                    listener.cancel()
                    await asyncio.wait({listener})
                    await self._flush()
                    listener = asyncio.create_task(self._listen())
                    self._start_over()
        finally:
            listener.cancel()

    def _turn(self, is_degraded: bool) -> None:
        self.is_degraded = is_degraded
        metrics.DEGRADED.set(is_degraded)
        logger.warning("the channel layer %s", "does not answer: rooms read the log" if is_degraded else "answers")
        self._on_change(is_degraded)

    async def _flush(self) -> None:
        layer = get_channel_layer()
        assert layer is not None
        with contextlib.suppress(Exception):
            await asyncio.wait_for(layer.flush(), SILENCE_SECONDS)

    async def _listen(self) -> None:
        layer = get_channel_layer()
        assert layer is not None
        while True:
            try:
                channel = await layer.new_channel()
                await layer.group_add(self._group, channel)
                while True:
                    await layer.receive(channel)
                    self._heard_at = time.monotonic()
            except Exception:
                logger.debug("no subscription to the channel layer", exc_info=True)
                await asyncio.sleep(PROBE_SECONDS)
