"""The WebSocket edge: sign-in, access, epoch, then frames to the room until either side closes.

Channels' own dispatch opens a channel per socket and hops to a thread per message; here the loop reads directly.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from channels.consumer import AsyncConsumer
from django.conf import settings

from accounts.models import Scope, User
from realtime import metrics
from realtime.chat import Sayings
from realtime.connections import Connection
from realtime.plain_clients import PlainConnection
from realtime.rooms import Full, Unavailable, rooms
from realtime.sign_in import SignIn
from realtime.wire import close_codes
from realtime.wire.protocol import JSON_SUBPROTOCOL, PLAIN_MESSAGES, SUBPROTOCOL, ProtocolError
from sessions_app.access import within_scopes
from sessions_app.errors import SessionNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from realtime.connections import Send
    from realtime.room import Room

logger = logging.getLogger(__name__)
# How long a socket that is being closed may take to read what it was sent.
GOODBYE_SECONDS = 5
# How long a socket is left unread while its room cannot save: shorter than the server's own time-out for pings.
SPACE_SECONDS = 15


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
        await _converse(scope, room, connection, receive, send)

    async def _admit(self, scope: dict[str, Any], spoken: str | None) -> tuple[Room, Connection, str]:
        try:
            session_id = uuid.UUID(scope["url_route"]["kwargs"]["session_id"])
        except (KeyError, ValueError):
            raise _Refusal(close_codes.ABSENT, "no such session") from None
        user = scope.get("user")
        if scope.get("auth_failure") is not None or not isinstance(user, User):
            raise _Refusal(close_codes.SIGNED_OUT, "sign in first")
        live = rooms()
        if live.is_draining:
            raise _Refusal(close_codes.RESTARTING, "the server restarts")
        try:
            asked, was_loaded = live.guard.asked, live.is_loaded(session_id)
            granted, measure = await live.access(user, session_id)
            permission = str(within_scopes(granted, scope.get("auth_scopes")))
            pace = live.pace_of(str(user.pk))
            if not was_loaded:
                await asyncio.sleep(pace.pause()[0])
            room = await live.open(session_id)
        except SessionNotFound:
            raise _Refusal(close_codes.ABSENT, "no such session") from None
        except Unavailable:
            raise _Refusal(close_codes.UNAVAILABLE, "the document cannot be opened now") from None
        asked_for = _query(scope)
        _require_epoch(asked_for, room)
        kind = PlainConnection if spoken == JSON_SUBPROTOCOL else Connection
        connection: Connection = kind(
            user.pk,
            user.username,
            user.hue,
            permission,
            speaks_json=spoken is not None,
            catch_up=lambda state: room.catch_up(connection, state),
            keeps_cursors=asked_for.get("renewals") == "off",
            write_frame=scope.get("extensions", {}).get("codecrafter.frames", {}).get("write"),
            session_key=scope.get("auth_session_key", ""),
            family=scope.get("auth_family", ""),
            password_mark=user.get_session_auth_hash(),
            is_bot=user.is_bot,
            is_guest=user.is_guest,
            token_id=scope.get("auth_token"),
            scopes=scope.get("auth_scopes"),
            expires_at=scope.get("auth_expires_at"),
        )
        connection.pace.person = pace
        if not was_loaded:
            pace.spend("updates", room.document_bytes)
        # Nothing is awaited from here to the joining, so that two who come at once do not take one place.
        try:
            live.make_place(room, connection)
        except Full as full:
            raise _Refusal(close_codes.TOO_MANY, str(full)) from None
        if live.guard.asked != asked or not was_loaded:
            # Something has changed since the permission was read, or nobody listened for it.
            live.guard.check_soon(room)
        return room, connection, measure


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


async def _converse(scope: dict[str, Any], room: Room, connection: Connection, receive: Any, send: Send) -> None:
    loop = asyncio.get_running_loop()
    sign_in = SignIn(room, connection)
    deadline = loop.call_later(settings.SOCKET_FIRST_FRAME_SECONDS, _expel_silent, room, connection)
    sayings = Sayings(room, connection, partial(rooms().say, connection.user_id, room.session_id))
    is_gone = scope.get("extensions", {}).get("codecrafter.frames", {}).get("is_gone", bool)
    reader = loop.create_task(_read(room, connection, sayings, sign_in, receive, deadline, is_gone))
    writer = loop.create_task(connection.write(send))
    try:
        await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
        if connection.closing is not None and not writer.done():
            await asyncio.wait({writer}, timeout=GOODBYE_SECONDS)
    finally:
        room.leave(connection)
        deadline.cancel()
        sign_in.cancel()
        for task in (reader, writer):
            task.cancel()
        for outcome in await asyncio.gather(reader, writer, return_exceptions=True):
            # A socket that breaks while it is written to is an ordinary end.
            if isinstance(outcome, Exception) and not isinstance(outcome, OSError):
                logger.debug("a socket of %s ended: %r", room.session_id, outcome)


def _expel_silent(room: Room, connection: Connection) -> None:
    metrics.LIMITED.labels("first_frame").inc()
    room.expel(connection, close_codes.SILENT, "nothing was said")


async def _read(
    room: Room,
    connection: Connection,
    sayings: Sayings,
    sign_in: SignIn,
    receive: Any,
    deadline: asyncio.TimerHandle,
    is_gone: Callable[[], bool],
) -> None:
    while connection.closing is None:
        # The server reads no more of a socket than this takes, so the pause pushes back to its sender.
        seconds, limit = connection.pace.pause()
        if limit is not None:
            metrics.LIMITED.labels(limit).inc()
            await asyncio.sleep(seconds)
            if is_gone():
                # Nobody waits for what was sent too fast and is not read yet.
                return
        await connection.may_ask()
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        if message["type"] != "websocket.receive" or connection.closing is not None:
            continue
        deadline.cancel()
        connection.last_heard = time.monotonic()
        connection.pace.spend("frames")
        if (frame := message.get("bytes")) is None:
            connection.pace.spend("texts")
            await _take_text(room, connection, sayings, sign_in, message.get("text") or "")
            continue
        if isinstance(connection, PlainConnection):
            room.expel(connection, close_codes.BAD_FRAME, "binary frame")
            return
        if len(frame) > settings.SOCKET_MAX_BYTES:
            connection.tell_error("too_large", "The frame is larger than this server takes.")
            room.expel(connection, close_codes.TOO_LARGE, "frame too large")
            return
        if not room.ready.is_set():
            await room.ready.wait()
        if not room.has_space.is_set() and not await _wait_for_space(room, connection):
            return
        try:
            await room.receive(connection, frame)
        except ProtocolError as error:
            connection.tell_error("bad_frame", str(error))
            room.expel(connection, close_codes.BAD_FRAME, "bad frame")
        except Exception:
            logger.exception("a frame of user %s failed in %s", connection.user_id, room.session_id)
            room.expel(connection, close_codes.FAILED, "internal error")


async def _wait_for_space(room: Room, connection: Connection) -> bool:
    """Whether the room takes more. Meanwhile nothing is read; a socket that is not read for long is lost anyway."""
    metrics.LIMITED.labels("unsaved").inc()
    connection.tell_error("not_saving", "The server cannot save at the moment and takes no more text for now.")
    try:
        await asyncio.wait_for(room.has_space.wait(), SPACE_SECONDS)
    except TimeoutError:
        room.expel(connection, close_codes.TRY_AGAIN, "the server cannot save now")
        return False
    return True


async def _take_text(room: Room, connection: Connection, sayings: Sayings, sign_in: SignIn, text: str) -> None:
    """A stock client that sends text frames speaks some other protocol."""
    if not connection.speaks_json:
        room.expel(connection, close_codes.BAD_FRAME, "text frame")
        return
    if len(text) > settings.SOCKET_MAX_BYTES:
        room.expel(connection, close_codes.TOO_LARGE, "frame too large")
        return
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        connection.tell_error("bad_frame", "A text frame must be JSON.")
        return
    kind = message.get("type") if isinstance(message, dict) else None
    if kind == "chat":
        if connection.scopes is None or Scope.EDIT in connection.scopes:
            sayings.take(message)
        else:
            connection.tell_error("scope_missing", "This token has not the scope 'edit'.")
    elif kind == "token":
        sign_in.renew(message.get("access"))
    elif kind in PLAIN_MESSAGES and isinstance(connection, PlainConnection):
        await _take_plain(room, connection, message)
    else:
        connection.tell_error("unknown_message", f"There is no message {str(kind)[:40]!r}.")


async def _take_plain(room: Room, connection: PlainConnection, message: dict[str, Any]) -> None:
    about = None
    if message["type"] == "join-session":
        try:
            about = await rooms().about(room.session_id)
        except SessionNotFound:
            room.expel(connection, close_codes.ABSENT, "no such session")
            return
        except Unavailable:
            room.expel(connection, close_codes.UNAVAILABLE, "the session cannot be read now")
            return
    elif (
        message["type"] == "code-change" and not room.has_space.is_set() and not await _wait_for_space(room, connection)
    ):
        return
    await room.ready.wait()
    try:
        if about is not None:
            room.plain.join(connection, message, about)
        else:
            room.plain.take(connection, message)
    except Exception:
        logger.exception("a message of user %s failed in %s", connection.user_id, room.session_id)
        room.expel(connection, close_codes.FAILED, "internal error")
