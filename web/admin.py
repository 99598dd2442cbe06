"""The base of the moderators' pages: read-only lists and rows, changed through buttons only.

A button posts one or more rows to the list. The response is a page that says what will happen and asks for what is
needed; a second POST, from that page, calls the action. A GET changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IS_POPUP_VAR
from django.contrib.admin.utils import unquote
from django.db import models
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html

from web.problems import DomainError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

# Selecting more rows is usually a slip of the mouse; larger jobs can be done in several goes.
ACTION_MAX_ROWS = 10
REASON_MAX = 500


class ReadOnlyAdmin(admin.ModelAdmin):
    """Lets nobody add, change or delete, superusers included."""

    list_per_page = 50
    show_full_result_count = False
    actions_selection_counter = True
    # Whether its list shows what people wrote, so that viewing the list is audited too.
    list_shows_content = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().change_view(request, object_id, form_url, extra_context)
        if response.status_code == 200:
            self.looked_at(request, object_id)
        return response

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response: HttpResponse = super().changelist_view(request, extra_context)
        if self.list_shows_content and request.method == "GET" and response.status_code == 200:
            self.looked_at(request, "list")
        return response

    def looked_at(self, request: HttpRequest, what: str) -> None:
        """Called after somebody was shown the row with this id, or "list". Override it to audit private content."""


class NoQuestions(forms.Form):
    pass


def _reason(*, required: bool, help_text: str = "Kept in the audit trail.") -> forms.CharField:
    return forms.CharField(
        required=required, max_length=REASON_MAX, widget=forms.Textarea(attrs={"rows": 3}), help_text=help_text
    )


class OptionalReason(forms.Form):
    reason = _reason(required=False)


class Reason(forms.Form):
    reason = _reason(required=True)


class ToldReason(forms.Form):
    reason = _reason(required=True, help_text="Kept in the audit trail, and shown to everybody affected.")


@dataclass(frozen=True)
class Button:
    """A button of an admin page. `do` gets the row, the moderator and the form's data; False means nothing to do.

    `consequence` says what pressing it does; `done` and `left` complete the message, such as "3 cancelled, 1
    unchanged". A DomainError is shown and does not stop the remaining rows.
    """

    name: str
    label: str
    permission: str
    consequence: str
    do: Callable[[Any, Any, Mapping[str, Any]], bool]
    done: str
    left: str
    form: type[forms.Form] = OptionalReason
    # Whether the row's page offers it.
    fits: Callable[[Any], bool] = lambda row: True
    is_destructive: bool = False
    # The page that opens afterwards. Limits the button to one row.
    opens: Callable[[Any], str] | None = None

    @property
    def most_rows(self) -> int:
        return 1 if self.opens else ACTION_MAX_ROWS


class DeskAdmin(ReadOnlyAdmin):
    """A read-only admin page with buttons, on the list for several rows and on each row's page."""

    change_form_template = "admin/desk_change_form.html"
    buttons: ClassVar[tuple[Button, ...]] = ()

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        if IS_POPUP_VAR in request.GET:
            return {}
        return {
            button.name: (_pressing(button), button.name, button.label)
            for button in self.buttons
            if request.user.has_perm(button.permission)
        }

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        offered = [
            button
            for button in self.buttons
            if row is not None and request.user.has_perm(button.permission) and button.fits(row)
        ]
        context = {"buttons": offered, "list_url": self._list_url(), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def press(self, request: HttpRequest, queryset: QuerySet[Any], button: Button) -> HttpResponse | None:
        rows = list(queryset[: button.most_rows + 1])
        if len(rows) > button.most_rows:
            self.message_user(request, _too_many(queryset.count(), button.most_rows), messages.ERROR)
            return None
        is_answer = "confirm" in request.POST
        form = button.form(request.POST if is_answer else None)
        if not is_answer or not form.is_valid():
            return TemplateResponse(request, "admin/desk_confirm.html", self._question(request, rows, button, form))
        self._do(request, rows, button, form.cleaned_data)
        if button.opens and len(rows) == 1:
            return HttpResponseRedirect(button.opens(rows[0]))
        if "from_row" in request.POST and len(rows) == 1:
            return HttpResponseRedirect(self._row_url(rows[0]))
        return None

    def _do(self, request: HttpRequest, rows: list[Any], button: Button, given: Mapping[str, Any]) -> None:
        done = left = 0
        for row in rows:
            try:
                if button.do(row, request.user, given):
                    done += 1
                else:
                    left += 1
            except DomainError as refused:
                self.message_user(request, f"{row}: {refused.detail}", messages.ERROR)
        if done or left:
            told = f"{done} {button.done}" + (f", {left} {button.left}" if left else "")
            self.message_user(request, f"{told}.", messages.SUCCESS if done else messages.WARNING)

    def _question(self, request: HttpRequest, rows: list[Any], button: Button, form: forms.Form) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "title": button.label,
            "opts": self.opts,
            "button": button,
            "rows": [(row, self._row_url(row)) for row in rows],
            "form": form,
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "from_row": "from_row" in request.POST,
            "back_url": self._row_url(rows[0]) if "from_row" in request.POST and rows else self._list_url(),
        }

    def _list_url(self) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")

    def _row_url(self, row: Any) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[row.pk])

    @admin.display(description="user", ordering="user__username")
    def user_link(self, row: Any) -> str:
        return link("accounts_user", row.user_id, row.user)

    @admin.display(description="session", ordering="session__title")
    def session_link(self, row: Any) -> str:
        return link("sessions_app_codesession", row.session_id, row.session)


def _pressing(button: Button) -> Callable[[DeskAdmin, HttpRequest, QuerySet[Any]], HttpResponse | None]:
    return lambda page, request, queryset: page.press(request, queryset, button)


class ReadOnlyInline(admin.TabularInline):
    extra = 0
    can_delete = False
    show_change_link = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class Choice(admin.SimpleListFilter):
    """A filter of a few named states. `states` maps each to its label and to the rows that are in it."""

    states: ClassVar[Mapping[str, tuple[str, Callable[[Any], Any]]]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, words) for value, (words, _) in self.states.items()]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        chosen = self.states.get(self.value() or "")
        return chosen[1](queryset) if chosen else queryset


class Counted(models.Subquery):
    """Counts the rows of a queryset that refers to the outer row by OuterRef, in one query for a whole list."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"
    output_field = models.IntegerField()


def link(page: str, target: UUID | None, text: object) -> str:
    """Link to a change page, such as that of "accounts_user"; "-" without a target."""
    if target is None:
        return "-"
    return format_html('<a href="{}">{}</a>', reverse(f"admin:{page}_change", args=[target]), text)


def _too_many(count: int, most: int) -> str:
    if most == 1:
        return f"{count} rows are selected. Select one."
    return f"{count} rows are selected. Select at most {most}."
