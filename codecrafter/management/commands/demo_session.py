from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

import languages
from accounts.models import User
from sessions_app import actions
from sessions_app.errors import StorageFull
from sessions_app.models import CodeSession

WELCOME = """# Everybody who opens this session edits this text together.
# Press Run (Ctrl+Enter): everybody here sees the output as it is printed.
import time

for step in range(1, 6):
    print(f"step {step} of 5")
    time.sleep(0.4)

print("Done. Change something and run it again.")
"""


class Command(BaseCommand):
    help = "Create a sample session for a demo user who owns none."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, **options: Any) -> None:
        owner = User.objects.get(username=options["username"])
        if not CodeSession.objects.filter(owner=owner).exists():
            try:
                actions.create_session(
                    owner, language=languages.get("python"), title="Welcome", content=WELCOME, is_public=True
                )
            except StorageFull as full:
                # A server that takes nothing new still starts.
                self.stderr.write(f"The sample session was not created. {full.detail}")
