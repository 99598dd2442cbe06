"""The part of execution in accounts/privacy.py: a person's runs, with what went in and what came out."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils import timezone

from accounts.privacy import as_lines
from execution.models import Run, RunInput, Stream, joined

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from accounts.models import User
    from accounts.privacy import File

_ROWS = 20
_DELETED_AT_ONCE = 500


def export(user: User) -> Iterator[File]:
    yield "runs.jsonl", as_lines(_runs_of(user))


def _runs_of(user: User) -> Iterator[dict[str, Any]]:
    runs = Run.objects.filter(user=user).order_by("created_at").prefetch_related("files", "output", "input", "cases")
    for run in runs.iterator(chunk_size=_ROWS):
        output = list(run.output.all())
        yield {
            "job_id": run.pk,
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
            "typed": [_text(typed.data) for typed in run.input.all() if typed.user_id == user.pk],
            "files": {file.path: _text(file.content) for file in run.files.all()},
            **{stream.value: _text(joined(output, stream)) for stream in Stream},
            "cases": [{"name": case.name, "verdict": case.verdict} for case in run.cases.all()],
        }


def _text(data: bytes | memoryview) -> str | dict[str, str]:
    """As text; what is none as base64, so that no byte is lost."""
    try:
        return bytes(data).decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(bytes(data)).decode()}


def erase(user: User, heirs: Mapping[UUID, UUID]) -> list[dict[str, Any]]:
    """Runs outside of sessions go; those in the sessions of others stay there, by nobody."""
    people = [user, *user.bots.all()]
    Run.objects.filter(user__in=people, session=None).delete()
    Run.objects.filter(user__in=people).update(user=None, idempotency_key="")
    Run.objects.filter(cancelled_by__in=people).update(cancelled_by=None)
    RunInput.objects.filter(user__in=people).update(user=None)
    return []


def forget_old_runs() -> None:
    """Periodic: delete runs that ended more than settings.RUN_DAYS days ago; 0 keeps everything."""
    if not settings.RUN_DAYS:
        return
    oldest = timezone.now() - timedelta(days=settings.RUN_DAYS)
    while ids := list(Run.objects.filter(finished_at__lt=oldest).values_list("pk", flat=True)[:_DELETED_AT_ONCE]):
        Run.objects.filter(pk__in=ids).delete()
