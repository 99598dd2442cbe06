"""Coding sessions, for moderators: who is in them and how busy they are. The text is read on the session's own page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin
from django.db.models import OuterRef
from django.urls import reverse
from django.utils.html import format_html

from activity.log import record
from codecrafter.http.admin import Counted, ReadOnlyAdmin, ReadOnlyInline, link
from sessions_app.models import CodeSession, Collaborator

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse


class ArchivedFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("active", "Active"), ("archived", "Archived")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "active":
            return queryset.active()
        return queryset.archived() if self.value() == "archived" else queryset


class CollaboratorInline(ReadOnlyInline):
    model = Collaborator
    fields = readonly_fields = ("person", "permission", "added_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Collaborator]:
        people: QuerySet[Collaborator] = super().get_queryset(request)
        return people.select_related("user")

    @admin.display(description="user")
    def person(self, collaborator: Collaborator) -> str:
        return link("accounts_user", collaborator.user_id, collaborator.user.username)


@admin.register(CodeSession)
class CodeSessionAdmin(ReadOnlyAdmin):
    list_display = ("title", "owner_link", "language", "is_public", "people", "run_count", "updated_at", "archived_at")
    list_filter = (ArchivedFilter, "is_public", "language", "created_at")
    list_select_related = ("owner",)
    search_fields = ("title", "owner__username", "owner__email", "=id")
    date_hierarchy = "created_at"
    ordering = ("-updated_at",)
    fields = (
        "id",
        "title",
        "owner_link",
        "language",
        "is_public",
        "people",
        "runs",
        "metadata",
        "version",
        "created_at",
        "updated_at",
        "archived_at",
    )
    inlines = (CollaboratorInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[CodeSession]:
        people = Collaborator.objects.filter(session=OuterRef("pk"))
        # By name: the app above this one is not imported here.
        runs = apps.get_model("execution", "Run").objects.filter(session=OuterRef("pk"))
        sessions: QuerySet[CodeSession] = super().get_queryset(request).select_related("owner")
        return sessions.annotate(people_count=Counted(people.order_by()), runs_count=Counted(runs.order_by()))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().change_view(request, object_id, form_url, extra_context)
        if response.status_code == 200:
            record(
                "moderation.session_viewed",
                f"{request.user.get_username()} looked at a session in the admin",
                user_id=request.user.pk,
                session_id=object_id,
            )
        return response

    def view_on_site(self, session: CodeSession) -> str:
        return reverse("sessions_app:session-detail", args=[session.pk])

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
