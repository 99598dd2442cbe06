from typing import Any

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "People"

    def ready(self) -> None:
        from allauth.account import signals

        from accounts import actions

        def password_changed(sender: Any, user: Any, **kwargs: Any) -> None:
            actions.note_sign_ins_ended(user)

        for signal in (signals.password_changed, signals.password_set, signals.password_reset):
            signal.connect(password_changed, weak=False, dispatch_uid="accounts.password_changed")
