"""A worker process whose sandbox fails while a file is there: all of it, or, if the file says so, with runs only.

python -m tests.execution.breakable_worker FILE [arguments of celery]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from celery.__main__ import main

from execution.sandbox.bubblewrap import BubblewrapBackend
from execution.sandbox.errors import SandboxFault

_broken = Path(sys.argv.pop(1))
_open = BubblewrapBackend.open


def _open_unless_broken(self: BubblewrapBackend, limits: Any, label: str, language: str = "") -> Any:
    if _broken.exists() and not (_broken.read_text() == "runs" and label == "probe"):
        raise SandboxFault("engine_failed", "Start the container engine.", "scripted")
    return _open(self, limits, label, language)


if __name__ == "__main__":
    BubblewrapBackend.open = _open_unless_broken
    main()
