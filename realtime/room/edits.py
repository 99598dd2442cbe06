"""The way of an edit through one room: taken from a socket, merged, relayed, queued for the log, acknowledged.

Everything here runs on one event loop and never waits for the database: realtime/committer.py does, and tells the
outcome (`committed`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.conf import settings

from realtime import metrics
from realtime.room.fan_out import FanOut
from realtime.room.held import HeldFrames
from realtime.room.large_updates import LargeUpdates
from realtime.room.refusals import READ_ONLY, refusal
from realtime.room.unsaved import Acknowledgements, Change, Unsaved
from realtime.wire import close_codes, protocol
from sessions_app.access import can_edit
from sessions_app.document.errors import Broken, Early, HalfCharacter, Malformed, TooLarge, TooLong
from sessions_app.document.opening import SLICED_BYTES, Limits
from sessions_app.document.replica import STEPS_PER_PART, Replica
from sessions_app.document.updates import EMPTY_STATE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from realtime.connection.connection import Connection, Frame
    from realtime.connection.outbox import Outbox
    from realtime.room.doorbell import Doorbell
    from realtime.room.gate import Gate
    from realtime.room.host import Host, Members, TextListener
    from realtime.room.refusals import Code
    from sessions_app.document.diff import Edit
    from sessions_app.document.opening import Opened, Sliced
    from sessions_app.document.update_log import Appended, Entry, Loaded

logger = logging.getLogger(__name__)


class Edits:
    def __init__(
        self,
        members: Members,
        host: Host,
        gate: Gate,
        doorbell: Doorbell,
        loaded: Loaded,
        opened: Opened,
    ) -> None:
        # The seq of the log up to which this replica holds everything.
        self.head = loaded.head
        # How many rows a load of this document would merge into its snapshot, as far as this process added them.
        self.tail_rows = loaded.tail_rows
        self.unsaved = Unsaved(gate)
        self.acknowledgements = Acknowledgements(self.unsaved)
        self.held = HeldFrames(self._is_due, self._take_held)
        self.listener: TextListener | None = None
        self._members = members
        self._host = host
        self._gate = gate
        self._doorbell = doorbell
        # Another one after a rebuild; what breaks it must be refused here.
        self.replica = Replica(opened, _limits())
        self._whole_update: bytes | None = None
        self.fan_out = FanOut(self._state, gate)
        self.large = LargeUpdates(gate, members.expel)

    def close(self) -> None:
        """Free the replica on this thread."""
        self.large.close()
        self.held.close()
        self.fan_out.close()
        self.replica.close()

    @property
    def is_whole(self) -> bool:
        return self._gate.is_whole

    @property
    def is_settled(self) -> bool:
        """Whether everything that was taken is merged and committed."""
        return not self.unsaved and not self.large

    def forget(self, connection: Connection) -> None:
        self.held.forget(connection)
        self.acknowledgements.forget(connection)

    # What sockets send

    async def take(
        self, connection: Connection, message: protocol.SyncStep1 | protocol.SyncStep2 | protocol.SyncUpdate
    ) -> None:
        """Take one sync message of a socket. Raises ProtocolError."""
        if isinstance(message, protocol.SyncStep1):
            return self._answer_step1(connection, message.state)
        update, is_answer = message.update, isinstance(message, protocol.SyncStep2)
        if len(update) > SLICED_BYTES:
            sliced = await self._sliced(update, connection.user_id)
            if connection.id not in self._members.connections:
                return
            if sliced is not None:
                return await self._take_large(connection, sliced, is_answer=is_answer)
        frame = self.acknowledgements.arrived(connection)
        self._take_update(connection, frame, update)
        if self.held.holds_too_much(connection, self.acknowledgements.count(connection)):
            self._members.expel(connection, close_codes.TRY_AGAIN, "updates are missing")
        elif is_answer:
            self._note_answer(connection, frame)

    def _note_answer(self, connection: Connection, frame: Frame) -> None:
        """A step 2 is everything that the socket has. What it builds on is in it, or this server will not get it."""
        if not self.held.answered(connection, is_early=frame.is_held):
            self._refuse(connection, frame, "invalid", "The text builds on changes that are not here.")
            self._members.expel(connection, close_codes.BAD_FRAME, "updates are missing")

    def _answer_step1(self, connection: Connection, state: bytes) -> None:
        try:
            update = self._document() if state == EMPTY_STATE else self.replica.diff(state)
        except Malformed as error:
            raise protocol.ProtocolError("the state vector cannot be read") from error
        connection.pace.spend("updates", len(update))
        connection.outbox.put_answer(protocol.encode_step2(update))
        self._ask(connection)

    def _document(self) -> bytes:
        """The whole document, kept until it changes: many newcomers ask for it at once after a restart."""
        if self._whole_update is None:
            self._whole_update = self.replica.diff()
        return self._whole_update

    def _ask(self, connection: Connection) -> None:
        """Ask the socket for everything it has."""
        if self.held.ask(connection):
            connection.outbox.put_answer(protocol.encode_step1(self.replica.state()))

    def ask_again(self) -> None:
        """Ask for what held frames lack: a socket may have answered before it had it."""
        for connection in self.held.holding:
            self._ask(connection)

    def _state(self) -> bytes:
        return self.replica.state()

    # Taking updates

    def _take_update(self, connection: Connection, frame: Frame, update: bytes) -> None:
        """Merge what the frame brought, hold it until what it builds on has arrived, or refuse it."""
        self._spend(connection, update)
        if not can_edit(connection.permission):
            self._take_of_reader(connection, frame, update)
            return
        # What waited may get in with it, which its sender has not seen either.
        source = None if self.replica.waits else connection.outbox
        try:
            change = self._apply(update, connection)
        except Early as early:
            if self.held.hold(connection, frame, update, early.needs):
                metrics.RESYNCS.labels("missing").inc()
                self._ask(connection)
        except (Malformed, TooLarge, Broken) as error:
            self._turn_away(connection, frame, update, error)
        else:
            metrics.UPDATES.inc()
            self._queue(change, connection.identity.author, source)
            self._taken(connection, frame)

    def _spend(self, connection: Connection, update: bytes) -> None:
        connection.pace.spend("updates", len(update))
        if self.listener is not None:
            # What changed is looked for along the whole text.
            connection.pace.spend_parts(self.replica.blocks_bound() // STEPS_PER_PART)

    def _taken(self, connection: Connection, frame: Frame) -> None:
        self.held.release(connection, frame)
        self.acknowledgements.await_commit(connection, frame, self.head)

    def _take_of_reader(self, connection: Connection, frame: Frame, update: bytes) -> None:
        """Take a frame of somebody who may only read, who says nothing new unless their page is at fault."""
        try:
            self._refuse_if_new(connection, frame, update)
        except Malformed as error:
            self._turn_away(connection, frame, update, error)
        else:
            self._taken(connection, frame)

    def _refuse_if_new(self, connection: Connection, frame: Frame, update: bytes) -> None:
        if self.replica.has_news(update, connection.pace.spend_parts):
            self._refuse(connection, frame, "read_only", READ_ONLY)

    def _apply(self, update: bytes, connection: Connection, *, is_admitted: bool = False) -> bytes | None:
        """Merge an update; what stands in its way is changed first. Raises as Replica.apply does."""
        try:
            return self.replica.apply(update, connection.pace.spend_parts, is_admitted=is_admitted)
        except HalfCharacter as error:
            self._take_out(error)
            return self._apply(update, connection, is_admitted=is_admitted)
        except TooLong:
            self._queue(self.replica.part_blocks(), None, None)
            return self.replica.apply(update, may_copy=True, is_admitted=is_admitted)

    def _take_out(self, error: HalfCharacter) -> None:
        """Take out the characters that an update parts, or refuse it for one of its own."""
        if not error.parted:
            raise error
        # Told and stored by itself: see Replica.take_out.
        self.fan_out.flush()
        self._queue(self.replica.take_out(error.parted), None, None)
        self.fan_out.flush()

    def _is_due(self, connection: Connection, frame: Frame) -> bool:
        is_refused = not can_edit(connection.permission)
        return self._gate.is_whole and (is_refused or self.replica.meets(frame.waits_for or {}))

    def _take_held(self, connection: Connection, frame: Frame) -> None:
        try:
            self._take_update(connection, frame, frame.update)
        except Exception:
            logger.exception("a held frame of user %s failed in %s", connection.user_id, self._members.session_id)
            self._members.expel(connection, close_codes.FAILED, "internal error")

    # Large updates

    async def _sliced(self, update: bytes, user_id: str) -> Sliced | None:
        """Read a long update in a thread; it comes in slices if it is more than the loop merges at once."""
        try:
            sliced = await self._host.slice(update)
        except Malformed:
            # What is wrong with it is told where any other update is read.
            return None
        await self.large.wait_for_own(user_id)
        await self._gate.wait_until_whole()
        return sliced if len(sliced.slices) > 1 else None

    async def _take_large(self, connection: Connection, sliced: Sliced, *, is_answer: bool) -> None:
        frame = self.acknowledgements.arrived(connection)
        may_edit = can_edit(connection.permission)
        if may_edit:
            try:
                if not self._admit(sliced):
                    document = self._document()
                    connection.pace.spend("updates", len(document))
                    sliced = await self._host.try_out(document, sliced, _limits())
                    await self._gate.wait_until_whole()
                    if connection.id not in self._members.connections:
                        return
            except (Malformed, TooLarge) as error:
                return self._turn_away(connection, frame, sliced.update, error)
            except Early:
                return self._give_up(connection)
        # Asked again: the permission may have been withdrawn while the update was tried out.
        take = self._take_slice if may_edit and can_edit(connection.permission) else self._refuse_slice
        await self.large.take(connection, frame, sliced.slices, take, self._taken)
        if is_answer and frame.needs is not None:
            self._note_answer(connection, frame)

    def _refuse_slice(self, connection: Connection, frame: Frame, part: bytes) -> bool:
        self._spend(connection, part)
        try:
            self._refuse_if_new(connection, frame, part)
        except Malformed as error:
            self._turn_away(connection, frame, part, error)
        if connection.id not in self._members.connections:
            return False
        if frame.is_refused:
            self._taken(connection, frame)
        return not frame.is_refused

    def _admit(self, sliced: Sliced) -> bool:
        """Whether a large update fits whatever it deletes; what stands in its way is changed first."""
        try:
            return self.replica.admit(sliced)
        except HalfCharacter as error:
            self._take_out(error)
            return self._admit(sliced)

    def _take_slice(self, connection: Connection, frame: Frame, part: bytes) -> bool:
        self._spend(connection, part)
        source = None if self.replica.waits else connection.outbox
        try:
            change = self._apply(part, connection, is_admitted=True)
        except Early:
            # Held without those behind it, it would be acknowledged for all of them.
            self._give_up(connection)
        except (Malformed, TooLarge, Broken) as error:
            self._turn_away(connection, frame, part, error)
        else:
            metrics.UPDATES.inc()
            self._queue(change, connection.identity.author, source)
            return True
        return False

    # Refusing

    def _give_up(self, connection: Connection) -> None:
        """Have a socket come back whose large update came too early: it is not held, because it came in slices."""
        metrics.RESYNCS.labels("missing").inc()
        self._members.expel(connection, close_codes.TRY_AGAIN, "updates are missing")

    def _turn_away(self, connection: Connection, frame: Frame, update: bytes, error: Exception) -> None:
        """Refuse a frame that this server will never take, and close its socket."""
        refused = refusal(error)
        self._refuse(connection, frame, refused.code, refused.detail)
        self._members.expel(connection, refused.close_code, refused.reason)
        if isinstance(error, Broken):
            self._host.broke(connection.user_id, update, error)
            self._host.rebuild_soon()

    def _refuse(self, connection: Connection, frame: Frame, code: Code, detail: str) -> None:
        frame.is_refused = True
        metrics.REFUSED.labels(code).inc()
        connection.tell({"type": "refused", "received": frame.number, "code": code, "detail": detail})
        connection.outbox.put_denied(detail)

    # Relaying and saving

    def _queue(self, change: bytes | None, author: UUID | None, source: Outbox | None) -> None:
        """Queue a change for the log, and tell it to everybody but its source."""
        if change is not None:
            self.unsaved.add(Change(change, author))
            self._relay(change, source, str(author) if author is not None else None)
            self._host.commit_soon()

    def _relay(self, change: bytes, source: Outbox | None, user_id: str | None) -> None:
        self._whole_update = None
        if self.listener is not None:
            self.listener.note(self.replica.take_deltas(), self.replica.text_bytes(), user_id)
        self.fan_out.relay(change, source)
        self.held.retry_soon()

    def committed(self, appended: Appended, rows: Sequence[Entry]) -> None:
        """The changes in flight are on disk, as these rows with these numbers."""
        self.unsaved.note_committed()
        self.tail_rows += appended.last_seq - appended.first_seq + 1
        if appended.first_seq == self.head + 1:
            self.head = appended.last_seq
        elif appended.last_seq > self.head:
            self._host.repair_soon("gap")
        self.acknowledgements.committed(appended.last_seq)
        self._doorbell.ring_committed(appended, rows)

    # What the log says

    def absorb(self, updates: Sequence[bytes], last_seq: int, users: Sequence[str | None] = ()) -> None:
        """Merge what the log holds up to `last_seq`; `users` made the updates, when that is known."""
        for update, user_id in zip(updates, users or [None] * len(updates), strict=True):
            try:
                change = self.replica.absorb(update)
            except (Malformed, Broken):
                logger.exception("the log of %s holds an update that cannot be merged", self._members.session_id)
                self._host.rebuild_soon()
                return
            if change is None:
                continue
            if user_id is not None:
                self._relay(change, None, user_id)
            else:
                # It may be a character that was taken out, which is told in a frame of its own: see Replica.take_out.
                self.fan_out.flush()
                self._relay(change, None, None)
                self.fan_out.flush()
        self.head = max(self.head, last_seq)

    def replace(self, loaded: Loaded, opened: Opened) -> None:
        """Start over from the log, which is read up to the head, keeping what is not committed yet. Raises Malformed or
        Broken."""
        replica = Replica(opened, _limits())
        for change in self.unsaved.changes():
            replica.absorb(change.payload)
        self.replica.close()
        self.replica, self._whole_update = replica, None
        if self.listener is not None:
            self.listener.follow()
        self.head = loaded.head
        self.fan_out.start_over(replica.diff())

    # The entry file's text, for clients without a replica of their own (plain_clients.py)

    def watch_text(self) -> str:
        """Read the entry file's text; from now on the listener is told how it changes."""
        self.replica.watch()
        self.replica.take_deltas()
        return self.replica.text()

    def edit_text(self, connection: Connection, edits: Sequence[Edit]) -> None:
        """Change the entry file's text for this client. Raises TooLarge before anything changed, or Broken."""
        metrics.UPDATES.inc()
        change = self.replica.edit(edits, connection.pace.spend_parts)
        self._queue(change, connection.identity.author, connection.outbox)

    def made(self, connection: Connection, version: int, ref: str | None) -> None:
        """Acknowledge the change that led to `version` once everything taken so far is committed."""
        self.acknowledgements.made(connection, version, ref, self.head)

    def rebuild(self) -> None:
        self._host.rebuild_soon()


def _limits() -> Limits:
    return Limits(settings.TEXT_MAX_BYTES, settings.DOCUMENT_MAX_BYTES)
