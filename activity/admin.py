"""The activity log, for moderators: Django's list where it is in SQL, a list of our own where it is in MongoDB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.template.response import TemplateResponse

from activity.entries import as_uuid
from activity.errors import ActivityOffline
from activity.log import store
from activity.models import Activity
from codecrafter.http.admin import ReadOnlyAdmin, link

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@admin.register(Activity)
class ActivityAdmin(ReadOnlyAdmin):
    list_display = ("timestamp", "level", "action", "message", "user", "session")
    list_filter = ("level", "action", "timestamp")
    search_fields = ("message", "action", "=user_id", "=session_id")
    date_hierarchy = "timestamp"
    fields = ("timestamp", "level", "action", "message", "user", "session", "metadata")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if settings.MONGODB_URL:
            return self._entries(request)
        return super().changelist_view(request, extra_context)

    def _entries(self, request: HttpRequest) -> HttpResponse:
        """A page of the store's entries; by person and session, because it has indexes for these."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        wanted = {name: request.GET.get(name, "").strip() for name in ("user_id", "session_id", "before")}
        entries, problem = [], ""
        try:
            entries = store().recent(
                user_id=as_uuid(wanted["user_id"] or None),
                session_id=as_uuid(wanted["session_id"] or None),
                limit=self.list_per_page,
                before=wanted["before"] or None,
            )
        except ActivityOffline:
            problem = "The activity log does not answer. Nothing else depends on it; try again in a while."
        except ValueError:
            problem = "That is not an id."
        is_full = len(entries) == self.list_per_page
        context = {
            **self.admin_site.each_context(request),
            "title": "Activity",
            "opts": self.opts,
            "rows": [(entry, self.user(entry), self.session(entry)) for entry in entries],
            "wanted": wanted,
            "problem": problem,
            "next": entries[-1].cursor if is_full else "",
        }
        return TemplateResponse(request, "activity/admin_entries.html", context)

    @admin.display(ordering="user_id")
    def user(self, entry: Any) -> str:
        return link("accounts_user", entry.user_id, str(entry.user_id)[:8])

    @admin.display(ordering="session_id")
    def session(self, entry: Any) -> str:
        return link("sessions_app_codesession", entry.session_id, str(entry.session_id)[:8])
