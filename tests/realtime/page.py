"""A page's end of a socket for tests: pycrdt's own document and encoder over a `websockets` connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pycrdt
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from realtime.wire.protocol import SUBPROTOCOL, Awareness, AwarenessEntry, decode, encode_awareness
from tests.live import Person

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.live import LiveServer


class Page:
    def __init__(self, socket: ClientConnection, doc: pycrdt.Doc[Any] | None = None) -> None:
        self.socket = socket
        self.doc: pycrdt.Doc[Any] = doc if doc is not None else pycrdt.Doc()
        self.main: pycrdt.Text = self.doc.get("main", type=pycrdt.Text)
        self.texts: list[dict[str, Any]] = []
        self.binaries: list[bytes] = []
        self.states: dict[int, dict[str, Any] | None] = {}
        self.clocks: dict[int, int] = {}
        self.sent = 0
        self.acked = 0
        self.is_synced = False
        self._local: list[bytes] = []
        self._applying = False
        self.listener: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._subscription = self.doc.observe(self._observe)

    def _observe(self, event: Any) -> None:
        if not self._applying:
            self._local.append(event.update)

    @property
    def text(self) -> str:
        return str(self.main)

    async def edit(self, change: Callable[[pycrdt.Text], None]) -> None:
        change(self.main)
        await self.flush()

    async def flush(self) -> None:
        pending, self._local = self._local, []
        for update in pending:
            self.sent += 1
            await self.socket.send(pycrdt.create_update_message(update))

    async def type(self, text: str, at: int | None = None) -> None:
        await self.edit(lambda main: main.insert(len(main) if at is None else at, text))

    async def announce(self, state: dict[str, Any] | None, clock: int, client_id: int | None = None) -> None:
        entry = AwarenessEntry(self.doc.client_id if client_id is None else client_id, clock, state)
        await self.socket.send(encode_awareness([entry]))

    async def listen(self) -> None:
        async for frame in self.socket:
            if isinstance(frame, str):
                message = json.loads(frame)
                self.texts.append(message)
                if message["type"] == "ack":
                    self.acked = message["received"]
            else:
                self.binaries.append(frame)
                await self._take(frame)
            self._changed.set()

    async def _take(self, frame: bytes) -> None:
        if frame[0] == pycrdt.YMessageType.SYNC:
            self._applying = True
            try:
                reply = pycrdt.handle_sync_message(frame[1:], self.doc)
            finally:
                self._applying = False
            if frame[1] == pycrdt.YSyncMessageType.SYNC_STEP2:
                self.is_synced = True
            if reply is not None:
                self.sent += 1
                # What the server said before it closed is still to be read.
                with contextlib.suppress(ConnectionClosed):
                    await self.socket.send(reply)
        elif frame[0] == pycrdt.YMessageType.AWARENESS:
            for message in decode(frame):
                assert isinstance(message, Awareness)
                for entry in message.entries:
                    known = self.clocks.get(entry.client_id, -1)
                    # The rule of y-protocols, so that what a stock client would not see is not seen here either.
                    if entry.clock > known or (entry.clock == known and entry.state is None):
                        self.clocks[entry.client_id] = entry.clock
                        self.states[entry.client_id] = entry.state

    async def until(self, condition: Callable[[], Any], seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                # Nothing more will come.
                assert self.listener is None or not self.listener.done(), (self.socket.close_code, self.texts[-3:])
                self._changed.clear()
                await self._changed.wait()

    async def saved(self) -> None:
        await self.until(lambda: self.acked >= self.sent)

    async def sees(self, text: str) -> None:
        await self.until(lambda: self.text == text)

    def said(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.texts if message["type"] == kind]

    @property
    def present(self) -> dict[int, dict[str, Any]]:
        return {client: state for client, state in self.states.items() if state is not None}


@asynccontextmanager
async def page(
    person: Person,
    session_id: str,
    *,
    doc: pycrdt.Doc[Any] | None = None,
    stock: bool = False,
    query: str = "",
) -> AsyncIterator[Page]:
    """A synced page of this person; `stock` offers no subprotocol."""
    async with connect(
        person.socket_url(session_id) + query,
        additional_headers=person.headers,
        subprotocols=None if stock else [SUBPROTOCOL],  # type: ignore[list-item]
        compression=None,
        max_size=None,
    ) as socket:
        opened = Page(socket, doc)
        listener = opened.listener = asyncio.create_task(_until_closed(opened))
        await socket.send(pycrdt.create_sync_message(opened.doc))
        await opened.until(lambda: opened.is_synced)
        try:
            yield opened
        finally:
            listener.cancel()
            opened.doc.unobserve(opened._subscription)


def at(server: LiveServer, person: Person) -> Person:
    """The same person at another process."""
    return Person(server, person.username, person.id, person.access)


def caret(doc: pycrdt.Doc[Any], at: int) -> dict[str, Any]:
    """An awareness cursor as the page writes it: an empty selection before the `at`-th item of this document."""
    position = {"item": {"client": doc.client_id, "clock": at}, "assoc": 0}
    return {"anchor": position, "head": position}


async def _until_closed(opened: Page) -> None:
    try:
        await opened.listen()
    except ConnectionClosed:
        pass
    finally:
        # The task is done in the next turn.
        asyncio.get_running_loop().call_soon(opened._changed.set)


async def close_code(person: Person | None, url: str, *frames: str | bytes, offer: bool = True) -> int:
    """Connect, send the frames, and return the code that the server closes with."""
    async with connect(
        url,
        additional_headers=person.headers if person else None,
        subprotocols=[SUBPROTOCOL] if offer else None,  # type: ignore[list-item]
        compression=None,
        max_size=None,
    ) as socket:
        for frame in frames:
            await socket.send(frame)
        try:
            async with asyncio.timeout(60):
                while True:
                    await socket.recv()
        except ConnectionClosed as closed:
            assert closed.rcvd is not None
            return closed.rcvd.code
