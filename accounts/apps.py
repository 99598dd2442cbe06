from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import AppConfig

if TYPE_CHECKING:
    from collections.abc import Collection


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "People"

    def ready(self) -> None:
        from allauth.account.signals import password_reset
        from django.contrib.sessions.models import Session
        from django.db.models.signals import post_delete, post_save

        from accounts import own_data, privacy
        from accounts.models import User

        privacy.register(exporter=own_data.export, eraser=own_data.erase)
        post_save.connect(_person_saved, sender=User, dispatch_uid="accounts.person_saved")
        password_reset.connect(_password_reset, dispatch_uid="accounts.password_reset")
        post_delete.connect(_session_ended, sender=Session, dispatch_uid="accounts.session_ended")


# The fields that sign-ins and platform permissions depend on.
_FIELDS = frozenset(
    {"password", "sign_in_mark", "is_active", "suspended_at", "suspended_until", "role", "is_superuser"}
)


def _person_saved(instance: Any, *, created: bool, update_fields: Collection[str] | None = None, **kwargs: Any) -> None:
    from accounts import actions

    if not created and (update_fields is None or not _FIELDS.isdisjoint(update_fields)):
        # A bot acts for its owner.
        for person in (instance, *(() if instance.is_able else instance.bots.all())):
            actions.note_sign_ins_ended(person)


def _password_reset(user: Any, **kwargs: Any) -> None:
    from accounts import actions

    actions.prove_address(user)


def _session_ended(instance: Any, **kwargs: Any) -> None:
    """Handle a logout or a replaced cookie. (Django's own signal comes before the deletion.)"""
    from accounts import actions
    from accounts.models import User

    person = User.objects.filter(pk=instance.get_decoded().get("_auth_user_id")).first()
    if person is not None:
        actions.note_sign_ins_ended(person)
