"""Runs and dead letters, for moderators: what ran, what came out, and the two things to do about it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.utils.html import format_html, format_html_join

from accounts.models import User
from activity.log import record
from codecrafter.http.admin import ACTION_MAX_ROWS, ReadOnlyAdmin, link, too_many
from execution import actions
from execution.models import ACTIVE, DeadLetter, Run, Stream, joined

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

# Of each file and stream; the rest is on the run's own page and over REST.
SHOWN_BYTES = 64 * 1024


def _shown(data: bytes) -> str:
    """Bytes that a stranger chose, as escaped text."""
    text = data[:SHOWN_BYTES].decode(errors="replace")
    cut = format_html("<p>The first {} KiB are shown.</p>", SHOWN_BYTES // 1024) if len(data) > SHOWN_BYTES else ""
    return format_html("<pre>{}</pre>{}", text, cut) if data else "-"


def _seconds(earlier: Any, later: Any) -> str:
    return f"{(later - earlier).total_seconds():.2f} s" if earlier and later else "-"


class DoneFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("active", "Waiting or running"), ("over", "Over")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "active":
            return queryset.active()
        return queryset.exclude(status__in=ACTIVE) if self.value() == "over" else queryset


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ("id", "status", "language", "user_link", "session_link", "waited", "took", "worker", "created_at")
    list_filter = (DoneFilter, "status", "language", "interactive", "created_at")
    list_select_related = ("user", "session")
    search_fields = ("=id", "user__username", "session__title", "=worker", "=error_id")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    actions = ("cancel",)
    fieldsets = (
        (None, {"fields": ("id", "status", "language", "user_link", "session_link", "revision", "interactive")}),
        ("Result", {"fields": ("exit_code", "signal", "truncated", "error_id", "cancelled_by", "measured")}),
        ("Progress", {"fields": ("attempt", "worker", "waited", "took", "created_at", "started_at", "finished_at")}),
        ("Input", {"fields": ("args", "wanted_limits", "sent_files", "sent_stdin")}),
        ("Output", {"fields": ("stdout", "stderr", "compile_output")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        runs: QuerySet[Run] = super().get_queryset(request)
        return runs.select_related("user", "session", "cancelled_by").defer("stdin")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().change_view(request, object_id, form_url, extra_context)
        if response.status_code == 200:
            record(
                "moderation.run_viewed",
                f"{request.user.get_username()} looked at a run in the admin",
                user_id=request.user.pk,
                session_id=Run.objects.filter(pk=object_id).values_list("session_id", flat=True).first(),
                metadata={"job_id": object_id},
            )
        return response

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("execution.cancel_run"))

    @admin.action(description="Cancel the selected runs", permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        selected = list(queryset[: ACTION_MAX_ROWS + 1])
        if len(selected) > ACTION_MAX_ROWS:
            self.message_user(request, too_many(queryset.count()), messages.ERROR)
            return
        assert isinstance(request.user, User)
        over = sum(run.is_final for run in selected)
        for run in selected:
            if not run.is_final:
                actions.cancel_run(run, by=request.user)
        told = f"{len(selected) - over} cancelled" + (f", {over} were already over" if over else "")
        self.message_user(request, f"{told}.")

    @admin.display(description="user", ordering="user__username")
    def user_link(self, run: Run) -> str:
        return link("accounts_user", run.user_id, run.user)

    @admin.display(description="session", ordering="session__title")
    def session_link(self, run: Run) -> str:
        return link("sessions_app_codesession", run.session_id, run.session)

    @admin.display
    def waited(self, run: Run) -> str:
        return _seconds(run.created_at, run.started_at)

    @admin.display
    def took(self, run: Run) -> str:
        return _seconds(run.started_at, run.finished_at)

    @admin.display(description="stats")
    def measured(self, run: Run) -> str:
        return format_html("<pre>{}</pre>", json.dumps(run.stats, indent=2))

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
        pieces = run.output.filter(stream=stream, offset__lte=SHOWN_BYTES).order_by("offset")
        return _shown(joined(pieces, stream))


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnlyAdmin):
    list_display = ("run_link", "language", "reason", "created_at", "requeued_at")
    list_display_links = ("reason",)
    list_filter = (("requeued_at", admin.EmptyFieldListFilter), "run__language", "created_at")
    list_select_related = ("run",)
    search_fields = ("=run__id", "reason", "run__user__username")
    date_hierarchy = "created_at"
    actions = ("requeue",)
    fields = ("run_link", "language", "reason", "created_at", "requeued_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        letters: QuerySet[DeadLetter] = super().get_queryset(request)
        return letters.select_related("run").defer("run__stdin")

    def has_requeue_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("execution.requeue_deadletter"))

    @admin.action(description="Requeue the selected runs", permissions=["requeue"])
    def requeue(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> None:
        selected = list(queryset[: ACTION_MAX_ROWS + 1])
        if len(selected) > ACTION_MAX_ROWS:
            self.message_user(request, too_many(queryset.count()), messages.ERROR)
            return
        assert isinstance(request.user, User)
        requeued = sum(actions.requeue(letter, by=request.user) for letter in selected)
        left = len(selected) - requeued
        self.message_user(request, f"{requeued} requeued" + (f", {left} were not waiting for it." if left else "."))

    @admin.display(description="run")
    def run_link(self, letter: DeadLetter) -> str:
        return link("execution_run", letter.run_id, letter.run_id)

    @admin.display(ordering="run__language")
    def language(self, letter: DeadLetter) -> str:
        return letter.run.language
