from typing import Any

from django.apps import AppConfig


class SessionsConfig(AppConfig):
    name = "sessions_app"
    verbose_name = "Coding sessions"

    def ready(self) -> None:
        from accounts import privacy
        from accounts.actions import bot_retired, person_renamed, sign_ins_ended
        from sessions_app import events, own_data, storage

        def look_again(sender: Any, user: Any, **kwargs: Any) -> None:
            events.recheck_person(str(user.pk))

        def take_over(sender: Any, bot: Any, **kwargs: Any) -> None:
            own_data.take_over(bot)

        privacy.register(
            exporter=own_data.export,
            eraser=own_data.erase,
            estate=own_data.estate,
            bequest=own_data.bequeath,
            meter=storage.meter,
        )
        sign_ins_ended.connect(look_again, weak=False, dispatch_uid="sessions_app.sign_ins_ended")
        person_renamed.connect(look_again, weak=False, dispatch_uid="sessions_app.person_renamed")
        bot_retired.connect(take_over, weak=False, dispatch_uid="sessions_app.bot_retired")
