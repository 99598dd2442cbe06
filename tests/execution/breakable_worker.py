"""A worker process whose sandbox fails while a file is there: all of it, or as the file says.

`runs`: with runs only. `full`: as where no more sandboxes may exist.

python -m tests.execution.breakable_worker FILE [arguments of celery]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from celery.__main__ import main

from execution.sandbox.bubblewrap import BubblewrapBackend
from execution.sandbox.errors import FULL, SandboxFault

_broken = Path(sys.argv.pop(1))
_open = BubblewrapBackend.open


def _open_unless_broken(self: BubblewrapBackend, limits: Any, label: str, language: str = "") -> Any:
    if _broken.exists() and not (_broken.read_text() == "runs" and label == "probe"):
        code = FULL if _broken.read_text() == "full" else "engine_failed"
        raise SandboxFault(code, "Start the container engine.", "scripted")
    return _open(self, limits, label, language)


if __name__ == "__main__":
    BubblewrapBackend.open = _open_unless_broken
    main()
