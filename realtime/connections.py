"""One socket: what it may do, what it was told, and its bounded outbox. Lives on the event loop; pycrdt-free.

A reader that does not keep up loses queued document updates and cursors, and gets one state diff and the whole
table when it can read again: memory per socket is bounded and no gap is left. While a socket keeps up, what its room
tells everybody goes to it at once, as one encoded frame for all, past the outbox and the writer.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from django.utils.crypto import constant_time_compare

from realtime import metrics
from realtime.limits import Pace
from realtime.wire import close_codes, protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from uuid import UUID

    Send = Callable[[dict[str, Any]], Awaitable[None]]
    # Takes an encoded WebSocket frame; False when the socket cannot take it now.
    WriteFrame = Callable[[bytes], bool]
    # Given the state vector that the socket was last at: the frames that bring it up to date; None: of cursors only.
    CatchUp = Callable[[bytes | None], Awaitable[Sequence[bytes | str]]]

OUTBOX_MAX_BYTES = 256 * 1024
OUTBOX_TEXT_MAX_BYTES = 1024 * 1024
ANSWERS_MAX_BYTES = 24 * 1024 * 1024
# What builds on blocks that have not arrived: a page that asks and answers has them within a round trip.
HELD_MAX_BYTES = 1024 * 1024
HELD_MAX_FRAMES = 512
# Frames that are merged behind a held one wait for its acknowledgement.
BEHIND_HELD_MAX_FRAMES = 8 * 1024
# A page that was asked for everything it has so often, and still builds on something else, will not have it.
EARLY_ANSWERS_MAX = 3
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
    """What many sockets are told alike, now, encoded once: as a payload, and as the WebSocket frame that carries it."""

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


@dataclass(slots=True, eq=False)
class Frame:
    """A step 2 or update frame that is not acknowledged yet."""

    number: int
    taken_at: float
    # The room's count of changes that must be committed first; None while it is held.
    needs: int | None = None
    # While it is held: what it brought, and how many clocks of which clients must come before it.
    update: bytes = b""
    waits_for: Mapping[int, int] | None = None
    is_refused: bool = False


class Connection:
    # What a room that tells a hundred sockets something asks of each: not of a dict elsewhere, for every one of them is
    # fetched from memory that the processor has not seen since the last time.
    __slots__ = ("__dict__", "_is_idle", "_write_frame", "last_sent")

    def __init__(
        self,
        user_id: UUID,
        username: str,
        hue: int,
        permission: str,
        *,
        speaks_json: bool,
        catch_up: CatchUp,
        write_frame: WriteFrame | None = None,
        session_key: str = "",
        family: str = "",
        password_mark: str = "",
        is_bot: bool = False,
        is_guest: bool = False,
        token_id: UUID | None = None,
        scopes: frozenset[str] | None = None,
        expires_at: float | None = None,
        keeps_cursors: bool = False,
    ) -> None:
        self.id = uuid4().hex
        # As frames name the person; and as the log and the access table do.
        self.user_id = str(user_id)
        self.author = user_id
        self.username = username
        self.hue = hue
        self.permission = permission
        self.speaks_json = speaks_json
        # Of the sign-in that opened it: the key of a cookie session, or the family of a token; also when a ticket did.
        self.session_key = session_key
        self.family = family
        # The mark of the person's sign-ins at that time: a new password, or ending them all, changes it.
        self.password_mark = password_mark
        # Unix seconds; None for a cookie, which lasts as long as its session, and for a token without an end.
        self.expires_at = expires_at
        self.is_bot = is_bot
        self.is_guest = is_guest
        # Of the personal token that opened it, and what that one may be used for; None: whatever the person may.
        self.token_id = token_id
        self.scopes = scopes
        # Of awareness; and whether it keeps those of others without hearing of them again, until they leave.
        self.client_ids: set[int] = set()
        self.keeps_cursors = keeps_cursors
        self.received = 0
        # When it was last asked for everything it has; None once it answered and nothing is held.
        self.asked_at: float | None = None
        # How many of its answers, one after the other, had to be held.
        self.early_answers = 0
        self.last_sent = self.last_heard = time.monotonic()
        self.pace = Pace()
        # Cursors that came too soon after the last, and the loop's time from when on the next are taken.
        self.waiting_states: dict[int, protocol.AwarenessEntry] = {}
        self.states_at = 0.0
        self.closing: tuple[int, str] | None = None
        self.catch_up = catch_up
        self._write_frame = write_frame
        # Whether the writer waits for something to do: only then may a frame pass it by.
        self._is_idle = False
        self._outbox: deque[_Item] = deque()
        self._outbox_bytes = 0
        self._behind: bytes | None = None
        self._lost_cursors = False
        self._ack: protocol.Ack | None = None
        self._unsettled: deque[Frame] = deque()
        self._held: deque[Frame] = deque()
        self._held_bytes = 0
        self._wake = asyncio.Event()
        self._may_ask = asyncio.Event()
        self._may_ask.set()

    def shown_identity(self) -> dict[str, object]:
        identity: dict[str, object] = {
            "id": self.user_id,
            "name": self.username,
            "hue": self.hue,
            "permission": self.permission,
        }
        return identity | {"is_bot": True} if self.is_bot else identity

    @property
    def sign_in(self) -> tuple[str, str, str]:
        return self.session_key, self.family, self.password_mark

    @property
    def comes_by_cookie(self) -> bool:
        return bool(self.session_key)

    def is_signed_in_with(self, password_mark: str) -> bool:
        # A personal token has a life of its own.
        return self.token_id is not None or constant_time_compare(self.password_mark, password_mark)

    # What goes out

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

    def tell(self, frame: protocol.TextFrame) -> None:
        self.put_text(Shared(protocol.encode_text(frame)))

    def tell_error(self, code: str, detail: str, ref: str | None = None) -> None:
        """`ref` is that of the message that could not be done."""
        frame: protocol.Error = {"type": "error", "code": code, "detail": detail}
        if ref is not None:
            frame["ref"] = ref
        self.tell(frame)

    def close(self, code: int, reason: str = "") -> None:
        """Send the text frames that wait, then close. Nothing more of the document goes out."""
        if self.closing is None:
            self.closing = (code, reason)
            self._keep({_Kind.TEXT, _Kind.DENIED})
            self._behind, self._lost_cursors = None, False
            self._wake_writer()

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
        self._outbox.append(item)
        self._outbox_bytes += len(item.payload)
        if self._outbox_bytes > READING_MAX_BYTES:
            self._may_ask.clear()
        if item.kind is _Kind.ANSWER:
            # One answer may be as large as a document; many that nobody reads are an attack.
            if self._outbox_bytes > ANSWERS_MAX_BYTES:
                self.close(close_codes.TRY_AGAIN, "too slow")
        elif self._outbox_bytes > OUTBOX_MAX_BYTES:
            self._shed()
        self._wake_writer()

    def _shed(self) -> None:
        first = next((item.base for item in self._outbox if item.kind is _Kind.UPDATE), None)
        if first is not None:
            self._behind = first
            metrics.RESYNCS.labels("slow_reader").inc()
        self._lost_cursors |= any(item.kind is _Kind.AWARENESS for item in self._outbox)
        self._keep({_Kind.TEXT, _Kind.ANSWER, _Kind.DENIED})
        if sum(len(item.payload) for item in self._outbox if item.kind is _Kind.TEXT) > OUTBOX_TEXT_MAX_BYTES:
            self.close(close_codes.TRY_AGAIN, "too slow")

    def _keep(self, kinds: set[_Kind]) -> None:
        self._outbox = deque(item for item in self._outbox if item.kind in kinds)
        self._outbox_bytes = sum(len(item.payload) for item in self._outbox)
        if self._outbox_bytes <= READING_MAX_BYTES:
            self._may_ask.set()

    async def may_ask(self) -> None:
        await self._may_ask.wait()

    async def write(self, send: Send) -> None:
        """Send what is put until the socket is closed from here. One task per socket runs this."""
        while True:
            if self._outbox:
                item = self._outbox.popleft()
                self._outbox_bytes -= len(item.payload)
                if self._outbox_bytes <= READING_MAX_BYTES:
                    self._may_ask.set()
                if isinstance(item.payload, str):
                    await send({"type": "websocket.send", "text": item.payload})
                else:
                    await send({"type": "websocket.send", "bytes": item.payload})
                self.last_sent = time.monotonic()
            if self._ack is not None:
                ack, self._ack = self._ack, None
                await send({"type": "websocket.send", "text": protocol.encode_text(ack)})
            if self._outbox or self._ack is not None:
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

    # What came in

    def arrived(self) -> Frame:
        self.received += 1
        frame = Frame(self.received, time.monotonic())
        self._unsettled.append(frame)
        return frame

    def expect(self, frame: Frame, needs: int) -> None:
        """The frame is acknowledged once the room has committed `needs` changes."""
        if frame.waits_for is not None:
            self._held.remove(frame)
            self._held_bytes -= len(frame.update)
            frame.update, frame.waits_for = b"", None
        frame.needs = needs

    def hold(self, frame: Frame, update: bytes, waits_for: Mapping[int, int]) -> None:
        """Keep what the frame brought until so much has arrived."""
        if frame.waits_for is None:
            self._held.append(frame)
            self._held_bytes += len(update)
        frame.update, frame.waits_for = update, waits_for

    @property
    def first_held(self) -> Frame | None:
        """Acknowledgements keep their order, so there is no use in looking past it."""
        return self._held[0] if self._held else None

    @property
    def holds_too_much(self) -> bool:
        return bool(self._held) and (
            self._held_bytes > HELD_MAX_BYTES
            or len(self._held) > HELD_MAX_FRAMES
            or len(self._unsettled) > BEHIND_HELD_MAX_FRAMES
        )

    @property
    def is_settled(self) -> bool:
        """Whether every frame that came in is acknowledged."""
        return not self._unsettled

    def settle(self, committed: int, seq: int) -> None:
        """Acknowledge, in order, every frame whose changes are committed."""
        settled = 0
        while self._unsettled and (needs := self._unsettled[0].needs) is not None and needs <= committed:
            frame = self._unsettled.popleft()
            settled = frame.number
            metrics.ACK_SECONDS.observe(time.monotonic() - frame.taken_at)
        if settled and self.speaks_json:
            ack: protocol.Ack = {"type": "ack", "received": settled, "seq": seq}
            if not self._write_now(Shared(protocol.encode_text(ack))):
                self._ack = ack
                self._wake_writer()
