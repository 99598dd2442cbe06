"""People, for moderators. Only the role can be changed, by a superuser."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin
from django.db.models import OuterRef
from django.utils import timezone

from accounts import actions
from accounts.models import Role, User
from codecrafter.http.admin import Counted, ReadOnlyAdmin

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.forms import ModelForm
    from django.http import HttpRequest


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    list_display = ("username", "email", "role", "is_active", "sessions", "runs_today", "date_joined", "last_login")
    list_filter = ("role", "is_active", "is_superuser", "date_joined")
    search_fields = ("username", "email", "=id")
    date_hierarchy = "date_joined"
    ordering = ("-date_joined",)
    fields = (
        "id",
        "username",
        "email",
        "role",
        "is_active",
        "is_staff",
        "is_superuser",
        "date_joined",
        "last_login",
        "sessions",
        "runs_today",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        # By name: the apps above this one are not imported here.
        owned = apps.get_model("sessions_app", "CodeSession").objects.filter(owner=OuterRef("pk"))
        since = timezone.now() - timedelta(days=1)
        runs = apps.get_model("execution", "Run").objects.filter(user=OuterRef("pk"), created_at__gte=since)
        people: QuerySet[User] = super().get_queryset(request)
        return people.annotate(owned_count=Counted(owned.order_by()), runs_count=Counted(runs.order_by()))

    @admin.display(description="sessions", ordering="owned_count")
    def sessions(self, user: Any) -> int:
        return int(user.owned_count)

    @admin.display(description="runs in 24 h", ordering="runs_count")
    def runs_today(self, user: Any) -> int:
        return int(user.runs_count)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        by = request.user
        return bool(by.is_active and by.is_authenticated and by.is_superuser and (obj is None or obj.pk != by.pk))

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        return [name for name in self.fields if name != "role"]

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm, change: bool) -> None:
        assert isinstance(request.user, User)
        if "role" in form.changed_data:
            actions.set_role(obj, Role(form.cleaned_data["role"]), by=request.user)
