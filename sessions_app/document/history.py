"""The history of a document: who wrote when, and past texts.

It consists of the segments made by compaction, and the rows not compacted yet, grouped in the same way.
"""

from __future__ import annotations

from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING

from django.db.models import prefetch_related_objects
from django.db.models.functions import Length

from sessions_app.document import compaction, quarantine, rewrite, texts, update_log
from sessions_app.document.errors import Broken, Malformed
from sessions_app.document.update_log import LogDamaged
from sessions_app.errors import FileNotListed, RevisionUnknown
from sessions_app.models import Segment, Snapshot, Update

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from sessions_app.document.texts import File
    from sessions_app.document.updates import Updates


def steps(session_id: UUID, *, before: int | None, most: int) -> tuple[list[Segment], int | None]:
    """Return the newest steps that begin before this revision, without payloads, and where to continue."""
    # Rows first: what a compaction takes away meanwhile is among the segments, and not twice.
    rows = list(
        Update.objects.filter(document_id=session_id).order_by("seq").annotate(size=Length("payload")).defer("payload")
    )
    tail = [compaction.step_of(group) for group in compaction.grouped(rows, attrgetter("size"))]
    found = [step for step in reversed(tail) if before is None or step.first_seq < before][: most + 1]
    older = Segment.objects.filter(document_id=session_id).order_by("-last_seq").defer("payload")
    if rows:
        older = older.filter(last_seq__lt=rows[0].seq)
    if before is not None:
        older = older.filter(first_seq__lt=before)
    found += older[: most + 1 - len(found)]
    has_more, found = len(found) > most, found[:most]
    prefetch_related_objects(found, "user")
    return found, found[-1].first_seq if has_more else None


def files_at(session_id: UUID, revision: int) -> list[File]:
    """Return all files at this revision, deleted ones too. Raises SessionNotFound, RevisionUnknown or LogDamaged.

    Within a segment, single revisions cannot be reconstructed. They are reported as unknown instead of returning the
    end of the segment, because somebody might restore a different text, or believe to have run it.
    """
    try:
        return texts.all_files(_replayed(session_id, revision))
    except (Malformed, Broken) as error:
        quarantine.load_mended(session_id, error)
        return texts.all_files(_replayed(session_id, revision))


def file_at(session_id: UUID, revision: int, file_id: str) -> tuple[File, list[File]]:
    """Return one file at this revision, and all files. Raises FileNotListed, and whatever files_at does."""
    found = files_at(session_id, revision)
    for file in found:
        if file.id == file_id:
            return file, found
    raise FileNotListed


def _replayed(session_id: UUID, revision: int) -> Updates:
    """Rebuild the document at a revision from the nearest snapshot before it and the updates after that."""
    log = update_log.read_log(session_id)
    start = log.snapshot.seq if log.snapshot else 0
    if not 0 < revision <= log.head:
        raise RevisionUnknown
    if revision >= start:
        return log.parts[: len(log.parts) - (log.head - revision)]
    segments = Segment.objects.filter(document_id=session_id)
    if not segments.filter(last_seq=revision).exists():
        raise RevisionUnknown
    base = Snapshot.objects.filter(document_id=session_id, seq__lte=revision).order_by("-seq").first()
    done = base.seq if base is not None else 0
    parts = segments.filter(first_seq__gt=done, last_seq__lte=revision).order_by("last_seq")
    rows = parts.values_list("first_seq", "last_seq", "payload").iterator(chunk_size=16)
    before = [bytes(base.payload)] if base is not None else []
    return rewrite.replay(chain(before, _whole(session_id, rows, done)))


def _whole(session_id: UUID, rows: Iterable[tuple[int, int, bytes | memoryview]], done: int) -> Iterator[bytes]:
    for first_seq, last_seq, payload in rows:
        if first_seq != done + 1:
            raise LogDamaged(f"the history of {session_id} has a gap after {done}")
        done = last_seq
        yield bytes(payload)
