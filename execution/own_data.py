"""The part of execution in accounts/privacy.py: the runs of a person and their bots, with what went in and came out."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from django.db import transaction

from accounts.privacy import as_lines
from execution.models import Run, RunFile, RunInput, RunOutput, TestCase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet

    from accounts.models import User
    from accounts.privacy import File

_ERASED_AT_ONCE = 100


def export(user: User) -> Iterator[File]:
    """One line for each row, so that no more than one is in memory: a run may have many, and they may be large."""
    yield "runs.jsonl", as_lines(_runs_of(user))
    yield "run_files.jsonl", as_lines(_files_of(user))
    yield "run_input.jsonl", as_lines(_typed_by(user))
    yield "run_cases.jsonl", as_lines(_cases_of(user))
    yield "run_output.jsonl", as_lines(_output_of(user))


def _people(user: User) -> list[User]:
    """The person and their bots."""
    return [user, *user.bots.all()]


def _runs_of(user: User) -> Iterator[dict[str, Any]]:
    runs = Run.objects.filter(user__in=_people(user)).select_related("user")
    for run in runs.order_by("created_at").iterator(chunk_size=1):
        yield {
            "job_id": run.pk,
            "user": run.user and run.user.username,
            "session_id": run.session_id,
            "language": run.language,
            "status": run.status,
            "exit_code": run.exit_code,
            "created_at": run.created_at,
            "started_at": run.started_at,
            "finished_at": run.finished_at,
            "args": run.args,
            "stats": run.stats,
            "stdin": _text(run.stdin),
        }


def _files_of(user: User) -> Iterator[dict[str, Any]]:
    for file in RunFile.objects.filter(run__user__in=_people(user)).order_by("id").iterator(chunk_size=1):
        yield {"job_id": file.run_id, "path": file.path, "content": _text(file.content)}


def _typed_by(user: User) -> Iterator[dict[str, Any]]:
    people = _people(user)
    for typed in RunInput.objects.filter(run__user__in=people, user__in=people).order_by("id").iterator(chunk_size=1):
        yield {"job_id": typed.run_id, "number": typed.number, "text": _text(typed.data)}


def _cases_of(user: User) -> Iterator[dict[str, Any]]:
    cases = TestCase.objects.filter(run__user__in=_people(user)).order_by("id")
    for run_id, number, name, verdict in cases.values_list("run_id", "number", "name", "verdict").iterator():
        yield {"job_id": run_id, "number": number, "name": name, "verdict": verdict}


def _output_of(user: User) -> Iterator[dict[str, Any]]:
    for piece in RunOutput.objects.filter(run__user__in=_people(user)).order_by("id").iterator(chunk_size=1):
        yield {"job_id": piece.run_id, "stream": piece.stream, "offset": piece.offset, "text": _text(piece.data)}


def _text(data: bytes | memoryview) -> str | dict[str, str]:
    """As text; what is none as base64, so that no byte is lost."""
    try:
        return bytes(data).decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(bytes(data)).decode()}


@transaction.atomic
def erase(user: User) -> bool:
    """Runs outside of sessions go; those in the sessions of others stay there, by nobody."""
    people = _people(user)
    if alone := list(Run.objects.filter(user__in=people, session=None).values_list("pk", flat=True)[:_ERASED_AT_ONCE]):
        Run.objects.filter(pk__in=alone).delete()
        return True
    theirs: list[tuple[QuerySet[Any], dict[str, Any]]] = [
        (Run.objects.filter(user__in=people), {"user": None, "idempotency_key": ""}),
        (Run.objects.filter(cancelled_by__in=people), {"cancelled_by": None}),
        (RunInput.objects.filter(user__in=people), {"user": None}),
    ]
    for rows, nobody in theirs:
        if ids := list(rows.values_list("pk", flat=True)[:_ERASED_AT_ONCE]):
            rows.model._default_manager.filter(pk__in=ids).update(**nobody)
            return True
    return False
