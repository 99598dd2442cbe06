"""Measure, export and erase what is stored about a user.

Each app registers its part in AppConfig.ready. The apps above this one are not imported here.
"""

from __future__ import annotations

import io
import json
import time
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from uuid import UUID

    from accounts.models import User

    # A path in the archive, unique and safe, and its content.
    File = tuple[str, Iterable[bytes]]
    Exporter = Callable[[User], Iterator[File]]
    # Erases a bounded part in a short transaction of its own. False once nothing is left. Safe to repeat.
    Eraser = Callable[[User], bool]
    Estate = Callable[[User], list["Owned"]]
    Meter = Callable[[User], list["Quota"]]
    # Hands sessions over (id to user id) before anything is erased. Raises, with nothing handed over, if one cannot be.
    Bequest = Callable[[User, Mapping[UUID, UUID]], None]

exporters: list[Exporter] = []
erasers: list[Eraser] = []
estates: list[Estate] = []
meters: list[Meter] = []
bequests: list[Bequest] = []
PAUSE_MAX_SECONDS = 0.1
_PIECE_BYTES = 64 * 1024
_INCOMPLETE = (
    "This archive is incomplete: the rest would exceed the size limit of a download. Export your sessions one by one "
    "from their own pages, or ask the operator of this server.\n"
)


@dataclass(frozen=True)
class Owned:
    """Something of the user's that others use, and who could take it over."""

    id: UUID
    title: str
    heirs: list[User]


@dataclass(frozen=True)
class Quota:
    """How much of something a user stores, and how much they may. A `limit` of 0 means unlimited."""

    name: str
    label: str
    used: int
    limit: int
    is_bytes: bool = False


def register(
    *,
    exporter: Exporter,
    eraser: Eraser,
    estate: Estate | None = None,
    bequest: Bequest | None = None,
    meter: Meter | None = None,
) -> None:
    exporters.append(exporter)
    erasers.append(eraser)
    estates.extend([estate] if estate else [])
    bequests.extend([bequest] if bequest else [])
    meters.extend([meter] if meter else [])


def quotas_of(user: User) -> list[Quota]:
    """Return the quotas of every app, from the lowest to the highest."""
    return [quota for meter in reversed(meters) for quota in meter(user)]


def erase(user: User) -> None:
    """Erase all that is stored about a user, step by step. The next call finishes what a crash interrupted."""
    for eraser in erasers:
        has_more = True
        while has_more:
            started = time.monotonic()
            has_more = eraser(user)
            if has_more:
                # Give other writers as much time: SQLite does not queue them fairly.
                time.sleep(min(time.monotonic() - started, PAUSE_MAX_SECONDS))


def archive(user: User) -> Iterator[bytes]:
    """Yield all of it as a zip, holding at most one piece and one row in memory.

    Past settings.EXPORT_MAX_BYTES, the archive ends with a file that says so.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as packed:
        size = 0
        for name, content in (file for exporter in exporters for file in exporter(user)):
            with packed.open(name, "w") as entry:
                for piece in content:
                    entry.write(piece)
                    size += len(piece)
                    if sink.size >= _PIECE_BYTES:
                        yield sink.take()
                    if size > settings.EXPORT_MAX_BYTES:
                        break
            if size > settings.EXPORT_MAX_BYTES:
                packed.writestr("INCOMPLETE.txt", _INCOMPLETE)
                break
    yield sink.take()


def as_json(value: Any) -> list[bytes]:
    return [json.dumps(value, indent=2, default=str).encode()]


def as_lines(values: Iterable[Any]) -> Iterator[bytes]:
    """Yield one JSON value per line."""
    return (json.dumps(value, default=str).encode() + b"\n" for value in values)


class _Sink(io.RawIOBase):
    """The file that zipfile writes to. It cannot seek, so the archive is written from front to back."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        self.size += len(data)
        return len(data)

    def take(self) -> bytes:
        taken, self._parts, self.size = b"".join(self._parts), [], 0
        return taken
