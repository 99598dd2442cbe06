from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from execution.availability import backend, keep_self_test
from execution.sandbox import selftest
from execution.sandbox.errors import SandboxFault
from execution.sandbox.versions import ask_versions
from languages import LANGUAGES


class Command(BaseCommand):
    help = "Test languages in this host's sandbox, all by default, and mark those that fail as unavailable."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("keys", nargs="*", metavar="KEY")

    def handle(self, *args: Any, **options: Any) -> None:
        if unknown := set(options["keys"]) - set(LANGUAGES):
            raise CommandError(f"There is no language {', '.join(sorted(unknown))}.")
        try:
            sandbox = backend()
            installed = ask_versions(sandbox)
        except SandboxFault as fault:
            raise CommandError(fault.remedy) from None
        missing = [key for key in options["keys"] if key not in installed]
        results = selftest.run(options["keys"] or list(installed), sandbox, self._keep)
        if missing:
            self.stderr.write(f"Not installed where programs run: {', '.join(missing)}.")
        if missing or not all(result.ok for result in results):
            sys.exit(1)

    def _keep(self, result: selftest.SelfTestResult) -> None:
        keep_self_test(result.key, result.version, "" if result.ok else result.reason)
        self.stdout.write(str(result))
