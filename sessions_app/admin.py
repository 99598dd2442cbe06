"""The moderators' pages for sessions, chat and reports. The text itself is on the session's own page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin
from django.db.models import OuterRef
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import Truncator

from activity import audit
from sessions_app import actions, moderation
from sessions_app.models import ChatMessage, CodeSession, Collaborator, Report
from web.admin import (
    Button,
    Choice,
    Counted,
    DeskAdmin,
    NoQuestions,
    OptionalReason,
    ReadOnlyInline,
    Reason,
    ToldReason,
    link,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet
    from django.http import HttpRequest

MODERATE = "sessions_app.moderate_codesession"


def _moderating(verb: Callable[..., bool]) -> Callable[[Any, Any, Any], bool]:
    return lambda session, by, given: verb(session, by=by, reason=given["reason"])


class StateFilter(Choice):
    title = "state"
    parameter_name = "state"
    states = {
        "active": ("Active", lambda sessions: sessions.active()),
        "locked": ("Locked", lambda sessions: sessions.exclude(locked_at=None)),
        "frozen": ("Runs frozen", lambda sessions: sessions.exclude(frozen_at=None)),
        "archived": ("Archived", lambda sessions: sessions.archived()),
        "closed": ("Closed by a moderator", lambda sessions: sessions.exclude(closed_at=None)),
        "reported": (
            "With open reports",
            lambda sessions: sessions.filter(
                pk__in=Report.objects.filter(state=Report.State.OPEN).values("session_id")
            ),
        ),
    }


class CollaboratorInline(ReadOnlyInline):
    model = Collaborator
    fields = readonly_fields = ("person", "permission", "added_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Collaborator]:
        people: QuerySet[Collaborator] = super().get_queryset(request)
        return people.select_related("user")

    @admin.display(description="user")
    def person(self, collaborator: Collaborator) -> str:
        return link("accounts_user", collaborator.user_id, collaborator.user.username)


class ReportInline(ReadOnlyInline):
    model = Report
    fields = readonly_fields = ("created_at", "by", "reason", "state", "answer")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Report]:
        reports: QuerySet[Report] = super().get_queryset(request)
        return reports.select_related("reporter")

    @admin.display(description="reported by")
    def by(self, report: Report) -> str:
        return link("accounts_user", report.reporter_id, report.reporter)


@admin.register(CodeSession)
class CodeSessionAdmin(DeskAdmin):
    list_display = ("title", "owner_link", "language", "state", "is_public", "people", "run_count", "updated_at")
    list_filter = (StateFilter, "is_public", "language", "created_at")
    list_select_related = ("owner",)
    search_fields = ("title", "owner__username", "owner__email", "=id")
    date_hierarchy = "created_at"
    ordering = ("-updated_at",)
    fieldsets = (
        (None, {"fields": ("id", "title", "owner_link", "language", "is_public", "people", "runs", "more")}),
        (
            "Moderation",
            {
                "fields": (
                    "state",
                    "locked_at",
                    "lock_reason",
                    "frozen_at",
                    "freeze_reason",
                    "closed_at",
                    "close_reason",
                )
            },
        ),
        ("History", {"fields": ("metadata", "version", "created_at", "updated_at", "archived_at")}),
    )
    inlines = (CollaboratorInline, ReportInline)
    buttons = (
        Button(
            "observe",
            "Open as an observer",
            MODERATE,
            "You see the text, the chat and the runs, but cannot change anything. The people in the session see that "
            "you are there, and the audit trail records your visit.",
            _moderating(moderation.observe_session),
            "opened",
            "not opened",
            fits=lambda session: session.archived_at is None,
            opens=lambda session: reverse("sessions_app:session-detail", args=[session.pk]),
        ),
        Button(
            "lock",
            "Lock",
            MODERATE,
            "Everybody can read, nobody can change anything, even on open pages. Programs do not start.",
            _moderating(moderation.lock_session),
            "locked",
            "unchanged",
            ToldReason,
            fits=lambda session: session.locked_at is None,
        ),
        Button(
            "unlock",
            "Unlock",
            MODERATE,
            "Everybody can again do what their permission allows.",
            _moderating(moderation.unlock_session),
            "unlocked",
            "not locked",
            fits=lambda session: session.locked_at is not None,
        ),
        Button(
            "freeze",
            "Freeze runs",
            MODERATE,
            "Running programs are stopped, and none can start. The text can still be edited.",
            _moderating(moderation.freeze_session),
            "frozen",
            "unchanged",
            ToldReason,
            fits=lambda session: session.frozen_at is None,
        ),
        Button(
            "unfreeze",
            "Allow runs",
            MODERATE,
            "Programs can be started again.",
            _moderating(moderation.unfreeze_session),
            "unfrozen",
            "not frozen",
            fits=lambda session: session.frozen_at is not None,
        ),
        Button(
            "close",
            "Close",
            MODERATE,
            "Pages close, programs stop, and nobody can find it. Nothing is deleted. Only a moderator can restore it.",
            _moderating(moderation.close_session),
            "closed",
            "unchanged",
            Reason,
            fits=lambda session: session.closed_at is None,
            is_destructive=True,
        ),
        Button(
            "reopen",
            "Restore",
            MODERATE,
            "The people in it have it back as it was.",
            _moderating(moderation.reopen_session),
            "restored",
            "not archived",
            fits=lambda session: session.archived_at is not None,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[CodeSession]:
        people = Collaborator.objects.filter(session=OuterRef("pk"))
        # By name: the app above this one is not imported here.
        runs = apps.get_model("execution", "Run").objects.filter(session=OuterRef("pk"))
        sessions: QuerySet[CodeSession] = super().get_queryset(request).select_related("owner")
        return sessions.annotate(people_count=Counted(people.order_by()), runs_count=Counted(runs.order_by()))

    def looked_at(self, request: HttpRequest, what: str) -> None:
        assert request.user.pk is not None
        audit.note_look(request.user.pk, "session", what, {"where": "admin"})

    @admin.display(description="state")
    def state(self, session: CodeSession) -> str:
        words = [
            words
            for at, words in (
                (session.closed_at, "closed"),
                (session.archived_at if session.closed_at is None else None, "archived"),
                (session.locked_at, "locked"),
                (session.frozen_at, "runs frozen"),
            )
            if at is not None
        ]
        return (", ".join(words) or "active").capitalize()

    @admin.display(description="owner", ordering="owner__username")
    def owner_link(self, session: CodeSession) -> str:
        return link("accounts_user", session.owner_id, session.owner.username)

    @admin.display(description="people", ordering="people_count")
    def people(self, session: Any) -> int:
        return int(session.people_count) + 1

    @admin.display(description="runs", ordering="runs_count")
    def run_count(self, session: Any) -> int:
        return int(session.runs_count)

    @admin.display(description="runs")
    def runs(self, session: Any) -> str:
        listed = reverse("admin:execution_run_changelist") + f"?session__id__exact={session.pk}"
        return format_html('<a href="{}">{}</a>', listed, session.runs_count)

    @admin.display(description="more")
    def more(self, session: CodeSession) -> str:
        return format_html(
            '<a href="{}?session__id__exact={}">Chat</a> · <a href="{}?session_id={}">Activity</a> · '
            '<a href="{}?q={}">Audit trail</a>',
            reverse("admin:sessions_app_chatmessage_changelist"),
            session.pk,
            reverse("admin:activity_activity_changelist"),
            session.pk,
            reverse("admin:activity_auditentry_changelist"),
            session.pk,
        )


class RemovedFilter(Choice):
    title = "state"
    parameter_name = "state"
    states = {
        "shown": ("Shown", lambda said: said.shown()),
        "removed": ("Removed", lambda said: said.exclude(removed_at=None)),
    }


@admin.register(ChatMessage)
class ChatMessageAdmin(DeskAdmin):
    list_display = ("beginning", "user_link", "session_link", "created_at", "removed_at")
    list_filter = (RemovedFilter, "created_at")
    list_select_related = ("user", "session")
    list_shows_content = True
    search_fields = ("text", "user__username", "=id", "=session__id")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    fields = ("id", "user_link", "session_link", "text", "created_at", "removed_at", "removed_by")
    buttons = (
        Button(
            "remove",
            "Remove",
            "sessions_app.remove_chatmessage",
            "Only moderators can still see it.",
            lambda message, by, given: actions.remove_message(message, by),
            "removed",
            "unchanged",
            NoQuestions,
            fits=lambda message: message.removed_at is None,
            is_destructive=True,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChatMessage]:
        found: QuerySet[ChatMessage] = super().get_queryset(request)
        return found.select_related("user", "session", "removed_by")

    def looked_at(self, request: HttpRequest, what: str) -> None:
        assert request.user.pk is not None
        audit.note_look(request.user.pk, "chat", what, {"where": "admin"})

    @admin.display(description="text")
    def beginning(self, message: ChatMessage) -> str:
        return str(message)


def _settling(state: Report.State) -> Callable[[Any, Any, Any], bool]:
    return lambda report, by, given: moderation.settle_report(report, state, by=by, answer=given["reason"])


def _is_open(report: Report) -> bool:
    return report.state == Report.State.OPEN


@admin.register(Report)
class ReportAdmin(DeskAdmin):
    """The queue of reports. Open ones are listed oldest first."""

    list_display = ("beginning", "state", "session_link", "owner_link", "reporter_link", "created_at", "settled_at")
    list_filter = ("state", "created_at")
    list_select_related = ("session__owner", "reporter")
    search_fields = ("reason", "session__title", "reporter__username", "session__owner__username", "=session__id")
    date_hierarchy = "created_at"
    fields = (
        "id",
        "state",
        "reason",
        "session_link",
        "owner_link",
        "reporter_link",
        "created_at",
        "settled_at",
        "settler_link",
        "answer",
    )
    buttons = (
        Button(
            "resolve",
            "Resolve",
            "sessions_app.settle_report",
            "For reports that were acted upon. Tell the other moderators what was done.",
            _settling(Report.State.RESOLVED),
            "resolved",
            "already settled",
            OptionalReason,
            fits=_is_open,
        ),
        Button(
            "dismiss",
            "Dismiss",
            "sessions_app.settle_report",
            "For reports that need no action.",
            _settling(Report.State.DISMISSED),
            "dismissed",
            "already settled",
            OptionalReason,
            fits=_is_open,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Report]:
        reports: QuerySet[Report] = super().get_queryset(request)
        return reports.select_related("session__owner", "reporter", "settled_by")

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return ("created_at",) if request.GET.get("state__exact") == Report.State.OPEN else ("-created_at",)

    @admin.display(description="report")
    def beginning(self, report: Report) -> str:
        return Truncator(report.reason).chars(100)

    @admin.display(description="owner", ordering="session__owner__username")
    def owner_link(self, report: Report) -> str:
        return link("accounts_user", report.session.owner_id, report.session.owner)

    @admin.display(description="reported by", ordering="reporter__username")
    def reporter_link(self, report: Report) -> str:
        return link("accounts_user", report.reporter_id, report.reporter)

    @admin.display(description="settled by")
    def settler_link(self, report: Report) -> str:
        return link("accounts_user", report.settled_by_id, report.settled_by)
