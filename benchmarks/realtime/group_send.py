"""The baseline that a Channels tutorial ends with: every update goes to the group, and so to every consumer's channel.

It keeps no document and stores nothing. Served by uvicorn with the options that codecrafter/server.py gives it.
"""

from __future__ import annotations

import os
from typing import Any

import django
import uvicorn
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from django.conf import settings
from django.urls import re_path

settings.configure(
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 10_000}}}
)
django.setup()


class Relay(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        self.group = self.scope["url_route"]["kwargs"]["room"]
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        message = {"type": "relay", "frame": bytes_data, "sender": self.channel_name}
        await self.channel_layer.group_send(self.group, message)

    async def relay(self, message: dict[str, Any]) -> None:
        if message["sender"] != self.channel_name:
            await self.send(bytes_data=message["frame"])


if __name__ == "__main__":
    uvicorn.run(
        URLRouter([re_path(r"^(?P<room>[-\w]+)$", Relay.as_asgi())]),
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
