"""What the room is told of a run, and the run's JSON that REST and room share."""

from __future__ import annotations

import base64
import threading
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from sessions_app import events
from web.times import moment

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from accounts.models import User
    from execution.models import Run
    from sessions_app import messages

# Every worker listens to this group; a message names a run whose row has news (a cancellation or input).
WORKERS = "workers"


def summary(run: Run, reader: User | None = None, at: datetime | None = None) -> dict[str, Any]:
    """A run without its output, for `reader` or for the room, as it is told `at` a time, which is now.

    Times are ISO 8601 in UTC; `stats` is what the sandbox measured.
    """
    body = {
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
    if run.told is None or (reader is not None and reader.pk == run.user_id):
        return body
    return body | _told(run, at or timezone.now())


def _told(run: Run, at: datetime) -> dict[str, Any]:
    """What a run with hidden cases shows to others instead of its result."""
    if run.told_at is not None and at < run.told_at:
        hidden = {"exit_code": None, "signal": None, "truncated": False, "finished_at": None}
        return {"status": "running", "stats": {"queue_ms": run.stats.get("queue_ms")}, **hidden}
    told = {name: value for name, value in (run.told or {}).items() if name != "seconds"}
    return told | ({"finished_at": _time(run.told_at)} if run.told_at else {})


def _person(user: User | None) -> dict[str, str] | None:
    return {"id": str(user.pk), "username": user.username} if user else None


def _time(value: Any) -> str | None:
    return moment(value) if value else None


def announce_state(run: Run) -> None:
    """Tell the room the run's state, when the current transaction commits, or when it may be told."""
    if run.session_id is None:
        return
    wait = (run.told_at - timezone.now()).total_seconds() if run.told_at else 0
    message: messages.RunState = {"type": "run.state", "run": summary(run, at=run.told_at)}
    if wait <= 0:
        events.announce_on_commit(run.session_id, message)
        return
    later = threading.Timer(wait, events.announce, (run.session_id, message))
    later.daemon = True
    transaction.on_commit(later.start)


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
        person: messages.Person = {"id": str(user.pk), "username": user.username}
        events.announce_on_commit(
            run.session_id, {"type": "run.input", "job_id": str(run.pk), "user": person, "text": text}
        )


def ring_workers(run: Run) -> None:
    """Make the worker of this run read its row now rather than at its next look."""
    job_id = str(run.pk)
    transaction.on_commit(lambda: events.ring(WORKERS, {"type": "run.ring", "job_id": job_id}))
