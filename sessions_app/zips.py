"""The files of a session as a zip archive, and such an archive as files, pure.

What is packed has names that are safe wherever it is unpacked, and is always the same bytes. What is unpacked was made
by anybody: nothing is written to a disk, and only so much is ever read.
"""

from __future__ import annotations

import io
import stat
import struct
import unicodedata
import zipfile
import zlib
from typing import TYPE_CHECKING

import languages
from sessions_app.limits import PATH_MAX_BYTES, PATH_PARTS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import IO

# What a zip may say of itself before anything is unpacked: also the entries that are passed over, as folders are.
ENTRIES_MAX = 1000
# Of its table of contents, which the library reads whole before anything can be looked at.
DIRECTORY_MAX_BYTES = 256 * 1024
PART_MAX_CHARACTERS = 100
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
            entry = zipfile.ZipInfo(free_name(safe_name(path), taken), (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, content)
    return packed.getvalue()


class Refused(ValueError):
    """The archive cannot become a session; the message says why."""


class TooLarge(ValueError):
    """It holds more than a session may."""


def unpack(archive: IO[bytes], *, max_files: int, max_bytes: int, max_total_bytes: int) -> dict[str, str]:
    """Path -> text of every file of the archive, in its order; a folder around all of them is left out.

    Sizes are what was read and not what the archive says. Raises Refused or TooLarge.
    """
    try:
        _require_small_directory(archive)
        with zipfile.ZipFile(archive) as opened:
            entries = _entries(opened.infolist(), max_files)
            contents: dict[str, str] = {}
            left = max_total_bytes
            for path, entry in entries.items():
                content = _read(opened, entry, path, max_bytes)
                left -= len(content)
                if left < 0:
                    raise TooLarge("The files add up to more than a session can hold.")
                contents[path] = _decoded(content, path)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        raise Refused("This is not a readable zip archive.") from error
    except (ValueError, OverflowError, RuntimeError) as error:
        if isinstance(error, Refused | TooLarge):
            raise
        # What the library raises for headers that contradict each other.
        raise Refused("This is not a readable zip archive.") from error
    return contents


_END = struct.Struct("<4s8xL6x")
_END_SIGNATURE, _ZIP64_SIGNATURE = b"PK\x05\x06", b"PK\x06\x07"
_ZIP64_LOCATOR_BYTES = 20
_COMMENT_MAX_BYTES = 64 * 1024


def _require_small_directory(archive: IO[bytes]) -> None:
    """Raises TooLarge or Refused by what the end of the archive says; it is looked for as the library does."""
    size = archive.seek(0, io.SEEK_END)
    archive.seek(max(0, size - _END.size - _COMMENT_MAX_BYTES - _ZIP64_LOCATOR_BYTES))
    tail = archive.read()
    at = len(tail) - _END.size
    if not (tail.startswith(_END_SIGNATURE, max(0, at)) and tail.endswith(b"\0\0")):
        at = tail.rfind(_END_SIGNATURE, 0, len(tail) - _END.size + len(_END_SIGNATURE))
    if at < 0:
        raise Refused("This is not a readable zip archive.")
    # What is small enough for a session needs no 64-bit sizes, which would stand in place of this one.
    if tail[:at].startswith(_ZIP64_SIGNATURE, max(0, at - _ZIP64_LOCATOR_BYTES)):
        raise Refused("This archive is in zip64 format. Use the standard zip format.")
    _, directory_bytes = _END.unpack_from(tail, at)
    if directory_bytes > DIRECTORY_MAX_BYTES:
        raise TooLarge(f"The archive lists more than {ENTRIES_MAX} entries.")


def _entries(listed: Sequence[zipfile.ZipInfo], max_files: int) -> dict[str, zipfile.ZipInfo]:
    if len(listed) > ENTRIES_MAX:
        raise TooLarge(f"The archive lists more than {ENTRIES_MAX} entries.")
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in listed:
        # The library's own `filename` has been mended already.
        name = unicodedata.normalize("NFC", entry.orig_filename)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        is_folder = name.endswith("/")
        if not is_allowed(name.removesuffix("/")):
            raise Refused(f"{_quoted(name)} is not an allowed file name.")
        if kind not in (0, stat.S_IFDIR if is_folder else stat.S_IFREG):
            raise Refused(f"{_quoted(name)} is not a regular file. Links and devices are not allowed.")
        if entry.flag_bits & 0x1:
            raise Refused(f"{_quoted(name)} is encrypted.")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Refused(f"{_quoted(name)} uses an unsupported compression method. Use the standard one (deflate).")
        if is_folder or _is_left_by_a_mac(name):
            continue
        if not is_free(name, found):
            raise Refused(f"Two files are called {_quoted(name)}. Upper and lower case count as the same.")
        found[name] = entry
        if len(found) > max_files:
            raise TooLarge(f"The archive holds more than {max_files} files.")
    if not found:
        raise Refused("The archive holds no files.")
    return _without_common_folder(found)


def _is_left_by_a_mac(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rpartition("/")[2] == ".DS_Store"


def _without_common_folder(found: dict[str, zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    while len(folders := {path.partition("/")[0] for path in found}) == 1 and all("/" in path for path in found):
        found = {path.removeprefix(f"{next(iter(folders))}/"): entry for path, entry in found.items()}
    return found


def _read(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, path: str, max_bytes: int) -> bytes:
    too_large = TooLarge(f"{_quoted(path)} is larger than {max_bytes} bytes.")
    if entry.file_size > max_bytes:
        raise too_large
    with opened.open(entry) as content:
        data = content.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise too_large
    return data


def _decoded(content: bytes, path: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise Refused(f"{_quoted(path)} is not UTF-8 text.") from None


def _quoted(name: str) -> str:
    """A name that somebody chose, for a sentence."""
    shown = "".join(c if unicodedata.category(c) not in _HIDDEN else "\ufffd" for c in name)
    return f"“{shown[:80]}”"


def entry_of(paths: Sequence[str], language: languages.Language | None) -> tuple[languages.Language, str]:
    """The language, and the path of the file that the program starts in. Raises Refused when the names do not tell.

    It is the file that is called as the language wants it, else the only one with a suffix of the language.
    """
    candidates = [language] if language is not None else list(languages.LANGUAGES.values())
    for candidate in candidates:
        if candidate.file_name in paths:
            return candidate, candidate.file_name
    for candidate in candidates:
        fitting = [path for path in paths if candidate.suffixes and path.endswith(candidate.suffixes)]
        if len(fitting) == 1 and (language is not None or len(paths) == 1):
            return candidate, fitting[0]
    if language is None:
        raise Refused("No file name tells where the program starts. Choose the language.")
    raise Refused(f"There is no file {language.file_name}, in which a {language.name} program starts.")


def is_safe(path: str) -> bool:
    """Whether the path would be packed under this very name."""
    return safe_name(path) == path


def is_allowed(path: str) -> bool:
    """Whether a file of a session may have this path: it is safe, short enough, and no compiler writes there."""
    is_reserved = path.partition("/")[0].casefold() == languages.ARTIFACT_FOLDER
    return is_safe(path) and not is_reserved and len(path.encode()) <= PATH_MAX_BYTES


def is_free(path: str, others: Iterable[str]) -> bool:
    """Whether the path can stand beside those, also where case is not told apart or a file would be a folder."""
    taken: set[str] = set()
    for other in others:
        free_name(other, taken)
    return free_name(path, taken) == path


def safe_name(path: str) -> str:
    """A relative path that stays inside, under Windows too."""
    parts = [_safe_part(part) for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "/".join([part for part in parts if part][-PATH_PARTS_MAX:]) or "file"


def name_of(title: str) -> str:
    """A title as the name of one file."""
    return safe_name(title.replace("/", " "))


def _safe_part(part: str) -> str:
    text = unicodedata.normalize("NFC", part)
    text = "".join(character for character in text if unicodedata.category(character) not in _HIDDEN)
    text = "".join("_" if character in _FORBIDDEN else character for character in text)
    text = text[:PART_MAX_CHARACTERS].strip().rstrip(". ")
    return f"_{text}" if text.partition(".")[0].rstrip().lower() in _DEVICES else text


def free_name(name: str, taken: set[str]) -> str:
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
