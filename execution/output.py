"""How much of what a program printed is kept, shown in one answer, and read at a time."""

from __future__ import annotations

import base64
import codecs
import json
from typing import TYPE_CHECKING, Any

from django.db.models import BinaryField, Case, F, IntegerField, Sum, Value, When
from django.db.models.functions import Length, Substr

from execution.models import Stream

if TYPE_CHECKING:
    from execution.models import Run, TestCase

# As JSON, in which one byte may take six: each stream of a run, and all texts of all its cases together.
SHOWN_BYTES = 64 * 1024
CASES_SHOWN_BYTES = 512 * 1024
# What one request reads of a stream. The answer has it twice, as text and in base64.
PIECE_BYTES = 128 * 1024
CASE_TEXTS = ("stdin", "expected", "stdout", "stderr")


class OutputBudget:
    """Divides what one submission may keep of its output among its cases, which are judged by the whole of theirs.

    Half is reserved in equal parts; the other half goes to the cases that print more, in their order.
    """

    def __init__(self, limit_bytes: int, cases: int) -> None:
        self._left = limit_bytes
        self._waiting = cases
        self._reserved = limit_bytes // (2 * cases)

    def keep(self, stdout: bytes, stderr: bytes) -> tuple[bytes, bytes]:
        """The beginnings of both that are kept of the next case; stderr, where tracebacks are, has a quarter."""
        self._waiting -= 1
        allowed = self._left - self._waiting * self._reserved
        stdout = stdout[: max(allowed - len(stderr), allowed * 3 // 4)]
        stderr = stderr[: allowed - len(stdout)]
        self._left -= len(stdout) + len(stderr)
        return stdout, stderr


def shown(name: str, beginning: bytes, size: int, most: int) -> dict[str, Any]:
    """A text in an answer, with the size of the whole and whether this is less; it takes `most` bytes of JSON.

    What is not valid UTF-8 is exact in NAME_base64. A character that the cut would part is left out.
    """
    piece = beginning[:most]
    while (weight := len(json.dumps(text := _text(name, piece, is_whole=len(piece) == size)))) > most + len(name) + 6:
        piece = piece[: len(piece) * most // weight]
    return {**text, f"{name}_bytes": size, f"{name}_truncated": len(piece) < size}


def _text(name: str, data: bytes, *, is_whole: bool) -> dict[str, str]:
    try:
        return {name: codecs.getincrementaldecoder("utf-8")().decode(data, is_whole)}
    except UnicodeDecodeError:
        return {name: data.decode(errors="replace"), f"{name}_base64": base64.b64encode(data).decode()}


def beginnings(run: Run) -> dict[str, tuple[bytes, int]]:
    """Of each stream of the run, its beginning and its size, without reading the rest."""
    near = Case(When(offset__lt=SHOWN_BYTES, then=F("data")), default=Value(None), output_field=BinaryField(null=True))
    found: dict[str, tuple[bytes, int]] = {stream.value: (b"", 0) for stream in Stream}
    for stream, data, size in run.output.order_by("offset").values_list("stream", near, Length("data")):
        begun, so_far = found[stream]
        found[stream] = (begun + bytes(data) if data is not None else begun, so_far + size)
    return found


def cases_with_beginnings(run: Run, most: int) -> list[Any]:
    """The run's cases without their texts, of which NAME_begun has `most` bytes and NAME_size the size."""
    texts: dict[str, Any] = {}
    for name in CASE_TEXTS:
        texts |= {f"{name}_begun": Substr(name, 1, most, output_field=BinaryField()), f"{name}_size": Length(name)}
    return list(run.cases.defer(*CASE_TEXTS).annotate(**texts))


def read_stream(run: Run, stream: str, begin: int) -> tuple[bytes, int]:
    """A piece of a stream of the run from this byte on, and the size of the stream."""
    rows = run.output.filter(stream=stream)
    total = rows.aggregate(total=Sum(Length("data")))["total"] or 0
    rows = rows.annotate(end=F("offset") + Length("data", output_field=IntegerField()))
    found = list(rows.filter(offset__lt=begin + PIECE_BYTES, end__gt=begin).order_by("offset"))
    skipped = begin - found[0].offset if found else 0
    return b"".join(bytes(row.data) for row in found)[skipped : skipped + PIECE_BYTES], total


def read_case(case: TestCase, name: str, begin: int) -> tuple[bytes, int]:
    """The same of a text of a case."""
    piece, total = (
        type(case)
        .objects.filter(pk=case.pk)
        .values_list(Substr(name, begin + 1, PIECE_BYTES, output_field=BinaryField()), Length(name))
        .get()
    )
    return bytes(piece or b""), total
