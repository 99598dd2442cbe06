"""Every text message of a session's socket, in both directions, typed once (docs/protocol.md describes them). Pure.

The server's are TypedDicts: sessions_app/events.py and execution/events.py say some of them, the live part the others.
The client's are dataclasses, which realtime/wire/text.py reads from JSON. frontend/src/messages.ts is made from this
file by deploy/message_types.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NotRequired, TypedDict

# A text, which TypeScript sees as one of these.
Permission = Annotated[str, ("owner", "admin", "write", "read")]
Unit = Literal["code_points", "utf16"]


class Person(TypedDict):
    id: str
    username: str


class Speaker(Person):
    """`hue` picks the person's colour: in `hello` and `presence` theirs in this room, elsewhere the same everywhere."""

    hue: int


class Present(Speaker):
    """`is_bot` is there for a bot only, `is_guest` for a guest only."""

    permission: Permission
    is_bot: NotRequired[bool]
    is_guest: NotRequired[bool]


# What the server says about the socket and its text


class HelloLimits(TypedDict):
    """What this socket may send; past the rate it is read more slowly."""

    frame_bytes: int
    text_bytes: int
    updates_per_second: float
    chat_characters: int


class Hello(TypedDict):
    """The first frame. `measure` is what a moderator's lock or freeze means here; empty without one."""

    type: Literal["hello"]
    connection_id: str
    user: Speaker
    permission: Permission
    measure: str
    epoch: str
    head: int
    is_degraded: bool
    limits: HelloLimits


class Ack(TypedDict):
    """`received` of this connection's step 2 and update frames are committed, or were known and committed before."""

    type: Literal["ack"]
    received: int
    seq: int


class Refused(TypedDict):
    """The frame number `received` of this connection was not taken."""

    type: Literal["refused"]
    received: int
    code: Literal["read_only", "too_large", "invalid"]
    detail: str


class Presence(TypedDict):
    type: Literal["presence"]
    people: list[Present]


class Access(TypedDict):
    type: Literal["access"]
    permission: Permission


class Degraded(TypedDict):
    """Servers do not hear each other: text is saved as ever, but what others type arrives up to a second late."""

    type: Literal["degraded"]
    is_degraded: bool


class TokenExpiring(TypedDict):
    """The socket ends at `expires_at` unless it is renewed before."""

    type: Literal["token_expiring"]
    expires_at: str


class TokenTaken(TypedDict):
    type: Literal["token"]
    expires_at: str


class ErrorMessage(TypedDict):
    """`ref` names the message that could not be done, when it had one."""

    type: Literal["error"]
    code: str
    detail: str
    ref: NotRequired[str]


# What happens in the session


class SessionSettings(TypedDict):
    """What can change while pages have the session open."""

    title: str
    language: str
    is_public: bool
    allows_guests: bool
    version: int


class SessionChanged(SessionSettings):
    type: Literal["session.changed"]


class SessionModerated(TypedDict):
    """`detail` is what holds for everybody from now on; empty when nothing does."""

    type: Literal["session.moderated"]
    detail: str


class RunState(TypedDict):
    """`run` is the run as REST shows it, without its output."""

    type: Literal["run.state"]
    run: dict[str, Any]


class RunOutputPiece(TypedDict):
    """`offset` counts bytes within the stream, so a reader sees a gap and reads it over REST."""

    type: Literal["run.output"]
    job_id: str
    stream: str
    offset: int
    data_base64: str


class RunInputTyped(TypedDict):
    type: Literal["run.input"]
    job_id: str
    user: Person
    text: str


class Chat(TypedDict):
    """A stored message. `ref` is what its sender called it; others pass over it."""

    type: Literal["chat"]
    id: str
    user: Speaker
    text: str
    created_at: str
    ref: NotRequired[str]


class ChatRemoved(TypedDict):
    """A moderator took a message out of the chat."""

    type: Literal["chat.removed"]
    id: str


class Notice(TypedDict):
    """Something about the session itself happened; `by` did it."""

    type: Literal["notice"]
    by: Speaker


class Joined(Notice):
    """`user` became one of the session's people."""

    kind: Literal["joined"]
    user: Speaker
    permission: Permission


class Left(Notice):
    """`user` is no longer one of them: left when `by` is the same person, was removed otherwise."""

    kind: Literal["left"]
    user: Speaker


class RoleChanged(Notice):
    kind: Literal["role_changed"]
    user: Speaker
    permission: Permission


class TitleChanged(Notice):
    kind: Literal["title_changed"]
    title: str


class LanguageChanged(Notice):
    kind: Literal["language_changed"]
    language: str


class Archived(Notice):
    """The sockets of the room are closed next."""

    kind: Literal["archived"]


class FileDeleted(Notice):
    """Pages that show the file keep its text on the screen and say who deleted it."""

    kind: Literal["file_deleted"]
    file: str
    path: str


# What only clients without a CRDT hear


class KeepAlive(TypedDict):
    """What the empty awareness message is to clients of codecrafter.json.v1."""

    type: Literal["keep-alive"]


class Cursor(TypedDict):
    """Where a client points in the text of this version; null for nowhere in it. `user` is null once it left."""

    client: int
    user: Speaker | None
    version: int
    anchor: int | None
    head: int | None


class CursorMove(Cursor):
    type: Literal["cursor-move"]


class About(TypedDict):
    """What a session's row says, and its document does not."""

    title: str
    language: str


class State(About):
    """Everything anew: the answer to join-session, and what a client gets that did not keep up."""

    type: Literal["state"]
    version: int
    content: str
    unit: Unit
    people: list[Present]
    permission: Permission
    cursors: list[Cursor]


class CodeChange(TypedDict):
    """The step from the version before to `version`. `ref` comes to its sender only; `user` is null when unknown."""

    type: Literal["code-change"]
    version: int
    delta: list[dict[str, Any]]
    user: Person | None
    ref: NotRequired[str]


class ChangeAck(TypedDict):
    """The change that led to `version` is committed."""

    type: Literal["ack"]
    ref: NotRequired[str]
    version: int
    seq: int


class ChangeRefused(TypedDict):
    """The change was not made. With `version_passed` come the present version and its text."""

    type: Literal["refused"]
    ref: NotRequired[str]
    code: Literal["read_only", "too_large", "invalid", "version_passed"]
    detail: str
    version: NotRequired[int]
    content: NotRequired[str]


AnyNotice = Joined | Left | RoleChanged | TitleChanged | LanguageChanged | Archived | FileDeleted
# Said to everybody in the room, whichever process they are at.
Event = SessionChanged | SessionModerated | RunState | RunOutputPiece | RunInputTyped | Chat | ChatRemoved | AnyNotice
# Both kinds of text frames have these.
CommonMessage = Hello | Presence | Access | TokenExpiring | TokenTaken | Degraded | ErrorMessage | Event
PageMessage = CommonMessage | Ack | Refused
PlainMessage = CommonMessage | KeepAlive | CursorMove | State | CodeChange | ChangeAck | ChangeRefused
ServerMessage = PageMessage | PlainMessage


# What clients say


@dataclass(frozen=True, slots=True)
class Say:
    """Say something in the chat."""

    type: ClassVar[Literal["chat"]] = "chat"
    text: str
    ref: str | None = None


@dataclass(frozen=True, slots=True)
class RenewToken:
    """Go on with this access token of the same person."""

    type: ClassVar[Literal["token"]] = "token"
    access: str


@dataclass(frozen=True, slots=True)
class JoinSession:
    """Tell me everything."""

    type: ClassVar[Literal["join-session"]] = "join-session"
    unit: Unit = "code_points"


@dataclass(frozen=True, slots=True)
class ChangeCode:
    """Change the text that `version` names; `again`: it was sent before, on a connection that broke."""

    type: ClassVar[Literal["code-change"]] = "code-change"
    # Operations as realtime/wire/plain.py reads them.
    delta: Any
    version: int
    ref: str | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class MoveCursor:
    """Show my cursor, or hide it where both ends are None. Without a version it is one of the present text."""

    type: ClassVar[Literal["cursor-move"]] = "cursor-move"
    anchor: int | None
    head: int | None
    version: int | None = None
    ref: str | None = None


ClientPageMessage = Say | RenewToken
ClientMessage = ClientPageMessage | JoinSession | ChangeCode | MoveCursor
