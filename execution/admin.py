"""Runs, dead letters and languages, for moderators: what ran, what came out, and what to do about it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import F, OuterRef
from django.db.models.functions import Coalesce, Now
from django.utils import timezone
from django.utils.html import format_html, format_html_join

import languages
from activity import audit
from execution import actions
from execution.events import summary
from execution.models import ACTIVE, AvailableLanguage, DeadLetter, Run, Status, Stream
from execution.output import read_stream
from web.admin import Button, Choice, Counted, DeskAdmin, NoQuestions, Reason, link

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.db.models import QuerySet
    from django.http import HttpRequest

    from accounts.models import User

# Of each file and stream; the rest is on the run's own page and over REST.
SHOWN_BYTES = 64 * 1024


def _shown(data: bytes) -> str:
    """Bytes that a stranger chose, as escaped text."""
    text = data[:SHOWN_BYTES].decode(errors="replace")
    cut = format_html("<p>The first {} KiB are shown.</p>", SHOWN_BYTES // 1024) if len(data) > SHOWN_BYTES else ""
    return format_html("<pre>{}</pre>{}", text, cut) if data else "-"


def _seconds(earlier: Any, later: Any) -> str:
    return f"{(later - earlier).total_seconds():.2f} s" if earlier and later else "-"


class StateFilter(Choice):
    title = "state"
    parameter_name = "state"
    states = {
        "running": ("Runs now", lambda runs: runs.filter(status=Status.RUNNING)),
        "waiting": ("Waits", lambda runs: runs.filter(status=Status.QUEUED)),
        "active": ("Waits or runs", lambda runs: runs.active()),
        "over": ("Over", lambda runs: runs.exclude(status__in=ACTIVE)),
    }


def _lasting(least: int, most: int | None) -> Callable[[Any], Any]:
    """Runs that took at least so many seconds and less than so many; what runs now counts as far as it got."""

    def chosen(runs: Any) -> Any:
        runs = runs.annotate(lasted=Coalesce("finished_at", Now()) - F("started_at"))
        runs = runs.filter(started_at__isnull=False, lasted__gte=timedelta(seconds=least))
        return runs.filter(lasted__lt=timedelta(seconds=most)) if most else runs

    return chosen


class DurationFilter(Choice):
    title = "duration"
    parameter_name = "duration"
    states = {
        "1": ("Under 1 s", _lasting(0, 1)),
        "10": ("1 to 10 s", _lasting(1, 10)),
        "60": ("10 to 60 s", _lasting(10, 60)),
        "long": ("A minute and more", _lasting(60, None)),
    }


def _cancel(run: Run, by: User, given: Mapping[str, Any]) -> bool:
    if run.is_final:
        return False
    actions.cancel_run(run, by, given["reason"])
    return True


@admin.register(Run)
class RunAdmin(DeskAdmin):
    list_display = (
        "short_id",
        "status",
        "language",
        "user_link",
        "session_link",
        "waited",
        "took",
        "worker",
        "created_at",
    )
    list_filter = (StateFilter, DurationFilter, "status", "language", "interactive", "created_at")
    list_select_related = ("user", "session")
    search_fields = ("=id", "user__username", "session__title", "=worker", "=error_id")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    buttons = (
        Button(
            "cancel",
            "Cancel",
            "execution.cancel_run",
            "What waits will not run; what runs is stopped. What it printed is kept.",
            _cancel,
            "cancelled",
            "already over",
            fits=lambda run: not run.is_final,
            is_destructive=True,
        ),
    )
    fieldsets = (
        (None, {"fields": ("id", "status", "language", "user_link", "session_link", "revision", "interactive")}),
        ("Result", {"fields": ("result", "error_id", "cancelled_by")}),
        ("Progress", {"fields": ("attempt", "worker", "waited", "took", "created_at", "started_at", "finished_at")}),
        ("Input", {"fields": ("args", "wanted_limits", "sent_files", "sent_stdin")}),
        ("Output", {"fields": ("stdout", "stderr", "compile_output")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        runs: QuerySet[Run] = super().get_queryset(request)
        return runs.select_related("user", "session", "cancelled_by").defer("stdin", "args")

    def looked_at(self, request: HttpRequest, what: str) -> None:
        assert request.user.pk is not None
        audit.note_look(request.user.pk, "run", what, {"where": "admin"})

    @admin.display(description="run", ordering="id")
    def short_id(self, run: Run) -> str:
        return str(run.pk)[:8]

    @admin.display
    def waited(self, run: Run) -> str:
        return _seconds(run.created_at, run.started_at)

    @admin.display
    def took(self, run: Run) -> str:
        """So far, while it runs."""
        return _seconds(run.started_at, timezone.now() if run.status == Status.RUNNING else run.finished_at)

    @admin.display
    def result(self, run: Run) -> str:
        """As everybody is told it, hidden test cases or not."""
        told = summary(run)
        shown = {name: told[name] for name in ("status", "exit_code", "signal", "truncated", "stats")}
        return format_html("<pre>{}</pre>", json.dumps(shown, indent=2))

    @admin.display(description="limits")
    def wanted_limits(self, run: Run) -> str:
        return format_html("<pre>{}</pre>", json.dumps(run.limits, indent=2))

    @admin.display(description="files")
    def sent_files(self, run: Run) -> str:
        files = ((file.path, _shown(bytes(file.content))) for file in run.files.all())
        return format_html_join("", "<p><strong>{}</strong></p>{}", files)

    @admin.display(description="stdin")
    def sent_stdin(self, run: Run) -> str:
        return _shown(bytes(run.stdin))

    @admin.display
    def stdout(self, run: Run) -> str:
        return self._output(run, Stream.STDOUT)

    @admin.display
    def stderr(self, run: Run) -> str:
        return self._output(run, Stream.STDERR)

    @admin.display
    def compile_output(self, run: Run) -> str:
        return self._output(run, Stream.COMPILE)

    def _output(self, run: Run, stream: Stream) -> str:
        return _shown(read_stream(run, stream, 0)[0])


@admin.register(DeadLetter)
class DeadLetterAdmin(DeskAdmin):
    list_display = ("run_link", "language", "reason", "created_at", "requeued_at")
    list_display_links = ("reason",)
    list_filter = (("requeued_at", admin.EmptyFieldListFilter), "run__language", "created_at")
    list_select_related = ("run",)
    search_fields = ("=run__id", "reason", "run__user__username")
    date_hierarchy = "created_at"
    buttons = (
        Button(
            "requeue",
            "Requeue",
            "execution.requeue_deadletter",
            "The run gets three more attempts.",
            lambda letter, by, given: actions.requeue(letter, by=by),
            "requeued",
            "not waiting for it",
            NoQuestions,
            fits=lambda letter: letter.requeued_at is None,
        ),
    )
    fields = ("run_link", "language", "reason", "created_at", "requeued_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        letters: QuerySet[DeadLetter] = super().get_queryset(request)
        return letters.select_related("run").defer("run__stdin", "run__args")

    @admin.display(description="run")
    def run_link(self, letter: DeadLetter) -> str:
        return link("execution_run", letter.run_id, letter.run_id)

    @admin.display(ordering="run__language")
    def language(self, letter: DeadLetter) -> str:
        return letter.run.language


@admin.register(AvailableLanguage)
class AvailableLanguageAdmin(DeskAdmin):
    """The languages that a worker can run here, and those that were switched off."""

    list_display = ("name", "version", "state", "checked_at", "runs_today")
    list_filter = (("switched_off_at", admin.EmptyFieldListFilter),)
    search_fields = ("key", "version")
    ordering = ("key",)
    fields = ("name", "key", "version", "state", "fault", "checked_at", "switched_off_at", "switched_off_reason")
    buttons = (
        Button(
            "switch_off",
            "Switch off",
            "execution.switch_availablelanguage",
            "Nobody starts programs in it any more. What waits or runs is not touched.",
            lambda row, by, given: actions.switch_language(row.key, by=by, is_on=False, reason=given["reason"]),
            "switched off",
            "already were",
            Reason,
            fits=lambda row: row.switched_off_at is None,
            is_destructive=True,
        ),
        Button(
            "switch_on",
            "Switch on",
            "execution.switch_availablelanguage",
            "Everybody may use it again.",
            lambda row, by, given: actions.switch_language(row.key, by=by, is_on=True, reason=given["reason"]),
            "switched on",
            "already were",
            fits=lambda row: row.switched_off_at is not None,
        ),
        Button(
            "test",
            "Run the self-test",
            "execution.switch_availablelanguage",
            "A worker runs the language's own programs in a sandbox. The result stands here in a few seconds; a fault "
            "makes the language unavailable.",
            lambda row, by, given: actions.test_language(row.key, by=by),
            "sent to a worker",
            "not sent: the broker does not answer",
            NoQuestions,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[AvailableLanguage]:
        since = timezone.now() - timedelta(days=1)
        runs = Run.objects.filter(language=OuterRef("key"), created_at__gte=since)
        rows: QuerySet[AvailableLanguage] = super().get_queryset(request)
        return rows.annotate(runs_count=Counted(runs.order_by()))

    @admin.display(ordering="key")
    def name(self, row: AvailableLanguage) -> str:
        known = languages.LANGUAGES.get(row.key)
        return known.name if known else row.key

    @admin.display(description="state")
    def state(self, row: AvailableLanguage) -> str:
        return "Switched off" if row.switched_off_at else "Faulty" if row.fault else "Available"

    @admin.display(description="runs in 24 h", ordering="runs_count")
    def runs_today(self, row: Any) -> int:
        return int(row.runs_count)
