from django.apps import AppConfig


class CodeCrafterConfig(AppConfig):
    name = "codecrafter"
    verbose_name = "CodeCrafter"
