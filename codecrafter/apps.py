from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class CodeCrafterConfig(AppConfig):
    name = "codecrafter"
    verbose_name = "CodeCrafter"

    def ready(self) -> None:
        from accounts.moderators import ensure_group
        from codecrafter import checks  # noqa: F401

        # Permissions are created app by app in the order of INSTALLED_APPS, and auth comes after all of ours.
        post_migrate.connect(ensure_group, sender=apps.get_app_config("auth"), dispatch_uid="moderators")
