"""Which runs are kept: those of RUN_DAYS, and of each person the newest, up to QUOTA_RUNS and QUOTA_RUN_BYTES."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings
from django.db.models import Model, Q, QuerySet, Sum
from django.db.models.functions import Coalesce, Length
from django.utils import timezone

from accounts.privacy import Quota
from execution.models import Run, RunFile, RunInput, RunOutput, TestCase

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from accounts.models import User

_STORED: tuple[tuple[type[Model], str, tuple[str, ...]], ...] = (
    (Run, "pk", ("stdin",)),
    (RunFile, "run", ("content",)),
    (RunInput, "run", ("data",)),
    (RunOutput, "run", ("data",)),
    (TestCase, "run", ("stdin", "expected", "stdout", "stderr")),
)
# Short transactions: on SQLite nobody else writes meanwhile.
_DELETED_AT_ONCE = 200
# Whose runs are counted: those who ran something since the last look, which is every minute.
_LATELY = timedelta(minutes=5)


class Usage(NamedTuple):
    runs: int
    bytes: int


def usage_of(person_id: UUID) -> Usage:
    """How many runs are kept of a person and their bots, and the bytes of what went in and came out."""
    runs = _runs_of(person_id)
    return Usage(runs.count(), sum(_sizes(runs).values()))


def meter(user: User) -> list[Quota]:
    usage = usage_of(user.bot_of_id or user.pk)
    return [
        Quota("runs", "Runs, of which the oldest go first", usage.runs, settings.QUOTA_RUNS),
        Quota("run_bytes", "Programs, input and output of runs", usage.bytes, settings.QUOTA_RUN_BYTES, is_bytes=True),
    ]


def forget_old_runs() -> None:
    """Periodic: delete runs that ended more than settings.RUN_DAYS days ago; 0 keeps everything."""
    if settings.RUN_DAYS:
        oldest = timezone.now() - timedelta(days=settings.RUN_DAYS)
        _delete(Run.objects.filter(finished_at__lt=oldest))


def forget_surplus_runs() -> None:
    """Periodic: of people who ran something lately, delete the oldest runs past what one person may keep."""
    lately = Run.objects.filter(created_at__gt=timezone.now() - _LATELY).exclude(user=None)
    people = set(lately.annotate(person=Coalesce("user__bot_of", "user")).values_list("person", flat=True))
    for person_id in people:
        surplus = list(_surplus(person_id))
        for start in range(0, len(surplus), _DELETED_AT_ONCE):
            Run.objects.filter(pk__in=surplus[start : start + _DELETED_AT_ONCE]).delete()


def _surplus(person_id: UUID) -> Iterator[UUID]:
    runs = _runs_of(person_id)
    sizes = _sizes(runs) if settings.QUOTA_RUN_BYTES else {}
    kept_bytes = 0
    newest_first = runs.order_by("-created_at", "-pk").values_list("pk", "finished_at")
    for number, (run_id, finished_at) in enumerate(newest_first.iterator(), 1):
        kept_bytes += sizes.get(run_id, 0)
        is_one_too_many = 0 < settings.QUOTA_RUNS < number
        is_too_large = 0 < settings.QUOTA_RUN_BYTES < kept_bytes
        if finished_at is not None and (is_one_too_many or is_too_large):
            yield run_id


def _runs_of(person_id: UUID) -> QuerySet[Run]:
    return Run.objects.filter(Q(user=person_id) | Q(user__bot_of=person_id)).order_by()


def _sizes(runs: QuerySet[Run]) -> dict[UUID, int]:
    sizes: dict[UUID, int] = {}
    for table, run, columns in _STORED:
        size = Sum(sum((Length(column) for column in columns[1:]), Length(columns[0])))
        rows = table._default_manager.filter(**{f"{run}__in": runs}).order_by()
        for run_id, found in rows.values_list(run).annotate(size=size):
            sizes[run_id] = sizes.get(run_id, 0) + found
    return sizes


def _delete(runs: QuerySet[Run]) -> None:
    while ids := list(runs.values_list("pk", flat=True)[:_DELETED_AT_ONCE]):
        Run.objects.filter(pk__in=ids).delete()
