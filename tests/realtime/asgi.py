"""Sockets of the ASGI application in the test's own process and loop."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pycrdt
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from rest_framework_simplejwt.tokens import AccessToken

from accounts import tokens
from codecrafter.asgi import application
from realtime.wire import protocol
from sessions_app.document import update_log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from accounts.models import User
    from sessions_app.models import CodeSession


class Socket(WebsocketCommunicator):
    async def text(self, kind: str) -> dict[str, Any]:
        """The next text frame of this kind."""
        while True:
            message = await self.receive_output(10)
            if message.get("text") is not None and (frame := json.loads(message["text"]))["type"] == kind:
                return frame

    async def binary(self, start: bytes) -> bytes:
        while True:
            message = await self.receive_output(10)
            if (message.get("bytes") or b"").startswith(start):
                return message["bytes"]

    async def close_code(self) -> int:
        while True:
            message = await self.receive_output(10)
            if message["type"] == "websocket.close":
                return message["code"]

    async def type(self, session: CodeSession, text: str) -> bytes:
        update = await typed(session, text)
        await self.send_to(bytes_data=protocol.encode_update(update))
        return update


async def typed(session: CodeSession, text: str) -> bytes:
    """The update of a page that types this in front of everything."""
    loaded = await sync_to_async(update_log.load)(session.pk)
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.apply_update(loaded.update)
    updates: list[bytes] = []
    doc.observe(lambda event: updates.append(event.update))
    doc.get("main", type=pycrdt.Text).insert(0, text)
    return updates[0]


def token_of(user: User, seconds: float = 900) -> str:
    token = AccessToken(tokens.issue(user).access)
    token.set_exp(lifetime=timedelta(seconds=seconds))
    return str(token)


@asynccontextmanager
async def socket(
    user: User, session: CodeSession, *, stock: bool = False, seconds: float = 900
) -> AsyncIterator[Socket]:
    token = await sync_to_async(token_of)(user, seconds)
    opened = Socket(
        application,
        f"/ws/sessions/{session.pk}",
        headers=[(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())],
        subprotocols=[] if stock else ["codecrafter.v1"],
    )
    accepted, subprotocol = await opened.connect(10)
    assert accepted
    assert subprotocol == (None if stock else "codecrafter.v1")
    try:
        yield opened
    finally:
        await opened.disconnect()


async def until(condition: Any, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
