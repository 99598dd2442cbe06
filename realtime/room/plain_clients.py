"""The clients of codecrafter.json.v1 in one room: without a CRDT, they send and get deltas of the entry file's text.

A room has this once such a client came. Their changes become ordinary updates of the replica; what pages change comes
back as deltas through the same line of versions (realtime/wire/plain.py), so everybody is told one order of changes.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from realtime import metrics
from realtime.connection.connection import PlainConnection
from realtime.connection.outbox import Shared
from realtime.room.refusals import READ_ONLY, limit_words
from realtime.wire import plain, protocol
from realtime.wire.text import encode_text
from sessions_app.access import can_edit
from sessions_app.document import diff
from sessions_app.document.errors import Broken, TooLarge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from realtime.connection.connection import Connection
    from realtime.room.cursors import Cursors
    from realtime.room.edits import Edits
    from realtime.room.gate import Gate
    from realtime.room.presence import Presence
    from sessions_app import messages

logger = logging.getLogger(__name__)

Refusal = Literal["read_only", "too_large", "invalid", "version_passed"]
# What an operation counts against the pace of updates, in addition to its text.
OPERATION_BYTES = 1024
JOIN_FIRST = "Send join-session first."
# How long the line is kept for clients that come back.
REMEMBERED_SECONDS = 60


class PlainClients:
    def __init__(self, session_id: UUID, gate: Gate, edits: Edits, cursors: Cursors, presence: Presence) -> None:
        self._session_id = session_id
        self._gate = gate
        self._edits = edits
        self._cursors = cursors
        self._presence = presence
        self.line = plain.Line(edits.watch_text())
        self._members: set[PlainConnection] = set()
        self._left_at = time.monotonic()
        self._about: messages.About = {"title": "", "language": ""}
        # The change that is being made by one of these clients, whose ref belongs to it.
        self._making: tuple[PlainConnection, str | None] | None = None

    def is_over(self, now: float) -> bool:
        return not self._members and now - self._left_at > REMEMBERED_SECONDS

    def leave(self, connection: Connection) -> None:
        if isinstance(connection, PlainConnection) and connection in self._members:
            self._members.discard(connection)
            self._left_at = time.monotonic()

    # What clients say

    def join(self, connection: PlainConnection, unit: messages.Unit, about: messages.About) -> None:
        """Answer a join-session with the state; one that is sent again is answered again."""
        connection.unit, connection.outbox.catch_up = unit, partial(self._catch_up, connection)
        self._about = about
        self._members.add(connection)
        self._answer(connection, self._state(connection))
        if connection.awareness_id not in connection.client_ids:
            self._point(connection, None)

    def change(self, connection: PlainConnection, change: messages.ChangeCode) -> None:
        ref, version, unit = change.ref, change.version, connection.unit
        if unit is None:
            connection.tell_error("join_first", JOIN_FIRST, ref)
            return
        if not can_edit(connection.permission):
            self._refuse(connection, ref, "read_only", READ_ONLY)
            return
        key = (connection.user_id, ref) if ref is not None else None
        try:
            if change.again and key is not None and (known := self.line.version_of(key, version)) is not None:
                self._edits.made(connection, known, ref)
                return
            given = plain.read_delta(change.delta, unit)
            connection.pace.spend("updates", sum(len(op.text) + OPERATION_BYTES for op in given))
            ops = self.line.rebase(given, version, unit)
            self._making = (connection, ref)
            self._edits.edit_text(connection, plain.to_edits(ops, self.line.text))
        except plain.BadDelta as error:
            self._refuse(connection, ref, "invalid", str(error))
        except plain.VersionPassed:
            detail = "The text has moved on too far since that version: start from this one."
            self._refuse(connection, ref, "version_passed", detail)
        except TooLarge as error:
            self._refuse(connection, ref, "too_large", limit_words(error))
        except Broken:
            logger.exception("a change of user %s broke the replica of %s", connection.user_id, self._session_id)
            self._refuse(connection, ref, "invalid", "The change cannot be merged.")
            self._edits.rebuild()
        else:
            self._edits.made(connection, self.line.version, ref)
        finally:
            self._making = None

    def refuse_unread(self, connection: PlainConnection, detail: str, ref: str | None) -> None:
        """Refuse a change that could not be read."""
        if connection.unit is None:
            connection.tell_error("join_first", JOIN_FIRST, ref)
        else:
            self._refuse(connection, ref, "invalid", detail)

    def move(self, connection: PlainConnection, move: messages.MoveCursor) -> None:
        """Show this client's cursor to everybody; a cursor of a version that is forgotten is passed over."""
        if (unit := connection.unit) is None:
            connection.tell_error("join_first", JOIN_FIRST, move.ref)
            return
        places = None
        if move.anchor is not None and move.head is not None:
            version = self.line.version if move.version is None else move.version
            try:
                places = [self.line.rebase_position(place, version, unit) for place in (move.anchor, move.head)]
            except plain.VersionPassed:
                return
            except plain.BadDelta as error:
                connection.tell_error("bad_frame", str(error), move.ref)
                return
        self._point(connection, places)

    def _point(self, connection: PlainConnection, places: list[int] | None) -> None:
        """Show where a client points in the text: anchor and head in code points, None to hide its cursor."""
        cursor = None
        try:
            if places is not None:
                anchor, head = (self._edits.replica.position_at(place, self.line.text) for place in places)
                cursor = {"anchor": anchor, "head": head}
        except Broken:
            logger.warning("a place in the text of %s could not be named", self._session_id, exc_info=True)
            return
        self._cursors.take(connection, [protocol.AwarenessEntry(connection.awareness_id, 0, {"cursor": cursor})])

    def _refuse(self, connection: PlainConnection, ref: str | None, code: Refusal, detail: str) -> None:
        metrics.REFUSED.labels(code).inc()
        frame: messages.ChangeRefused = {"type": "refused", "code": code, "detail": detail}
        if ref is not None:
            frame["ref"] = ref
        if code == "version_passed":
            frame["version"], frame["content"] = self.line.version, self.line.text
        self._answer(connection, encode_text(frame))

    def _answer(self, connection: PlainConnection, frame: str) -> None:
        """Send an answer. A client that asks for much is read more slowly; one that does not read is closed."""
        connection.pace.spend("updates", len(frame))
        connection.outbox.put_answer(frame)

    # What happens in the room

    def note(self, deltas: Iterable[list[dict[str, Any]]], text_bytes: int, user_id: str | None) -> None:
        """The text has changed, by these deltas of pycrdt."""
        try:
            for delta in deltas:
                self._tell_change(plain.from_bytes(delta, self.line.text), user_id)
        except ValueError:
            logger.exception("a delta of %s does not fit", self._session_id)
        if len(self.line.text.encode()) != text_bytes:
            self.follow()

    def follow(self) -> None:
        """Take the replica's text for what it is, however it came to be."""
        text = self._edits.watch_text()
        if text != self.line.text:
            edits = diff.edits_between(self.line.text, text)
            self._tell_change(plain.from_edits(edits, self.line.text), None)

    def hear(self, event: Mapping[str, Any]) -> None:
        if event["type"] == "session.changed":
            self._about = {"title": event["title"], "language": event["language"]}

    def moved(self, states: dict[int, dict[str, Any] | None]) -> None:
        for unit in plain.UNITS:
            listeners = [member for member in self._members if member.unit == unit]
            if not listeners:
                continue
            for client_id, state in states.items():
                move: messages.CursorMove = {"type": "cursor-move", **self._cursor(client_id, state, unit)}
                frame = Shared(encode_text(move))
                for member in listeners:
                    if member.awareness_id != client_id:
                        member.outbox.put_change(frame)

    def _tell_change(self, ops: plain.Ops, user_id: str | None) -> None:
        if not ops:
            return
        maker, ref = self._making if self._making is not None else (None, None)
        in_both = self.line.take(ops, (maker.user_id, ref) if maker is not None and ref is not None else None)
        for unit, found in in_both.items():
            listeners = [member for member in self._members if member.unit == unit]
            if not listeners:
                continue
            frame: messages.CodeChange = {
                "type": "code-change",
                "version": self.line.version,
                "delta": plain.write_delta(found),
                "user": self._presence.person(user_id),
            }
            shared = Shared(encode_text(frame))
            for member in listeners:
                if member is maker and ref is not None:
                    member.outbox.put_change(Shared(encode_text({**frame, "ref": ref})))
                else:
                    member.outbox.put_change(shared)

    async def _catch_up(self, connection: PlainConnection, _behind: bytes | None) -> list[str]:
        await self._gate.wait_until_whole()
        return [self._state(connection)]

    def _state(self, connection: PlainConnection) -> str:
        unit = connection.unit
        assert unit is not None
        states = self._cursors.states()
        states.pop(connection.awareness_id, None)
        frame: messages.State = {
            "type": "state",
            "version": self.line.version,
            "content": self.line.text,
            "unit": unit,
            **self._about,
            "people": self._presence.people(),
            "permission": connection.permission,
            "cursors": [self._cursor(client_id, state, unit) for client_id, state in sorted(states.items())],
        }
        return encode_text(frame)

    def _cursor(self, client_id: int, state: dict[str, Any] | None, unit: messages.Unit) -> messages.Cursor:
        """Where a client points; anchor and head are null when it points nowhere in this text, or has left."""
        cursor = (state or {}).get("cursor") or {}
        places = [self._place(cursor.get(name), unit) for name in ("anchor", "head")]
        if None in places:
            places = [None, None]
        who = (state or {}).get("user")
        user: messages.Speaker | None = {"id": who["id"], "username": who["name"], "hue": who["hue"]} if who else None
        anchor, head = places
        return {"client": client_id, "user": user, "version": self.line.version, "anchor": anchor, "head": head}

    def _place(self, position: dict[str, Any] | None, unit: messages.Unit) -> int | None:
        if position is None:
            return None
        try:
            index = self._edits.replica.index_of(position, self.line.text)
        except Broken:
            return None
        if index is None or unit == "code_points":
            return index
        return plain.utf16_length(self.line.text[:index])
