"""Clean short text that others will read, such as titles and messages, so that it cannot disguise what surrounds it."""

from __future__ import annotations

import re
import unicodedata

# Control characters except tab, line feed and NUL (which is rejected, not removed), and those that change direction.
_HIDDEN = re.compile(r"[\x01-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LINE_ENDS = str.maketrans({"\t": "    ", "\x85": "\n", "\u2028": "\n", "\u2029": "\n"})
# Letters and a symbol by category, but shown as nothing.
_BLANK_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def visible(text: str) -> str:
    """Compose characters, turn every line end into `\\n`, and remove hidden controls.

    Return "" for text that shows nothing.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").translate(_LINE_ENDS)
    shown = unicodedata.normalize("NFC", _HIDDEN.sub("", lines)).strip()
    return shown if any(map(_is_shown, shown)) else ""


def _is_shown(character: str) -> bool:
    return unicodedata.category(character)[0] not in "CZ" and character not in _BLANK_LETTERS


def one_line(text: str) -> str:
    """Return visible() text on one line, with single spaces."""
    return " ".join(visible(text).split())
