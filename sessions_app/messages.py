"""Every text message of a session's socket, in both directions, typed once (docs/protocol.md describes them). Pure.

The server's are TypedDicts, sent by sessions_app/events.py, execution/events.py and realtime. The client's are
dataclasses, which realtime/wire/text.py parses from JSON. deploy/message_types.py generates frontend/src/messages.ts
from this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NotRequired, TypedDict

# A str in Python, and a union of these in TypeScript.
Permission = Annotated[str, ("owner", "admin", "write", "read")]
Unit = Literal["code_points", "utf16"]


class Person(TypedDict):
    id: str
    username: str


class Speaker(Person):
    """`hue` picks the person's colour: in `hello` and `presence` theirs in this room, elsewhere the same everywhere."""

    hue: int


class Present(Speaker):
    """Somebody in the room. `is_bot` is present for bots only, `is_guest` for guests only."""

    permission: Permission
    is_bot: NotRequired[bool]
    is_guest: NotRequired[bool]


# What the server says about the socket and its text


class HelloLimits(TypedDict):
    """The limits of this socket. Beyond the rate, it is read more slowly."""

    frame_bytes: int
    text_bytes: int
    updates_per_second: float
    chat_characters: int


class Hello(TypedDict):
    """The first frame. `measure` says what a moderator's lock or freeze means here; it is empty without one."""

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
    """The first `received` step 2 and update frames of this connection are committed."""

    type: Literal["ack"]
    received: int
    seq: int


class Refused(TypedDict):
    """Frame number `received` of this connection was rejected."""

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
    """Servers cannot reach each other: text is saved as usual, but edits by others arrive up to a second late."""

    type: Literal["degraded"]
    is_degraded: bool


class TokenExpiring(TypedDict):
    """The socket closes at `expires_at` unless it is renewed before."""

    type: Literal["token_expiring"]
    expires_at: str


class TokenTaken(TypedDict):
    type: Literal["token"]
    expires_at: str


class ErrorMessage(TypedDict):
    """An error. `ref` names the failed message, if it had one."""

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
    """A moderator's restriction has changed. `detail` describes the current one for everybody; empty without one."""

    type: Literal["session.moderated"]
    detail: str


class RunState(TypedDict):
    """The state of a run. `run` is as over REST, without the output."""

    type: Literal["run.state"]
    run: dict[str, Any]


class RunOutputPiece(TypedDict):
    """Output of a run. `offset` counts bytes within the stream, so clients notice gaps and can read them over REST."""

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
    """A stored message. `ref` was chosen by the sender, for recognition; others ignore it."""

    type: Literal["chat"]
    id: str
    user: Speaker
    text: str
    created_at: str
    ref: NotRequired[str]


class ChatRemoved(TypedDict):
    """A moderator removed a message from the chat."""

    type: Literal["chat.removed"]
    id: str


class Notice(TypedDict):
    """A change of the session itself, made by `by`."""

    type: Literal["notice"]
    by: Speaker


class Joined(Notice):
    """`user` became a member of the session."""

    kind: Literal["joined"]
    user: Speaker
    permission: Permission


class Left(Notice):
    """`user` is no longer a member: they left if `by` is the same user, otherwise they were removed."""

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
    """The session was archived. The sockets of the room are closed next."""

    kind: Literal["archived"]


class FileDeleted(Notice):
    """A file was deleted. Pages that show it keep its text on the screen and say who deleted it."""

    kind: Literal["file_deleted"]
    file: str
    path: str


# For clients without a CRDT only


class KeepAlive(TypedDict):
    """The equivalent of the empty awareness message for clients of codecrafter.json.v1."""

    type: Literal["keep-alive"]


class Cursor(TypedDict):
    """A client's cursor in the text of this version; null if it has none. `user` is null once the client has left."""

    client: int
    user: Speaker | None
    version: int
    anchor: int | None
    head: int | None


class CursorMove(Cursor):
    type: Literal["cursor-move"]


class About(TypedDict):
    """What is stored in a session's row, not in its document."""

    title: str
    language: str


class State(About):
    """The complete state, in response to join-session, and for clients that did not keep up."""

    type: Literal["state"]
    version: int
    content: str
    unit: Unit
    people: list[Present]
    permission: Permission
    cursors: list[Cursor]


class CodeChange(TypedDict):
    """The step from the previous version to `version`. Only the sender gets `ref`; `user` is null if unknown."""

    type: Literal["code-change"]
    version: int
    delta: list[dict[str, Any]]
    user: Person | None
    ref: NotRequired[str]


class ChangeAck(TypedDict):
    """The change that resulted in `version` is committed."""

    type: Literal["ack"]
    ref: NotRequired[str]
    version: int
    seq: int


class ChangeRefused(TypedDict):
    """The change was rejected. `version_passed` comes with the current version and its text."""

    type: Literal["refused"]
    ref: NotRequired[str]
    code: Literal["read_only", "too_large", "invalid", "version_passed"]
    detail: str
    version: NotRequired[int]
    content: NotRequired[str]


AnyNotice = Joined | Left | RoleChanged | TitleChanged | LanguageChanged | Archived | FileDeleted
# Sent to everybody in the room, in all processes.
Event = SessionChanged | SessionModerated | RunState | RunOutputPiece | RunInputTyped | Chat | ChatRemoved | AnyNotice
# Both kinds of text frames have these.
CommonMessage = Hello | Presence | Access | TokenExpiring | TokenTaken | Degraded | ErrorMessage | Event
PageMessage = CommonMessage | Ack | Refused
PlainMessage = CommonMessage | KeepAlive | CursorMove | State | CodeChange | ChangeAck | ChangeRefused
ServerMessage = PageMessage | PlainMessage


# Messages of clients


@dataclass(frozen=True, slots=True)
class Say:
    """A chat message to send."""

    type: ClassVar[Literal["chat"]] = "chat"
    text: str
    ref: str | None = None


@dataclass(frozen=True, slots=True)
class RenewToken:
    """Renews the sign-in with this access token of the same user."""

    type: ClassVar[Literal["token"]] = "token"
    access: str


@dataclass(frozen=True, slots=True)
class JoinSession:
    """Requests the complete state."""

    type: ClassVar[Literal["join-session"]] = "join-session"
    unit: Unit = "code_points"


@dataclass(frozen=True, slots=True)
class ChangeCode:
    """A change of the text at `version`. `again` if it was sent before, on a connection that broke."""

    type: ClassVar[Literal["code-change"]] = "code-change"
    # Operations, parsed by realtime/wire/plain.py.
    delta: Any
    version: int
    ref: str | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class MoveCursor:
    """The client's cursor; both ends are None to hide it. Without a version, it refers to the current text."""

    type: ClassVar[Literal["cursor-move"]] = "cursor-move"
    anchor: int | None
    head: int | None
    version: int | None = None
    ref: str | None = None


ClientPageMessage = Say | RenewToken
ClientMessage = ClientPageMessage | JoinSession | ChangeCode | MoveCursor
