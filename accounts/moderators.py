"""The Moderator group and its permissions on the admin pages. Superusers may do everything there."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db.models import Q

GROUP = "Moderator"
PERMISSIONS = (
    "accounts.view_user",
    "accounts.suspend_user",
    "accounts.revoke_tokens_user",
    "accounts.annotate_user",
    "accounts.view_note",
    "sessions_app.view_codesession",
    "sessions_app.moderate_codesession",
    "sessions_app.view_collaborator",
    "sessions_app.view_chatmessage",
    "sessions_app.remove_chatmessage",
    "sessions_app.view_report",
    "sessions_app.settle_report",
    "execution.view_run",
    "execution.cancel_run",
    "execution.view_deadletter",
    "execution.requeue_deadletter",
    "execution.view_availablelanguage",
    "execution.switch_availablelanguage",
    "activity.view_activity",
    "activity.view_auditentry",
)


def ensure_group(**kwargs: Any) -> Group:
    """Return the group with at least PERMISSIONS. Runs after every migrate, because permissions exist only then."""
    group, _ = Group.objects.get_or_create(name=GROUP)
    wanted = Q(pk__in=())
    for name in PERMISSIONS:
        app, _, codename = name.partition(".")
        wanted |= Q(content_type__app_label=app, codename=codename)
    group.permissions.add(*Permission.objects.filter(wanted))
    return group
