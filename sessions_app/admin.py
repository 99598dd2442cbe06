"""Coding sessions, for moderators: who is in them and how busy they are. The text is read on the session's own page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin, messages
from django.db.models import OuterRef
from django.urls import reverse
from django.utils.html import format_html

from accounts.models import User
from activity.log import record
from codecrafter.http.admin import ACTION_MAX_ROWS, Counted, ReadOnlyAdmin, ReadOnlyInline, link, too_many
from sessions_app import actions
from sessions_app.models import ChatMessage, CodeSession, Collaborator

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


class RemovedFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("shown", "Shown"), ("removed", "Removed")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "shown":
            return queryset.shown()
        return queryset.exclude(removed_at=None) if self.value() == "removed" else queryset


@admin.register(ChatMessage)
class ChatMessageAdmin(ReadOnlyAdmin):
    list_display = ("beginning", "user_link", "session_link", "created_at", "removed_at")
    list_filter = (RemovedFilter, "created_at")
    list_select_related = ("user", "session")
    search_fields = ("text", "user__username", "=id", "=session__id")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    actions = ("remove",)
    fields = ("id", "user_link", "session_link", "text", "created_at", "removed_at", "removed_by")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChatMessage]:
        found: QuerySet[ChatMessage] = super().get_queryset(request)
        return found.select_related("user", "session", "removed_by")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().change_view(request, object_id, form_url, extra_context)
        if response.status_code == 200:
            record(
                "moderation.chat_viewed",
                f"{request.user.get_username()} looked at a chat message in the admin",
                user_id=request.user.pk,
                session_id=ChatMessage.objects.filter(pk=object_id).values_list("session_id", flat=True).first(),
                metadata={"message": object_id},
            )
        return response

    def has_remove_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("sessions_app.remove_chatmessage"))

    @admin.action(description="Remove the selected messages", permissions=["remove"])
    def remove(self, request: HttpRequest, queryset: QuerySet[ChatMessage]) -> None:
        selected = list(queryset[: ACTION_MAX_ROWS + 1])
        if len(selected) > ACTION_MAX_ROWS:
            self.message_user(request, too_many(queryset.count()), messages.ERROR)
            return
        assert isinstance(request.user, User)
        removed = sum(actions.remove_message(message, request.user) for message in selected)
        gone = len(selected) - removed
        self.message_user(request, f"{removed} removed" + (f", {gone} already were" if gone else "") + ".")

    @admin.display(description="text")
    def beginning(self, message: ChatMessage) -> str:
        return str(message)

    @admin.display(description="user", ordering="user__username")
    def user_link(self, message: ChatMessage) -> str:
        return link("accounts_user", message.user_id, message.user)

    @admin.display(description="session", ordering="session__title")
    def session_link(self, message: ChatMessage) -> str:
        return link("sessions_app_codesession", message.session_id, message.session)
