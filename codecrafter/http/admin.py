"""What the moderators' pages of every app share: rows that the system makes are looked at, not edited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import models
from django.urls import reverse
from django.utils.html import format_html

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest

# More rows in one action are a slip of the mouse; the few that are meant fit into several.
ACTION_MAX_ROWS = 10


class ReadOnlyAdmin(admin.ModelAdmin):
    """Nobody adds, changes or deletes here, superusers included; what can be done are the actions."""

    list_per_page = 50
    show_full_result_count = False
    actions_selection_counter = True

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyInline(admin.TabularInline):
    extra = 0
    can_delete = False
    show_change_link = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class Counted(models.Subquery):
    """How many rows the given queryset has, which names the row outside by OuterRef; one query for a whole list."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"
    output_field = models.IntegerField()


def link(page: str, target: UUID | None, text: object) -> str:
    """A link to the change page named such as "accounts_user"; "-" for nobody."""
    if target is None:
        return "-"
    return format_html('<a href="{}">{}</a>', reverse(f"admin:{page}_change", args=[target]), text)


def too_many(count: int) -> str:
    return f"{count} rows are selected. At most {ACTION_MAX_ROWS} at a time, so that a slip stays small."
