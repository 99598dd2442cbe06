#!/usr/bin/env python3
"""Runs all tests, or with the argument `unit` those that start no server, sandbox or browser; called by make.

All tests run in two lanes at once: two workers of pytest-xdist, and beside them one process after the other, first for
the browser's tests (Playwright's event loop and pytest-asyncio's cannot share a process), then for Docker's. Three
processes keep two cores busy, because each often waits. What the second lane prints comes at the end.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
BROWSER = "tests/e2e"
WORKERS = ("-n", "2", "--dist", "loadgroup", f"--ignore={BROWSER}")
UNIT = ("-q", *WORKERS, "-m", "not slow")
SHARED = (*WORKERS, "-m", "not engine")
ALONE = ((BROWSER,), (f"--ignore={BROWSER}", "-m", "engine"))
# A run starts hundreds of processes of the same sources: Python keeps what it compiled, whatever the machine prefers.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class Tests:
    """Runs pytest, one call in each thread, and adds up how the tests ended."""

    def __init__(self, reports: Path) -> None:
        self._reports = reports
        self._is_interrupted = threading.Event()

    def run(self, calls: tuple[tuple[str, ...], ...], output: IO[bytes] | None = None) -> int:
        """Make one call after the other; returns the worst exit status."""
        worst = 0
        for arguments in calls:
            if self._is_interrupted.is_set():
                break
            handle, report = tempfile.mkstemp(suffix=".xml", dir=self._reports)
            os.close(handle)
            argv = [sys.executable, "-m", "pytest", *arguments, f"--junitxml={report}"]
            done = subprocess.run(
                argv,
                cwd=ROOT,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                check=False,
            )
            worst = max(worst, abs(done.returncode))
        return worst

    def ended(self, lane: Future[int]) -> int:
        """Wait for a lane. Ctrl-C reaches the tests too, and they end what they started: wait for that."""
        while True:
            try:
                return lane.result()
            except KeyboardInterrupt:
                self._is_interrupted.set()

    def count(self) -> str:
        """Say how many tests ended how, the broken fixtures among the failed."""
        total: Counter[str] = Counter()
        for report in self._reports.iterdir():
            with contextlib.suppress(ElementTree.ParseError):  # of a pytest that was killed
                for suite in ElementTree.parse(report).iter("testsuite"):  # noqa: S314  (pytest wrote it)
                    total.update({name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")})
        failed = total["failures"] + total["errors"]
        return f"{total['tests'] - failed - total['skipped']} passed, {failed} failed, {total['skipped']} skipped"


def main() -> int:
    with tempfile.TemporaryDirectory() as reports, tempfile.TemporaryFile() as printed, ThreadPoolExecutor() as threads:
        tests = Tests(Path(reports))
        if sys.argv[1:] == ["unit"]:
            status = tests.ended(threads.submit(tests.run, (UNIT,)))
        else:
            lanes = [threads.submit(tests.run, (SHARED,)), threads.submit(tests.run, ALONE, printed)]
            status = max(tests.ended(lane) for lane in lanes)
            printed.seek(0)
            shutil.copyfileobj(printed, sys.stdout.buffer)
        print(tests.count(), flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
