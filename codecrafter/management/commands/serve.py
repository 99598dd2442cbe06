from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from codecrafter.server import Taken, hold_data_dir, serve


class Command(BaseCommand):
    help = "Serve on HOST:PORT until SIGTERM. Database and static files must be ready (migrate, collectstatic)."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            hold_data_dir()
            serve()
        except Taken as taken:
            raise CommandError(str(taken)) from None
