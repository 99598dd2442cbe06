"""Text that people write for others to read, such as titles and messages: it must not disguise what is around it."""

from __future__ import annotations

import re
import unicodedata

# Controls but for NUL, which is refused rather than removed, tab and line feed; and what changes the direction of text.
_HIDDEN = re.compile(r"[\x01-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LINE_ENDS = str.maketrans({"\t": "    ", "\x85": "\n", "\u2028": "\n", "\u2029": "\n"})


def visible(text: str) -> str:
    """Composed characters, `\\n` for every line end, and no hidden control."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").translate(_LINE_ENDS)
    return unicodedata.normalize("NFC", _HIDDEN.sub("", lines)).strip()


def one_line(text: str) -> str:
    """Visible text on one line, with single spaces."""
    return " ".join(visible(text).split())
