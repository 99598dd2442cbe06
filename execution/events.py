"""What the room is told of a run, and the run's JSON that REST and room share."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from django.db import transaction

from codecrafter.http.times import moment
from sessions_app import events

if TYPE_CHECKING:
    from uuid import UUID

    from accounts.models import User
    from execution.models import Run

# Every worker listens to this group; a message names a run whose row has news (a cancellation or input).
WORKERS = "workers"


def summary(run: Run) -> dict[str, Any]:
    """A run without its output. Times are ISO 8601 in UTC; `stats` is what the sandbox measured."""
    return {
        "job_id": str(run.pk),
        "status": run.status,
        "language": run.language,
        "session_id": str(run.session_id) if run.session_id else None,
        "user": _person(run.user),
        "revision": run.revision,
        "interactive": run.interactive,
        "exit_code": run.exit_code,
        "signal": run.signal or None,
        "truncated": run.truncated,
        "stats": run.stats,
        "limits": run.limits,
        "error_id": run.error_id or None,
        "cancelled_by": _person(run.cancelled_by),
        "created_at": _time(run.created_at),
        "started_at": _time(run.started_at),
        "finished_at": _time(run.finished_at),
    }


def _person(user: User | None) -> dict[str, str] | None:
    return {"id": str(user.pk), "username": user.username} if user else None


def _time(value: Any) -> str | None:
    return moment(value) if value else None


def announce_state(run: Run) -> None:
    """Tell the room the run's state, when the current transaction commits."""
    if run.session_id:
        events.announce_on_commit(run.session_id, {"type": "run.state", "run": summary(run)})


def announce_output(session_id: UUID, run_id: UUID, stream: str, offset: int, data: bytes) -> None:
    events.announce(
        session_id,
        {
            "type": "run.output",
            "job_id": str(run_id),
            "stream": stream,
            "offset": offset,
            "data_base64": base64.b64encode(data).decode(),
        },
    )


def announce_input(run: Run, user: User, text: str) -> None:
    if run.session_id:
        person: events.Person = {"id": str(user.pk), "username": user.username}
        events.announce_on_commit(
            run.session_id, {"type": "run.input", "job_id": str(run.pk), "user": person, "text": text}
        )


def ring_workers(run: Run) -> None:
    """Make the worker of this run read its row now rather than at its next look."""
    job_id = str(run.pk)
    transaction.on_commit(lambda: events.ring(WORKERS, {"type": "run.ring", "job_id": job_id}))
