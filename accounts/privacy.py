"""What is kept about a person: how much it is, packed for them to take along, and taken away when they go.

Each app adds its part in AppConfig.ready. The apps above this one are not imported here.
"""

from __future__ import annotations

import io
import json
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
    # Called in one transaction with who inherits which session; answers with entries for the audit trail, which are
    # written last (activity/audit.py says why).
    Eraser = Callable[[User, Mapping[UUID, UUID]], list[dict[str, Any]]]
    Estate = Callable[[User], list["Owned"]]
    Meter = Callable[[User], list["Quota"]]

exporters: list[Exporter] = []
erasers: list[Eraser] = []
estates: list[Estate] = []
meters: list[Meter] = []
_PIECE_BYTES = 64 * 1024
_INCOMPLETE = (
    "This archive stops here: it would be larger than one download may be. Take your sessions one by one from their "
    "own pages, or ask whoever runs this server.\n"
)


@dataclass(frozen=True)
class Owned:
    """Something of theirs that others use, and who could have it."""

    id: UUID
    title: str
    heirs: list[User]


@dataclass(frozen=True)
class Quota:
    """How much of something a person keeps, and how much they may; `limit` 0: no bound."""

    name: str
    label: str
    used: int
    limit: int
    is_bytes: bool = False


def register(*, exporter: Exporter, eraser: Eraser, estate: Estate | None = None, meter: Meter | None = None) -> None:
    exporters.append(exporter)
    erasers.append(eraser)
    estates.extend([estate] if estate else [])
    meters.extend([meter] if meter else [])


def quotas_of(user: User) -> list[Quota]:
    """Of every app, from the lowest to the highest."""
    return [quota for meter in reversed(meters) for quota in meter(user)]


def archive(user: User) -> Iterator[bytes]:
    """All of it as a zip, piece by piece: no more than one piece and one row is held in memory.

    Past settings.EXPORT_MAX_BYTES it ends with a file that says so.
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
    """One JSON value in each line."""
    return (json.dumps(value, default=str).encode() + b"\n" for value in values)


class _Sink(io.RawIOBase):
    """What zipfile writes to: it cannot go back, so the archive is written from front to end."""

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
