from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from execution.sandbox.doctor import checks


class Command(BaseCommand):
    help = "Say what running code needs here: each part ok, or the one command that repairs it."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        rows = checks()
        for row in rows:
            self.stdout.write(f"{'ok     ' if row.ok else 'missing'}  {row.name}: {row.detail}")
            if not row.ok and row.remedy:
                self.stdout.write(f"         {row.remedy}")
        # The first says whether programs can run at all; one kind of sandbox is enough.
        if not rows[0].ok:
            sys.exit(1)
