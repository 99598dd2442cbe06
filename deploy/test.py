#!/usr/bin/env python3
"""Runs all tests, or with the argument `unit` those that start no server, sandbox or browser; called by make.

The browser's tests run beside the others, in a process of their own: Playwright's event loop and pytest-asyncio's
cannot share one. What they print comes at the end, and then how many tests there were in all.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
BROWSER = "tests/e2e"
OTHERS = ("--dist", "loadgroup", f"--ignore={BROWSER}")
UNIT = ("-q", "-n", "2", *OTHERS, "-m", "not slow")
# Three workers and the browser keep two cores busy: tests of servers and sandboxes wait half of their time.
ALL = ("-n", "3", *OTHERS)
# A run starts hundreds of processes of the same sources: Python keeps what it compiled, whatever the machine prefers.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def started(arguments: tuple[str, ...], report: Path, output: int | None = None) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "pytest", *arguments, f"--junitxml={report}"]
    return subprocess.Popen(
        argv, cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
    )


def ended(process: subprocess.Popen[bytes]) -> int:
    """Ctrl-C reaches the tests too, and they end what they started: wait for that."""
    while True:
        with contextlib.suppress(KeyboardInterrupt):
            return process.wait()


def counted(reports: Path) -> str:
    """Say how many tests ended how; a broken fixture is a failure."""
    total: Counter[str] = Counter()
    for report in reports.iterdir():
        with contextlib.suppress(ElementTree.ParseError):  # of a pytest that was killed
            for suite in ElementTree.parse(report).iter("testsuite"):  # noqa: S314  (pytest wrote it)
                total.update({name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")})
    failed = total["failures"] + total["errors"]
    return f"{total['tests'] - failed - total['skipped']} passed, {failed} failed, {total['skipped']} skipped"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as printed:
        reports = Path(folder)
        if sys.argv[1:] == ["unit"]:
            statuses = [ended(started(UNIT, reports / "unit.xml"))]
        else:
            browser = started((BROWSER,), reports / "browser.xml", printed.fileno())
            others = started(ALL, reports / "others.xml")
            statuses = [ended(others), ended(browser)]
            printed.seek(0)
            shutil.copyfileobj(printed, sys.stdout.buffer)
        # Anything but passed and failed: interrupted, out of memory, nothing collected.
        print(counted(reports) + (", and a run ended early" if {*statuses} - {0, 1} else ""), flush=True)
    return max(abs(status) for status in statuses)


if __name__ == "__main__":
    sys.exit(main())
