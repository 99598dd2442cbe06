"""The moderators' pages for users: suspend, lift, revoke, note. Only superusers can change a role."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.apps import apps
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import OuterRef
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from accounts import actions
from accounts.models import Note, Role, User, able
from web.admin import Button, Choice, Counted, DeskAdmin, ReadOnlyInline, Reason, link

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.db.models import QuerySet
    from django.forms import ModelForm
    from django.http import HttpRequest

DAYS = {"1": "One day", "7": "7 days", "30": "30 days", "": "No end", "date": "Until the day below"}


class SuspendForm(forms.Form):
    days = forms.ChoiceField(label="For", choices=list(DAYS.items()), initial="7", required=False)
    until = forms.DateField(
        label="Until the start of", required=False, widget=forms.DateInput(attrs={"type": "date"}), help_text="In UTC."
    )
    reason = forms.CharField(
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Shown to the user at their next login, and kept in the audit trail.",
    )

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if data.get("days") != "date":
            days = data.get("days")
            return data | {"until": timezone.now() + timedelta(days=int(days)) if days else None}
        if data.get("until") is None:
            raise ValidationError({"until": "Choose the day on which the suspension ends."})
        ends = timezone.make_aware(datetime.combine(data["until"], time.min))
        if ends <= timezone.now():
            raise ValidationError({"until": "Choose a day in the future."})
        return data | {"until": ends}


class NoteForm(forms.Form):
    text = forms.CharField(
        max_length=2000, widget=forms.Textarea(attrs={"rows": 4}), help_text="Visible to moderators only."
    )


def _suspend(user: User, by: User, given: Mapping[str, Any]) -> bool:
    actions.suspend(user, by=by, reason=given["reason"], until=given["until"])
    return True


def _lift(user: User, by: User, given: Mapping[str, Any]) -> bool:
    return actions.lift_suspension(user, by=by, reason=given["reason"])


def _revoke(user: User, by: User, given: Mapping[str, Any]) -> bool:
    actions.revoke_tokens(user, by=by, reason=given["reason"])
    return True


def _note(user: User, by: User, given: Mapping[str, Any]) -> bool:
    actions.write_note(user, by=by, text=given["text"])
    return True


class StatusFilter(Choice):
    title = "status"
    parameter_name = "status"
    states = {
        "able": ("Active", lambda people: people.filter(able())),
        "suspended": (
            "Suspended",
            lambda people: people.exclude(able()).exclude(suspended_at=None).filter(is_active=True),
        ),
        "closed": ("Closed or deleted", lambda people: people.filter(is_active=False)),
    }


class KindFilter(Choice):
    title = "kind"
    parameter_name = "kind"
    states = {
        "person": ("People", lambda people: people.filter(bot_of=None, is_guest=False)),
        "bot": ("Bots", lambda people: people.exclude(bot_of=None)),
        "guest": ("Guests", lambda people: people.filter(is_guest=True)),
    }


class NoteInline(ReadOnlyInline):
    model = Note
    fk_name = "user"
    fields = readonly_fields = ("created_at", "author_link", "text")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Note]:
        notes: QuerySet[Note] = super().get_queryset(request)
        return notes.select_related("author")

    @admin.display(description="author")
    def author_link(self, note: Note) -> str:
        return link("accounts_user", note.author_id, note.author)


@admin.register(User)
class UserAdmin(DeskAdmin):
    list_display = ("username", "email", "role", "status", "sessions", "runs_today", "date_joined", "last_login")
    list_filter = (StatusFilter, "role", KindFilter, "date_joined")
    search_fields = ("username", "email", "=id")
    date_hierarchy = "date_joined"
    ordering = ("-date_joined",)
    inlines = (NoteInline,)
    buttons = (
        Button(
            "suspend",
            "Suspend",
            "accounts.suspend_user",
            "They are signed out everywhere at once: pages close, programs stop, and tokens and bots stop working. "
            "What they wrote stays. The suspension ends by itself, and you can lift it earlier.",
            _suspend,
            "suspended",
            "unchanged",
            SuspendForm,
            fits=lambda user: not user.is_superuser and user.is_active,
            is_destructive=True,
        ),
        Button(
            "lift",
            "Lift the suspension",
            "accounts.suspend_user",
            "They can sign in again at once, and their tokens work again.",
            _lift,
            "lifted",
            "not suspended",
            fits=lambda user: user.is_suspended,
        ),
        Button(
            "revoke",
            "End sign-ins and tokens",
            "accounts.revoke_tokens_user",
            "Every sign-in ends, and all tokens of the user and of their bots are revoked for good. They can sign in "
            "again with their password.",
            _revoke,
            "signed out",
            "unchanged",
            Reason,
            fits=lambda user: not user.is_superuser and not user.is_bot,
            is_destructive=True,
        ),
        Button(
            "note",
            "Write a note",
            "accounts.annotate_user",
            "Visible to moderators only.",
            _note,
            "noted",
            "skipped",
            NoteForm,
        ),
    )
    fieldsets = (
        (None, {"fields": ("id", "username", "email", "role", "status", "bot_owner")}),
        ("Suspension", {"fields": ("suspended_at", "suspended_until", "suspension_reason", "suspender")}),
        ("Use", {"fields": ("date_joined", "last_login", "sessions", "runs_today", "more")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        # By name: the apps above this one are not imported here.
        owned = apps.get_model("sessions_app", "CodeSession").objects.filter(owner=OuterRef("pk"))
        since = timezone.now() - timedelta(days=1)
        runs = apps.get_model("execution", "Run").objects.filter(user=OuterRef("pk"), created_at__gte=since)
        people: QuerySet[User] = super().get_queryset(request).select_related("bot_of", "suspended_by")
        return people.annotate(owned_count=Counted(owned.order_by()), runs_count=Counted(runs.order_by()))

    @admin.display(description="status")
    def status(self, user: User) -> str:
        if user.deleted_at:
            return "Deleted"
        if not user.is_active:
            return "Closed"
        if not user.is_suspended:
            return "Active"
        return f"Suspended until {user.suspended_until:%Y-%m-%d %H:%M} UTC" if user.suspended_until else "Suspended"

    @admin.display(description="suspended by")
    def suspender(self, user: User) -> str:
        return link("accounts_user", user.suspended_by_id, user.suspended_by)

    @admin.display(description="bot of")
    def bot_owner(self, user: User) -> str:
        return link("accounts_user", user.bot_of_id, user.bot_of)

    @admin.display(description="sessions", ordering="owned_count")
    def sessions(self, user: Any) -> int:
        return int(user.owned_count)

    @admin.display(description="runs in 24 h", ordering="runs_count")
    def runs_today(self, user: Any) -> int:
        return int(user.runs_count)

    @admin.display(description="more")
    def more(self, user: User) -> str:
        lists = (
            ("sessions_app_codesession", f"owner__id__exact={user.pk}", "Sessions"),
            ("execution_run", f"user__id__exact={user.pk}", "Runs"),
            ("sessions_app_chatmessage", f"user__id__exact={user.pk}", "Chat"),
            ("activity_activity", f"user_id={user.pk}", "Activity"),
            ("activity_auditentry", f"q={user.pk}", "Audit trail"),
        )
        links = (
            format_html('<a href="{}?{}">{}</a>', reverse(f"admin:{page}_changelist"), query, words)
            for page, query, words in lists
        )
        return format_html(" · ".join(["{}"] * len(lists)), *links)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        by = request.user
        return bool(by.is_active and by.is_authenticated and by.is_superuser and (obj is None or obj.pk != by.pk))

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        return [str(name) for _, section in self.fieldsets for name in section["fields"] if name != "role"]

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm, change: bool) -> None:
        assert isinstance(request.user, User)
        if "role" in form.changed_data:
            actions.set_role(obj, Role(form.cleaned_data["role"]), by=request.user)
