#!/usr/bin/env python3
"""Runs all tests; run by `make test` inside the virtual environment.

The browser's run beside the others, in a process of their own: Playwright's event loop and pytest-asyncio's cannot
share one. What they print comes at the end.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BROWSER = "tests/e2e"


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Ctrl-C reaches the tests too, and they end what they started: wait for that."""
    while True:
        with contextlib.suppress(KeyboardInterrupt):
            return process.wait()


def main() -> int:
    pytest = [sys.executable, "-m", "pytest"]
    with tempfile.TemporaryFile() as printed:
        browser = subprocess.Popen(
            [*pytest, BROWSER], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT
        )
        others = subprocess.Popen([*pytest, "-n", "2", "--dist", "loadgroup", f"--ignore={BROWSER}"], cwd=ROOT)
        statuses = [_ended(others), _ended(browser)]
        printed.seek(0)
        shutil.copyfileobj(printed, sys.stdout.buffer)
        sys.stdout.flush()
    return max(statuses)


if __name__ == "__main__":
    sys.exit(main())
