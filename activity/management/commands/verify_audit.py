"""manage.py verify_audit: check that no entry of the audit trail was changed or removed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from activity import audit

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = "Verify the hash chain of the audit trail. Fails and names the first entry that is broken."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--expect",
            metavar="NUMBER:HASH",
            help="what an earlier run printed, kept elsewhere: detects an end that was cut off or rewritten",
        )

    def handle(self, *args: Any, expect: str | None = None, **options: Any) -> None:
        noted = None
        if expect is not None:
            if not (match := re.fullmatch(r"([0-9]{1,18}):([0-9a-f]{64})", expect.strip())):
                raise CommandError("--expect takes what this command prints: a number, a colon and 64 hex digits.")
            noted = (int(match[1]), match[2])
        verdict = audit.verify(noted)
        if verdict.broken is not None:
            raise CommandError(
                f"Entry {verdict.broken} is broken: {verdict.why}. {verdict.entries} before it are intact."
            )
        if not audit.is_guarded():
            raise CommandError(
                f"{verdict.entries} entries, all intact, but the database no longer refuses changes to them: its "
                "triggers are gone. Recreate them: manage.py migrate activity 0002, then manage.py migrate."
            )
        self.stdout.write(f"{verdict.entries} entries, all intact. Record {verdict.entries}:{verdict.last_hash}")
