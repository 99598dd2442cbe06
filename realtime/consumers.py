"""The WebSocket edge: sign-in, access, epoch, then frames to the room until either side closes.

Channels' own dispatch opens a channel per socket and hops to a thread per message; here the loop reads directly.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, assert_never
from urllib.parse import parse_qs

from channels.consumer import AsyncConsumer
from django.conf import settings

from accounts.models import Scope, User
from realtime import metrics, registry
from realtime.connection.chat import Sayings
from realtime.connection.connection import PlainConnection, open_connection
from realtime.connection.identity import Identity, SignIn
from realtime.connection.sign_in import SignInWatch
from realtime.places import Full
from realtime.registry import Unavailable
from realtime.wire import close_codes
from realtime.wire.protocol import (
    JSON_SUBPROTOCOL,
    SUBPROTOCOL,
    Awareness,
    ProtocolError,
    QueryAwareness,
    decode,
)
from realtime.wire.text import BadChange, BadMessage, decode_text
from sessions_app import messages
from sessions_app.access import within_scopes
from sessions_app.errors import SessionNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from realtime.connection.connection import Connection
    from realtime.connection.outbox import Send
    from realtime.room.room import Room

logger = logging.getLogger(__name__)
# How long a socket that is being closed may take to read what it was sent.
GOODBYE_SECONDS = 5


class _Refusal(Exception):
    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)


class SessionConsumer(AsyncConsumer):
    async def __call__(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        ours = (SUBPROTOCOL, JSON_SUBPROTOCOL)
        spoken = next((offered for offered in scope.get("subprotocols", ()) if offered in ours), None)
        # Close codes reach a client only after accept.
        await send({"type": "websocket.accept", "subprotocol": spoken})
        try:
            async with asyncio.timeout(settings.SOCKET_ADMISSION_SECONDS):
                room, connection, measure = await self._admit(scope, spoken)
        except TimeoutError:
            metrics.LIMITED.labels("admission").inc()
            await send({"type": "websocket.close", "code": close_codes.UNAVAILABLE, "reason": "not open in time"})
            return
        except _Refusal as refusal:
            await send({"type": "websocket.close", "code": refusal.code, "reason": refusal.reason})
            return
        room.join(connection, measure)
        await Conversation(scope, room, connection).hold(receive, send)

    async def _admit(self, scope: dict[str, Any], spoken: str | None) -> tuple[Room, Connection, str]:
        try:
            session_id = uuid.UUID(scope["url_route"]["kwargs"]["session_id"])
        except (KeyError, ValueError):
            raise _Refusal(close_codes.ABSENT, "no such session") from None
        user = scope.get("user")
        if scope.get("auth_failure") is not None or not isinstance(user, User):
            raise _Refusal(close_codes.SIGNED_OUT, "sign in first")
        live = registry.current()
        if live.is_draining:
            raise _Refusal(close_codes.RESTARTING, "the server restarts")
        try:
            asked, was_loaded = live.guard.asked, live.get(session_id) is not None
            granted, measure = await live.access(user, session_id)
            permission = str(within_scopes(granted, scope.get("auth_scopes")))
            pace = live.places.pace_of(str(user.pk))
            if not was_loaded:
                await asyncio.sleep(pace.pause()[0])
            room = await live.open(session_id)
        except SessionNotFound:
            raise _Refusal(close_codes.ABSENT, "no such session") from None
        except Unavailable:
            raise _Refusal(close_codes.UNAVAILABLE, "the document cannot be opened now") from None
        asked_for = _query(scope)
        _require_epoch(asked_for, room)
        connection = open_connection(
            Identity.of(user),
            permission,
            _sign_in(scope, user),
            is_plain=spoken == JSON_SUBPROTOCOL,
            speaks_json=spoken is not None,
            keeps_cursors=asked_for.get("renewals") == "off",
            write_frame=_frames(scope).get("write"),
        )
        connection.pace.person = pace
        if not was_loaded:
            pace.spend("updates", room.edits.replica.size_bound)
        # Nothing is awaited from here to the joining, so that two who come at once do not take one place.
        try:
            live.places.take(room, connection)
        except Full as full:
            raise _Refusal(close_codes.TOO_MANY, str(full)) from None
        if live.guard.asked != asked or not was_loaded:
            # Something has changed since the permission was read, or nobody listened for it.
            live.guard.check_soon(room)
        return room, connection, measure


def _sign_in(scope: dict[str, Any], user: User) -> SignIn:
    return SignIn(
        user.get_session_auth_hash(),
        scope.get("auth_session_key", ""),
        scope.get("auth_family", ""),
        scope.get("auth_token"),
        scope.get("auth_scopes"),
        scope.get("auth_expires_at"),
    )


def _frames(scope: dict[str, Any]) -> dict[str, Any]:
    """What codecrafter/socket_protocol.py offers, where that serves."""
    found: dict[str, Any] = scope.get("extensions", {}).get("codecrafter.frames", {})
    return found


def _query(scope: dict[str, Any]) -> dict[str, str]:
    try:
        given = parse_qs(scope.get("query_string", b"").decode("latin-1"), max_num_fields=20)
    except ValueError:
        raise _Refusal(close_codes.OTHER_EPOCH, "the query cannot be read") from None
    return {name: values[0] for name, values in given.items()}


def _require_epoch(asked_for: Mapping[str, str], room: Room) -> None:
    """A client that holds another history of this document would double its text."""
    try:
        matches = "epoch" not in asked_for or uuid.UUID(asked_for["epoch"]) == room.epoch
    except ValueError:
        matches = False
    if not matches:
        raise _Refusal(close_codes.OTHER_EPOCH, "another history of this document")


class Conversation:
    """One socket from its joining to its end: a reader that takes one message after the other, and a writer."""

    def __init__(self, scope: dict[str, Any], room: Room, connection: Connection) -> None:
        self._room = room
        self._connection = connection
        self._sign_in = SignInWatch(connection, room.expel)
        say = partial(registry.current().say, connection.user_id, room.session_id)
        self._sayings = Sayings(connection, say, room.show_event)
        self._is_gone: Callable[[], bool] = _frames(scope).get("is_gone", bool)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(settings.SOCKET_FIRST_FRAME_SECONDS, self._expel_silent)

    async def hold(self, receive: Any, send: Send) -> None:
        connection = self._connection
        loop = asyncio.get_running_loop()
        reader = loop.create_task(self._read(receive))
        writer = loop.create_task(connection.outbox.write(send))
        try:
            await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
            if connection.is_closing and not writer.done():
                await asyncio.wait({writer}, timeout=GOODBYE_SECONDS)
        finally:
            self._room.leave(connection)
            self._deadline.cancel()
            self._sign_in.cancel()
            for task in (reader, writer):
                task.cancel()
            for outcome in await asyncio.gather(reader, writer, return_exceptions=True):
                # A socket that breaks while it is written to is an ordinary end.
                if isinstance(outcome, Exception) and not isinstance(outcome, OSError):
                    logger.debug("a socket of %s ended: %r", self._room.session_id, outcome)

    def _expel_silent(self) -> None:
        metrics.LIMITED.labels("first_frame").inc()
        self._expel(close_codes.SILENT, "nothing was said")

    def _expel(self, code: int, reason: str) -> None:
        self._room.expel(self._connection, code, reason)

    async def _read(self, receive: Any) -> None:
        room, connection = self._room, self._connection
        while not connection.is_closing:
            # The server reads no more of a socket than this takes, so the pause pushes back to its sender.
            seconds, limit = connection.pace.pause()
            if limit is not None:
                metrics.LIMITED.labels(limit).inc()
                await asyncio.sleep(seconds)
                if self._is_gone():
                    # Nobody waits for what was sent too fast and is not read yet.
                    return
            await room.gate.wait_to_read(connection)
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            if message["type"] != "websocket.receive" or connection.is_closing:
                continue
            self._deadline.cancel()
            connection.last_heard = time.monotonic()
            connection.pace.spend("frames")
            try:
                if (frame := message.get("bytes")) is not None:
                    await self._take_frame(frame)
                else:
                    connection.pace.spend("texts")
                    await self._take_text(message.get("text") or "")
            except ProtocolError as error:
                connection.tell_error("bad_frame", str(error))
                self._expel(close_codes.BAD_FRAME, "bad frame")
            except Exception:
                logger.exception("a frame of user %s failed in %s", connection.user_id, room.session_id)
                self._expel(close_codes.FAILED, "internal error")

    async def _take_frame(self, frame: bytes) -> None:
        """Take one binary frame; the next message is read when this is done. Raises ProtocolError."""
        room, connection = self._room, self._connection
        if isinstance(connection, PlainConnection):
            self._expel(close_codes.BAD_FRAME, "binary frame")
            return
        if len(frame) > settings.SOCKET_MAX_BYTES:
            connection.tell_error("too_large", "The frame is larger than this server takes.")
            self._expel(close_codes.TOO_LARGE, "frame too large")
            return
        if not room.gate.is_open and not await self._may_edit():
            return
        if room.cursors.repeats(connection, frame):
            return
        for message in decode(frame, state_bytes=settings.SOCKET_AWARENESS_MAX_BYTES):
            if connection.is_closing:
                return
            if isinstance(message, Awareness):
                room.cursors.take(connection, message.entries)
            elif isinstance(message, QueryAwareness):
                room.cursors.answer_query(connection)
            else:
                await room.edits.take(connection, message)

    async def _may_edit(self) -> bool:
        """Whether the room takes an edit. Meanwhile nothing is read; a socket not read for long is lost anyway."""
        if not await self._room.gate.wait_to_edit(self._connection):
            self._expel(close_codes.TRY_AGAIN, "the server cannot save now")
            return False
        return True

    async def _take_text(self, text: str) -> None:
        connection = self._connection
        if not connection.outbox.speaks_json:
            # A stock client that sends text frames speaks some other protocol.
            self._expel(close_codes.BAD_FRAME, "text frame")
            return
        if len(text) > settings.SOCKET_MAX_BYTES:
            self._expel(close_codes.TOO_LARGE, "frame too large")
            return
        try:
            message = decode_text(text, is_plain=isinstance(connection, PlainConnection))
        except BadMessage as error:
            if isinstance(error, BadChange) and isinstance(connection, PlainConnection):
                await self._room.gate.wait_until_whole()
                self._room.plain.refuse_unread(connection, error.detail, error.ref)
            else:
                connection.tell_error(error.code, error.detail, error.ref)
            return
        match message:
            case messages.Say():
                if connection.sign_in.allows(Scope.EDIT):
                    self._sayings.take(message)
                else:
                    connection.tell_error("scope_missing", "This token does not have the 'edit' scope.", message.ref)
            case messages.RenewToken():
                self._sign_in.renew(message.access)
            case _:
                # Others are read of a client without a CRDT only.
                assert isinstance(connection, PlainConnection)
                await self._take_plain(connection, message)

    async def _take_plain(
        self, connection: PlainConnection, message: messages.JoinSession | messages.ChangeCode | messages.MoveCursor
    ) -> None:
        room = self._room
        match message:
            case messages.JoinSession():
                await self._join(connection, message.unit)
            case messages.ChangeCode():
                if (room.gate.is_open or await self._may_edit()) and connection.id in room.connections:
                    room.plain.change(connection, message)
            case messages.MoveCursor():
                await room.gate.wait_until_whole()
                if connection.id in room.connections:
                    room.plain.move(connection, message)
            case _:
                assert_never(message)

    async def _join(self, connection: PlainConnection, unit: messages.Unit) -> None:
        room = self._room
        try:
            about = await registry.current().about(room.session_id)
        except SessionNotFound:
            self._expel(close_codes.ABSENT, "no such session")
        except Unavailable:
            self._expel(close_codes.UNAVAILABLE, "the session cannot be read now")
        else:
            await room.gate.wait_until_whole()
            if connection.id in room.connections:
                room.plain.join(connection, unit, about)
