"""The files of a session as a zip archive, pure: names that are safe wherever it is unpacked, always the same bytes."""

from __future__ import annotations

import io
import unicodedata
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PART_MAX_CHARACTERS = 100
PARTS_MAX = 8
# Controls, marks that turn the reading direction or show nothing, line separators, and what has no character.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_FORBIDDEN = frozenset('<>:"|?*\\')
_DEVICES = {"con", "prn", "aux", "nul", *(f"{device}{number}" for device in ("com", "lpt") for number in range(10))}


def pack(files: Mapping[str, bytes]) -> bytes:
    """One archive with every file, in this order. Names that others would unpack over each other are told apart."""
    packed = io.BytesIO()
    taken: set[str] = set()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            # The time is the earliest that the format knows, so that the same files make the same bytes.
            entry = zipfile.ZipInfo(_free(safe_name(path), taken), (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, content)
    return packed.getvalue()


def is_safe(path: str) -> bool:
    """Whether the path would be packed under this very name."""
    return safe_name(path) == path


def is_free(path: str, others: Iterable[str]) -> bool:
    """Whether the path can stand beside those, also where case is not told apart or a file would be a folder."""
    taken: set[str] = set()
    for other in others:
        _free(other, taken)
    return _free(path, taken) == path


def safe_name(path: str) -> str:
    """A relative path that stays inside, under Windows too."""
    parts = [_safe_part(part) for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "/".join([part for part in parts if part][-PARTS_MAX:]) or "file"


def _safe_part(part: str) -> str:
    text = unicodedata.normalize("NFC", part)
    text = "".join(character for character in text if unicodedata.category(character) not in _HIDDEN)
    text = "".join("_" if character in _FORBIDDEN else character for character in text)
    text = text[:PART_MAX_CHARACTERS].strip().rstrip(". ")
    return f"_{text}" if text.partition(".")[0].rstrip().lower() in _DEVICES else text


def _free(name: str, taken: set[str]) -> str:
    """`name`, or with " (2)" and so on: also where case is not told apart, and where a file and a folder would meet.

    `taken` holds files as they are and folders with a slash behind.
    """
    parts = name.split("/")
    for index, part in enumerate(parts):
        is_file = index + 1 == len(parts)
        above = "/".join([*parts[:index], ""])
        stem, dot, extension = part.rpartition(".") if is_file and "." in part[1:] else (part, "", "")
        candidate, number = part, 1
        # A file meets files and folders of its name; a folder joins folders and meets files.
        while (key := _key(above + candidate)) in taken or (is_file and f"{key}/" in taken):
            number += 1
            candidate = f"{stem} ({number}){dot}{extension}"
        parts[index] = candidate
        taken.add(key if is_file else f"{key}/")
    return "/".join(parts)


def _key(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()
