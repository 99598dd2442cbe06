"""The moderators' read-only pages of the activity log and the audit trail.

The log is shown by Django's list if it is in SQL, and by our own list if it is in MongoDB.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.template.response import TemplateResponse
from django.utils.html import format_html

from activity import audit
from activity.entries import as_uuid
from activity.errors import ActivityOffline
from activity.log import store
from activity.models import Activity, AuditEntry
from web.admin import ReadOnlyAdmin, link

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest, HttpResponse


def _names(ids: set[str]) -> dict[str, str]:
    """Look up the usernames of these ids in one query. The logs themselves hold ids only."""
    people = apps.get_model(settings.AUTH_USER_MODEL).objects.filter(pk__in=ids)
    return {str(pk): name for pk, name in people.values_list("pk", "username")}


def _person_named(text: str) -> UUID | None:
    named = "" if "\x00" in text else text.strip()
    people = apps.get_model(settings.AUTH_USER_MODEL).objects.filter(username__iexact=named)
    return people.values_list("pk", flat=True).first() if named else None


class _Named(ChangeList):
    """A list that shows usernames in place of ids."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        entries = list(self.result_list)
        ids = {str(getattr(entry, "user_id", None) or getattr(entry, "actor_id", "")) for entry in entries}
        ids |= {entry.target_id for entry in entries if getattr(entry, "target_type", "") == "user"}
        names = _names(ids - {"", "None"})
        for entry in entries:
            entry.names = names
        self.result_list = entries


def _name(entry: Any, of: object) -> str:
    """Return the username if the target is a known user, else the beginning of its id."""
    return getattr(entry, "names", {}).get(str(of)) or str(of)[:8]


@admin.register(Activity)
class ActivityAdmin(ReadOnlyAdmin):
    search_help_text = "Search by username, user or session id, action, or words of a message."
    list_display = ("timestamp", "level", "action", "message", "user", "session")
    list_filter = ("level", "action", "timestamp")
    search_fields = ("message", "action", "=user_id", "=session_id")
    date_hierarchy = "timestamp"
    fields = ("timestamp", "level", "action", "message", "user", "session", "metadata")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return _Named

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        if (person := _person_named(search_term)) is not None:
            return queryset.filter(user_id=person), False
        return super().get_search_results(request, queryset, search_term)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if settings.MONGODB_URL:
            return self._entries(request)
        return super().changelist_view(request, extra_context)

    def _entries(self, request: HttpRequest) -> HttpResponse:
        """Read a page of entries, filtered by user and session, for which the store has indexes."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        wanted = {name: request.GET.get(name, "").strip() for name in ("user_id", "session_id", "before")}
        person = _person_named(wanted["user_id"])
        entries, problem = [], ""
        try:
            entries = store().recent(
                user_id=person or as_uuid(wanted["user_id"] or None),
                session_id=as_uuid(wanted["session_id"] or None),
                limit=self.list_per_page,
                before=wanted["before"] or None,
            )
        except ActivityOffline:
            problem = "The activity log is not responding. Nothing else depends on it. Try again later."
        except ValueError:
            problem = "No user or id matches."
        names = _names({str(entry.user_id) for entry in entries if entry.user_id})
        is_full = len(entries) == self.list_per_page
        context = {
            **self.admin_site.each_context(request),
            "title": "Activity",
            "opts": self.opts,
            "rows": [
                (
                    entry,
                    link("accounts_user", entry.user_id, names.get(str(entry.user_id)) or str(entry.user_id)[:8]),
                    self.session(entry),
                )
                for entry in entries
            ],
            "wanted": wanted,
            "problem": problem,
            "next": entries[-1].cursor if is_full else "",
        }
        return TemplateResponse(request, "activity/admin_entries.html", context)

    @admin.display(ordering="user_id")
    def user(self, entry: Any) -> str:
        return link("accounts_user", entry.user_id, _name(entry, entry.user_id))

    @admin.display(ordering="session_id")
    def session(self, entry: Any) -> str:
        return link("sessions_app_codesession", entry.session_id, str(entry.session_id)[:8])


# The admin page of each kind of target. Other kinds have none.
_PAGES = {"user": "accounts_user", "session": "sessions_app_codesession", "run": "execution_run"}


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("number", "timestamp", "action", "actor", "target", "reason")
    list_filter = ("action", "target_type", "timestamp")
    search_fields = ("=number", "=actor_id", "=target_id", "=request_id", "reason")
    search_help_text = "Search by username, id, entry number, or words of a reason."
    date_hierarchy = "timestamp"
    fieldsets = (
        (None, {"fields": ("number", "timestamp", "action", "actor", "target", "reason", "details", "request_id")}),
        ("Chain", {"fields": ("is_whole", "previous_hash", "hash")}),
    )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return _Named

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Search. A username also finds entries by or about the user with that name."""
        if (person := _person_named(search_term)) is not None:
            return queryset.filter(Q(actor_id=person) | Q(target_id=str(person))), False
        return super().get_search_results(request, queryset, search_term)

    @admin.display(ordering="actor_id")
    def actor(self, entry: Any) -> str:
        return link("accounts_user", entry.actor_id, _name(entry, entry.actor_id))

    @admin.display(ordering="target_id")
    def target(self, entry: Any) -> str:
        words = f"{entry.target_type} {_name(entry, entry.target_id)}"
        page = _PAGES.get(entry.target_type)
        return link(page, entry.target_id, words) if page and entry.target_id != "list" else words

    @admin.display
    def details(self, entry: AuditEntry) -> str:
        return format_html("<pre>{}</pre>", json.dumps(entry.metadata, indent=2)) if entry.metadata else "-"

    @admin.display(description="intact", boolean=True)
    def is_whole(self, entry: AuditEntry) -> bool:
        """Whether this entry matches its hash. `manage.py verify_audit` checks the whole chain."""
        return entry.hash == audit.hash_of(entry)
