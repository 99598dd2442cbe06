"""The end of a run: the one UPDATE to its final state, what others are told of it, and the metrics."""

from __future__ import annotations

import logging
import math
import uuid
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from activity.log import record
from execution import events, metrics
from execution.companion import held_row
from execution.judging import PASSED
from execution.models import Run, Status
from execution.sandbox.job import Outcome, sum_of_cases
from execution.sandbox.job import Status as FinalStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

logger = logging.getLogger(__name__)


def finish_with_outcome(claimed: Run, outcome: Outcome) -> None:
    """Bring a run to the final state that its sandbox found."""
    cases = list(claimed.cases.order_by("is_hidden", "number").values("is_hidden", "verdict", "truncated"))
    result = _result(claimed, outcome, cases)
    if claimed.told is not None:
        result["told"] = _told(claimed, outcome, cases)
    _finish(claimed, **result)


def _result(claimed: Run, outcome: Outcome, cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    message = {"message": outcome.message} if outcome.message else {}
    return {
        "status": outcome.status.value,
        "exit_code": outcome.exit_code,
        "signal": outcome.signal or "",
        "truncated": outcome.truncated or any(case["truncated"] for case in cases),
        "stats": claimed.stats | dict(outcome.stats) | message | _tally(cases),
    }


def _tally(cases: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    passed = sum(case["verdict"] == PASSED for case in cases)
    return {"cases": len(cases), "cases_passed": passed} if cases else {}


def _told(claimed: Run, outcome: Outcome, cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What others than the submitter are told: the result of the visible cases, and how many were passed in all.

    How long it takes may depend on a hidden input as well, so they hear of the end 1, 2, 4, 8, ... s after the start.
    """
    visible = [case for case in cases if not case["is_hidden"]]
    seen = sum_of_cases(outcome.cases[: len(visible)]) if outcome.cases else outcome
    told = _result(claimed, seen, visible)
    told["signal"] = told["signal"] or None
    told["seconds"] = 0
    if outcome.status is FinalStatus.CANCELLED:
        # What was passed by a moment that somebody chose would tell how long it took.
        told["status"] = Status.CANCELLED.value
        return told
    told["stats"] |= _tally(cases)
    if len(outcome.cases) > len(visible):
        taken = (timezone.now() - (claimed.started_at or timezone.now())).total_seconds()
        told["seconds"] = 1 << math.ceil(math.log2(max(taken, 1)))
    return told


def finish_with_error(claimed: Run, message: str, *, detail: str = "") -> None:
    """End a run for a fault of ours or of the host, with an id that the log has too; `detail` is for the log alone."""
    error_id = uuid.uuid4().hex
    logger.error("run %s ended in error %s: %s", claimed.pk, error_id, detail or message)
    _finish(claimed, status=Status.ERROR.value, error_id=error_id, stats=claimed.stats | {"message": message})


def _finish(claimed: Run, **final: Any) -> None:
    """The one UPDATE to a final state. Loses to the reaper if the lease was lost on the way."""
    with transaction.atomic():
        won = held_row(claimed).update(finished_at=timezone.now(), lease_expires_at=None, **final)
        if not won:
            logger.warning("run %s was taken from this worker before it ended", claimed.pk)
            return
        claimed.refresh_from_db()
        events.announce_state(claimed)
    announce_end(claimed)


def announce_end(ended: Run) -> None:
    """Metrics and activity of a run that reached its final state."""
    metrics.count_finished(
        ended.language,
        ended.status,
        run_seconds=_seconds(ended.started_at, ended.finished_at),
        queue_seconds=_seconds(ended.created_at, ended.started_at),
    )
    status = (ended.told or {}).get("status", ended.status)
    record(
        "run.finished",
        f"a {ended.language} run ended as {status}",
        user_id=ended.user_id,
        session_id=ended.session_id,
        metadata={"job_id": str(ended.pk), "status": status},
    )


def _seconds(begin: datetime | None, end: datetime | None) -> float | None:
    return (end - begin).total_seconds() if begin and end else None
