"""What somebody is told whose edit is refused."""

from __future__ import annotations

from typing import Literal, NamedTuple

from django.conf import settings

from realtime.wire import close_codes
from sessions_app.document.errors import Broken, HalfCharacter, NoFile, NotPlain, TooLarge

Code = Literal["read_only", "too_large", "invalid"]
READ_ONLY = "You can read this session, but not change its text."


class Refusal(NamedTuple):
    """What ends a socket: a code and a sentence for its `refused` frame, and what the socket is closed with."""

    code: Code
    detail: str
    close_code: int
    reason: str


def refusal(error: Exception) -> Refusal:
    match error:
        case TooLarge():
            return Refusal("too_large", limit_words(error), close_codes.TOO_LARGE, "too large")
        case NoFile():
            detail, reason = "The text belongs to no file, so nobody could read it.", "text of no file"
        case NotPlain():
            detail, reason = "The update holds something other than text.", "not text"
        case HalfCharacter():
            detail, reason = "The update cuts a character in two.", "half a character"
        case Broken():
            detail, reason = "The update cannot be merged.", "update cannot be merged"
        case _:
            detail, reason = "The update cannot be read.", "corrupt update"
    return Refusal("invalid", detail, close_codes.BAD_FRAME, reason)


def limit_words(error: TooLarge) -> str:
    """Say which limit a change would pass, and how much it is."""
    if error.args == ("document",):
        most = f"{settings.DOCUMENT_MAX_BYTES // 1024:,} KB"
        return f"The files of a session, with what was deleted from them lately, may take {most} together."
    return f"A file may hold {settings.TEXT_MAX_BYTES // 1024:,} KB of text, and this one would hold more."
