"""Pack the files of a session into a zip archive, and unpack archives into files. Pure.

Packed names are safe on every platform, and the same files always give the same bytes. Archives to unpack are hostile:
nothing is written to disk, and reading is bounded.
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

# The limit of entries that a zip may list, including folders and others that are skipped.
ENTRIES_MAX = 1000
# The limit of its directory, which the library reads as a whole first.
DIRECTORY_MAX_BYTES = 256 * 1024
PART_MAX_CHARACTERS = 100
# Controls, marks that change the direction or are invisible, line separators, and unassigned code points.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_FORBIDDEN = frozenset('<>:"|?*\\')
_DEVICES = {"con", "prn", "aux", "nul", *(f"{device}{number}" for device in ("com", "lpt") for number in range(10))}


def pack(files: Mapping[str, bytes]) -> bytes:
    """Pack every file, in this order. Names that would overwrite each other when unpacked are made unique."""
    packed = io.BytesIO()
    taken: set[str] = set()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            # The earliest time in the format, so that the same files give the same bytes.
            entry = zipfile.ZipInfo(free_name(safe_name(path), taken), (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, content)
    return packed.getvalue()


class Refused(ValueError):
    """The archive cannot be imported. The message says why."""


class TooLarge(ValueError):
    """The archive holds more than a session can."""


def unpack(archive: IO[bytes], *, max_files: int, max_bytes: int, max_total_bytes: int) -> dict[str, str]:
    """Return path -> text of every file, in the order of the archive, without a folder around all of them.

    Sizes are those actually read, not those that the archive claims. Raises Refused or TooLarge.
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
        # The library raises these for contradictory headers.
        raise Refused("This is not a readable zip archive.") from error
    return contents


_END = struct.Struct("<4s8xL6x")
_END_SIGNATURE, _ZIP64_SIGNATURE = b"PK\x05\x06", b"PK\x06\x07"
_ZIP64_LOCATOR_BYTES = 20
_COMMENT_MAX_BYTES = 64 * 1024


def _require_small_directory(archive: IO[bytes]) -> None:
    """Check the end of the archive, found the way the library finds it. Raises TooLarge or Refused."""
    size = archive.seek(0, io.SEEK_END)
    archive.seek(max(0, size - _END.size - _COMMENT_MAX_BYTES - _ZIP64_LOCATOR_BYTES))
    tail = archive.read()
    at = len(tail) - _END.size
    if not (tail.startswith(_END_SIGNATURE, max(0, at)) and tail.endswith(b"\0\0")):
        at = tail.rfind(_END_SIGNATURE, 0, len(tail) - _END.size + len(_END_SIGNATURE))
    if at < 0:
        raise Refused("This is not a readable zip archive.")
    # Archives small enough for a session need no 64-bit sizes, which would override this one.
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
        # The library has already altered `filename`.
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
    """Quote a user's file name for a message."""
    shown = "".join(c if unicodedata.category(c) not in _HIDDEN else "\ufffd" for c in name)
    return f"“{shown[:80]}”"


def entry_of(paths: Sequence[str], language: languages.Language | None) -> tuple[languages.Language, str]:
    """Find the language and the path of the entry file. Raises Refused if the names do not tell.

    The entry file has the language's standard name, or else is the only one with a suffix of the language.
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
    """Whether the path would be packed unchanged."""
    return safe_name(path) == path


def is_allowed(path: str) -> bool:
    """Whether a file of a session may have this path: it must be safe, short enough, and not where compilers write."""
    is_reserved = path.partition("/")[0].casefold() == languages.ARTIFACT_FOLDER
    return is_safe(path) and not is_reserved and len(path.encode()) <= PATH_MAX_BYTES


def is_free(path: str, others: Iterable[str]) -> bool:
    """Whether the path clashes with none of the others, regardless of case, and of whether they are folders."""
    taken: set[str] = set()
    for other in others:
        free_name(other, taken)
    return free_name(path, taken) == path


def safe_name(path: str) -> str:
    """Make a relative path that stays inside the folder, on Windows too."""
    parts = [_safe_part(part) for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "/".join([part for part in parts if part][-PATH_PARTS_MAX:]) or "file"


def name_of(title: str) -> str:
    """Make a file name from a title."""
    return safe_name(title.replace("/", " "))


def _safe_part(part: str) -> str:
    text = unicodedata.normalize("NFC", part)
    text = "".join(character for character in text if unicodedata.category(character) not in _HIDDEN)
    text = "".join("_" if character in _FORBIDDEN else character for character in text)
    text = text[:PART_MAX_CHARACTERS].strip().rstrip(". ")
    return f"_{text}" if text.partition(".")[0].rstrip().lower() in _DEVICES else text


def free_name(name: str, taken: set[str]) -> str:
    """Return `name`, or `name` with " (2)" and so on, unique regardless of case, and among files and folders.

    `taken` has files as they are, and folders with a trailing slash.
    """
    parts = name.split("/")
    for index, part in enumerate(parts):
        is_file = index + 1 == len(parts)
        above = "/".join([*parts[:index], ""])
        stem, dot, extension = part.rpartition(".") if is_file and "." in part[1:] else (part, "", "")
        candidate, number = part, 1
        # A file clashes with files and folders; a folder clashes with files only.
        while (key := _key(above + candidate)) in taken or (is_file and f"{key}/" in taken):
            number += 1
            candidate = f"{stem} ({number}){dot}{extension}"
        parts[index] = candidate
        taken.add(key if is_file else f"{key}/")
    return "/".join(parts)


def _key(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()
