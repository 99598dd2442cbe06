from typing import Any

from django.apps import AppConfig


class ExecutionConfig(AppConfig):
    name = "execution"
    verbose_name = "Running code"

    def ready(self) -> None:
        from accounts import privacy
        from accounts.actions import person_suspended
        from execution import actions, own_data, retention

        def stop_runs(sender: Any, user: Any, by: Any, **kwargs: Any) -> None:
            actions.cancel_runs_of(user, by)

        privacy.register(exporter=own_data.export, eraser=own_data.erase, meter=retention.meter)
        person_suspended.connect(stop_runs, weak=False, dispatch_uid="execution.person_suspended")
