"""What one socket is told: a bounded queue, and the writer that empties it. Lives on the event loop; pycrdt-free.

A reader that does not keep up loses queued document updates and cursors, and gets one state diff and the whole
table when it can read again: memory per socket is bounded and no gap is left. While a socket keeps up, what its room
tells everybody goes to it at once, as one encoded frame for all, past the queue and the writer.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from realtime import metrics
from realtime.wire import close_codes, protocol
from realtime.wire.text import encode_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sessions_app import messages
    from sessions_app.messages import ServerMessage

    Send = Callable[[dict[str, Any]], Awaitable[None]]
    # Takes an encoded WebSocket frame; False when the socket cannot take it now.
    WriteFrame = Callable[[bytes], bool]
    # Given the state vector that the socket was last at: the frames that bring it up to date; None: of cursors only.
    CatchUp = Callable[[bytes | None], Awaitable[Sequence[bytes | str]]]

QUEUE_MAX_BYTES = 256 * 1024
TEXT_MAX_BYTES = 1024 * 1024
ANSWERS_MAX_BYTES = 24 * 1024 * 1024
# While more than this waits to be written, the socket is not read: what it asks for is not heaped up.
READING_MAX_BYTES = 1024 * 1024


class _Kind(Enum):
    UPDATE = 1
    AWARENESS = 2
    ANSWER = 3
    TEXT = 4
    PASSING = 5
    DENIED = 6


class Shared:
    """A message for many sockets, encoded once: as a payload, and as the WebSocket frame that carries it."""

    __slots__ = ("at", "payload", "wire")

    def __init__(self, payload: bytes | str) -> None:
        self.at = time.monotonic()
        self.payload = payload
        self.wire = protocol.encode_websocket_frame(payload)


@dataclass(slots=True)
class _Item:
    kind: _Kind
    payload: bytes | str
    # Of an update: the state vector it leads on from.
    base: bytes = b""


class Outbox:
    # A room that tells a hundred sockets something fetches this of each from memory that the processor has not seen
    # since the last time; a dict would be another fetch.
    __slots__ = (
        "_ack",
        "_behind",
        "_has_room",
        "_is_idle",
        "_lost_cursors",
        "_queue",
        "_wake",
        "_write_frame",
        "catch_up",
        "closing",
        "last_sent",
        "queued_bytes",
        "speaks_json",
    )

    def __init__(self, *, speaks_json: bool, write_frame: WriteFrame | None = None) -> None:
        self.speaks_json = speaks_json
        self.last_sent = time.monotonic()
        # The close code and its reason, once the socket is closed from here.
        self.closing: tuple[int, str] | None = None
        self.catch_up: CatchUp = _nothing
        self.queued_bytes = 0
        self._write_frame = write_frame
        # Whether the writer waits for something to do: only then may a frame pass it by.
        self._is_idle = False
        self._queue: deque[_Item] = deque()
        self._behind: bytes | None = None
        self._lost_cursors = False
        self._ack: messages.Ack | None = None
        self._wake = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    def put_update(self, frame: Shared, base: bytes) -> None:
        if not self._write_now(frame) and self._behind is None:
            self._put(_Item(_Kind.UPDATE, frame.payload, base))

    def put_awareness(self, frame: Shared) -> None:
        if not self._write_now(frame) and self._behind is None:
            self._put(_Item(_Kind.AWARENESS, frame.payload))

    def put_answer(self, frame: bytes | str) -> None:
        self._put(_Item(_Kind.ANSWER, frame))

    def put_denied(self, reason: str) -> None:
        """For stock clients, which read no text frames."""
        if not self.speaks_json:
            self._put(_Item(_Kind.DENIED, protocol.encode_denied(reason)))

    def put_text(self, frame: Shared, *, may_be_lost: bool = False) -> None:
        """`may_be_lost`: the page can read it again over REST."""
        if self.speaks_json and not self._write_now(frame):
            self._put(_Item(_Kind.PASSING if may_be_lost else _Kind.TEXT, frame.payload))

    def put_ack(self, ack: messages.Ack) -> None:
        """A newer one takes the place of one that still waits."""
        if self.speaks_json and not self._write_now(Shared(encode_text(ack))):
            self._ack = ack
            self._wake_writer()

    def tell(self, frame: ServerMessage) -> None:
        self.put_text(Shared(encode_text(frame)))

    def close(self, code: int, reason: str = "") -> None:
        """Send the text frames that wait, then close. Nothing more of the document goes out."""
        if self.closing is None:
            self.closing = (code, reason)
            self._keep({_Kind.TEXT, _Kind.DENIED})
            self._behind, self._lost_cursors = None, False
            self._wake_writer()

    @property
    def is_full(self) -> bool:
        return not self._has_room.is_set()

    async def has_room(self) -> None:
        """Wait until the socket has read what it asked for."""
        await self._has_room.wait()

    def _wake_writer(self) -> None:
        self._is_idle = False
        self._wake.set()

    def _write_now(self, frame: Shared) -> bool:
        """Whether the frame went out at once: nothing waits that must go before it, and the socket takes it."""
        if self._is_idle and self._write_frame is not None and self._write_frame(frame.wire):
            self.last_sent = frame.at
            return True
        return False

    def _put(self, item: _Item) -> None:
        if self.closing is not None:
            return
        self._queue.append(item)
        self.queued_bytes += len(item.payload)
        if self.queued_bytes > READING_MAX_BYTES:
            self._has_room.clear()
        if item.kind is _Kind.ANSWER:
            # One answer may be as large as a document; many that nobody reads are an attack.
            if self.queued_bytes > ANSWERS_MAX_BYTES:
                self.close(close_codes.TRY_AGAIN, "too slow")
        elif self.queued_bytes > QUEUE_MAX_BYTES:
            self._shed()
        self._wake_writer()

    def _shed(self) -> None:
        first = next((item.base for item in self._queue if item.kind is _Kind.UPDATE), None)
        if first is not None:
            self._behind = first
            metrics.RESYNCS.labels("slow_reader").inc()
        self._lost_cursors |= any(item.kind is _Kind.AWARENESS for item in self._queue)
        self._keep({_Kind.TEXT, _Kind.ANSWER, _Kind.DENIED})
        if sum(len(item.payload) for item in self._queue if item.kind is _Kind.TEXT) > TEXT_MAX_BYTES:
            self.close(close_codes.TRY_AGAIN, "too slow")

    def _keep(self, kinds: set[_Kind]) -> None:
        self._queue = deque(item for item in self._queue if item.kind in kinds)
        self.queued_bytes = sum(len(item.payload) for item in self._queue)
        if self.queued_bytes <= READING_MAX_BYTES:
            self._has_room.set()

    async def write(self, send: Send) -> None:
        """Send what is put until the socket is closed from here. One task per socket runs this."""
        while True:
            if self._queue:
                item = self._queue.popleft()
                self.queued_bytes -= len(item.payload)
                if self.queued_bytes <= READING_MAX_BYTES:
                    self._has_room.set()
                if isinstance(item.payload, str):
                    await send({"type": "websocket.send", "text": item.payload})
                else:
                    await send({"type": "websocket.send", "bytes": item.payload})
                self.last_sent = time.monotonic()
            if self._ack is not None:
                ack, self._ack = self._ack, None
                await send({"type": "websocket.send", "text": encode_text(ack)})
            if self._queue or self._ack is not None:
                continue
            if self.closing is not None:
                code, reason = self.closing
                await send({"type": "websocket.close", "code": code, "reason": reason})
                return
            if self._behind is not None or self._lost_cursors:
                behind, self._behind, self._lost_cursors = self._behind, None, False
                for frame in await self.catch_up(behind):
                    self.put_answer(frame)
                continue
            self._wake.clear()
            self._is_idle = True
            await self._wake.wait()


class PlainOutbox(Outbox):
    """The outbox of a client without a CRDT, which is told deltas instead of updates."""

    __slots__ = ()

    _KEEP_ALIVE = encode_text({"type": "keep-alive"})

    def put_update(self, frame: Shared, base: bytes) -> None:
        """Drop it: pages' frames are not for this client."""

    def put_awareness(self, frame: Shared) -> None:
        if frame.payload == protocol.KEEP_ALIVE:
            self.put_text(Shared(self._KEEP_ALIVE))

    def put_change(self, frame: Shared) -> None:
        """Tell what a `state` tells again: dropped when the client does not keep up."""
        super().put_update(frame, b"")


async def _nothing(_behind: bytes | None) -> Sequence[bytes | str]:
    return ()
