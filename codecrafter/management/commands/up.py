"""`make run`: prepare everything after the setup, and serve, in one process."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from accounts.demo import DemoLogin, ensure_demo_people, may_have_demo_people
from codecrafter.server import Taken, hold_data_dir, serve
from execution.availability import backend
from execution.sandbox.errors import SandboxFault


class Command(BaseCommand):
    help = "Prepare the database, the static files and the demo, then serve."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            hold_data_dir()
            self._serve()
        except Taken as taken:
            raise CommandError(str(taken)) from None

    def _serve(self) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        self._collect_static()
        login = ensure_demo_people() if may_have_demo_people() else None
        if login:
            call_command("demo_session", login["username"])
        serve(on_ready=lambda: self._greet(login))

    def _collect_static(self) -> None:
        """Collect only if a source file has changed, because it takes seconds."""
        digest = hashlib.sha256()
        for finder in get_finders():
            for path, storage in finder.list([]):
                stat = Path(storage.path(path)).stat()
                digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        stamp = settings.STATIC_ROOT / ".collected"
        if not stamp.is_file() or stamp.read_text() != digest.hexdigest():
            call_command("collectstatic", verbosity=0, interactive=False, clear=True)
            stamp.write_text(digest.hexdigest())

    def _greet(self, login: DemoLogin | None) -> None:
        try:
            sandbox = backend().describe()
        except SandboxFault as fault:
            sandbox = f"none. {fault.remedy} Everything but Run works."
        lines = [f"CodeCrafter    http://{settings.HOST}:{settings.PORT}"]
        if login:
            lines.append(f"Demo login     {login['username']} / {login['password']}")
        lines += [f"Sandbox        {sandbox}", f"Data           {settings.DATA_DIR}", "Stop           Ctrl+C"]
        print("\n".join(lines), file=sys.stdout, flush=True)
