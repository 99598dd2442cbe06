"""The text frames of a session's socket: JSON to and from the messages of sessions_app/messages.py. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from realtime.wire.plain import UNITS
from sessions_app.messages import ChangeCode, JoinSession, MoveCursor, RenewToken, Say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessions_app.messages import ClientMessage, ServerMessage

    # Events of other processes come as they were said, and are passed on as they came.
    AnyMessage = ServerMessage | Mapping[str, Any]

REF_MAX_CHARACTERS = 64
# Made once: json.dumps makes one for every call that is not plain.
_JSON = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


class BadMessage(ValueError):
    """A text frame that says nothing that can be done: the code and the sentence of its `error`."""

    def __init__(self, detail: str, ref: str | None = None, code: str = "bad_frame") -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.ref = ref


class BadChange(BadMessage):
    """A code-change that names no text to change: it is answered with `refused`."""


def encode_text(message: AnyMessage) -> str:
    return _JSON.encode(message)


def decode_text(text: str, *, is_plain: bool) -> ClientMessage:
    """Read what a client says; `is_plain` for one of codecrafter.json.v1. Raises BadMessage."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise BadMessage("A text frame must be JSON.") from None
    kind = message.get("type") if isinstance(message, dict) else None
    match kind:
        case "chat":
            return _say(message)
        case "token":
            return _renew_token(message)
        case "join-session" if is_plain:
            return _join_session(message)
        case "code-change" if is_plain:
            return _change_code(message)
        case "cursor-move" if is_plain:
            return _move_cursor(message)
    raise BadMessage(f"There is no message {str(kind)[:40]!r}.", code="unknown_message")


def _say(message: dict[str, Any]) -> Say:
    ref = _ref(message)
    if not isinstance(text := message.get("text"), str):
        raise BadMessage("A chat message needs a text.", ref)
    return Say(text, ref)


def _renew_token(message: dict[str, Any]) -> RenewToken:
    if not isinstance(access := message.get("access"), str):
        raise BadMessage("A token message needs an access token.")
    return RenewToken(access)


def _join_session(message: dict[str, Any]) -> JoinSession:
    if (unit := message.get("unit", "code_points")) not in UNITS:
        raise BadMessage(f"A unit is one of {', '.join(UNITS)}.")
    return JoinSession(unit)


def _change_code(message: dict[str, Any]) -> ChangeCode:
    ref = _ref(message)
    version, is_again = message.get("version"), message.get("again", False)
    # True is an int to Python.
    if type(version) is not int or type(is_again) is not bool or (is_again and ref is None):
        raise BadChange("A change needs the version it was made at, and a ref to be sent again.", ref)
    return ChangeCode(message.get("delta"), version, ref, is_again)


def _move_cursor(message: dict[str, Any]) -> MoveCursor:
    ref = _ref(message)
    anchor, head = (message.get(name, message.get("position")) for name in ("anchor", "head"))
    if anchor is None and head is None:
        return MoveCursor(None, None, None, ref)
    version = message.get("version", 0)
    if not all(type(number) is int and number >= 0 for number in (anchor, head, version)):
        raise BadMessage("A cursor has a position, or an anchor and a head.", ref)
    return MoveCursor(anchor, head, message.get("version"), ref)


def _ref(message: dict[str, Any]) -> str | None:
    ref = message.get("ref")
    if ref is None or (isinstance(ref, str) and len(ref) <= REF_MAX_CHARACTERS and ref.isprintable()):
        return ref
    raise BadMessage(f"A ref is a text of up to {REF_MAX_CHARACTERS} printable characters.")
