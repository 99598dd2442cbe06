from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from execution.sandbox.doctor import checks


class Command(BaseCommand):
    help = "Check what running code needs on this machine, and name the command that repairs each missing part."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        rows = checks(settings.SANDBOX_IMAGE, settings.SANDBOX_RUNTIME)
        for row in rows:
            # In the format of deploy/setup.py, whose lines `make doctor` prints first.
            fact = f"ok: {row.detail}" if row.ok else f"missing: {row.detail}\n{'':22} {row.remedy}"
            self.stdout.write(f"{row.name:22} {fact}")
        # The first says whether programs can run at all, for which one kind of sandbox is enough.
        if not rows[0].ok:
            sys.exit(1)
