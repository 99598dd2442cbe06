from django.apps import AppConfig


class CodeCrafterConfig(AppConfig):
    name = "codecrafter"
    verbose_name = "CodeCrafter"

    def ready(self) -> None:
        from codecrafter import checks  # noqa: F401
