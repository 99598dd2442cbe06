from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from codecrafter.server import serve


class Command(BaseCommand):
    help = "Serve on HOST:PORT until SIGTERM. Database and static files must be ready (migrate, collectstatic)."

    def handle(self, *args: Any, **options: Any) -> None:
        serve()
