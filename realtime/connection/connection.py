"""One socket in a room: who is there, what they may do, what they are told."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from realtime.connection.outbox import Outbox, PlainOutbox
from realtime.connection.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from realtime.connection.identity import Identity, SignIn
    from realtime.connection.outbox import WriteFrame
    from sessions_app import messages
    from sessions_app.messages import ServerMessage


@dataclass(slots=True, eq=False)
class Frame:
    """Edits of a socket that are not acknowledged yet: a step 2 or update frame, or a change of a plain client."""

    # What the acknowledgement names: how many frames came before and with it, or the version that a change led to.
    number: int
    taken_at: float
    # The room's count of changes that must be committed first; None until it is merged.
    needs: int | None = None
    # The name that a plain client gave its change.
    ref: str | None = None
    is_refused: bool = False
    # While the frame is held: what it brought, and how many clocks of which clients must come before it.
    update: bytes = b""
    waits_for: Mapping[int, int] | None = None

    @property
    def is_held(self) -> bool:
        return self.waits_for is not None


class Connection:
    __slots__ = (
        "client_ids",
        "id",
        "identity",
        "keeps_cursors",
        "last_heard",
        "outbox",
        "pace",
        "permission",
        "sign_in",
        "user_id",
    )

    def __init__(
        self, identity: Identity, permission: str, sign_in: SignIn, outbox: Outbox, *, keeps_cursors: bool = False
    ) -> None:
        self.id = uuid4().hex
        self.identity = identity
        self.user_id = identity.user_id
        self.permission = permission
        self.sign_in = sign_in
        self.outbox = outbox
        self.pace = Pace()
        # Of awareness; and whether it keeps those of others without hearing of them again, until they leave.
        self.client_ids: set[int] = set()
        self.keeps_cursors = keeps_cursors
        self.last_heard = time.monotonic()

    @property
    def hue(self) -> int:
        return self.identity.hue

    def rename(self, username: str) -> None:
        self.identity = replace(self.identity, username=username)

    def give_hue(self, hue: int) -> None:
        self.identity = replace(self.identity, hue=hue)

    def shown_identity(self) -> dict[str, object]:
        """The `user` of the connection's cursors."""
        shown: dict[str, object] = {
            "id": self.user_id,
            "name": self.identity.username,
            "hue": self.identity.hue,
            "permission": self.permission,
        }
        return shown | {"is_bot": True} if self.identity.is_bot else shown

    @property
    def is_closing(self) -> bool:
        return self.outbox.closing is not None

    def tell(self, frame: ServerMessage) -> None:
        self.outbox.tell(frame)

    def tell_error(self, code: str, detail: str, ref: str | None = None) -> None:
        """`ref` names the message that could not be done."""
        frame: messages.ErrorMessage = {"type": "error", "code": code, "detail": detail}
        if ref is not None:
            frame["ref"] = ref
        self.outbox.tell(frame)

    def acknowledge(self, frames: Sequence[Frame], seq: int) -> None:
        """Say that these frames, the oldest of those that wait, are committed, at row `seq` of the log or before."""
        self.outbox.put_ack({"type": "ack", "received": frames[-1].number, "seq": seq})


class PlainConnection(Connection):
    """A socket of codecrafter.json.v1. Until it has joined it is told nothing of the text."""

    __slots__ = ("awareness_id", "unit")

    outbox: PlainOutbox

    def __init__(self, identity: Identity, permission: str, sign_in: SignIn, outbox: PlainOutbox) -> None:
        super().__init__(identity, permission, sign_in, outbox)
        self.awareness_id = secrets.randbelow(2**32)
        # What the client counts characters in; None until it joined.
        self.unit: messages.Unit | None = None

    def acknowledge(self, frames: Sequence[Frame], seq: int) -> None:
        for frame in frames:
            ack: messages.ChangeAck = {"type": "ack", "version": frame.number, "seq": seq}
            if frame.ref is not None:
                ack["ref"] = frame.ref
            self.outbox.tell(ack)


def open_connection(
    identity: Identity,
    permission: str,
    sign_in: SignIn,
    *,
    is_plain: bool = False,
    speaks_json: bool = True,
    keeps_cursors: bool = False,
    write_frame: WriteFrame | None = None,
) -> Connection:
    if is_plain:
        return PlainConnection(identity, permission, sign_in, PlainOutbox(speaks_json=True, write_frame=write_frame))
    outbox = Outbox(speaks_json=speaks_json, write_frame=write_frame)
    return Connection(identity, permission, sign_in, outbox, keeps_cursors=keeps_cursors)
