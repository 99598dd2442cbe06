"""A worker process whose sandbox fails while a file is there: all of it, or as the file says.

`runs`: with runs only. `full`: as where no more sandboxes may exist. FILE.tries grows by a byte for each failed run.

python -m tests.execution.breakable_worker FILE [arguments of celery]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from celery.__main__ import main

from execution.sandbox.bubblewrap import BubblewrapBackend
from execution.sandbox.errors import FULL, SandboxFault
from execution.sandbox.pool import PARKED

_broken = Path(sys.argv.pop(1))
_open = BubblewrapBackend.open


def _open_unless_broken(self: BubblewrapBackend, limits: Any, label: str, language: str = "") -> Any:
    if _broken.exists() and not (_broken.read_text() == "runs" and label == "probe"):
        code = FULL if _broken.read_text() == "full" else "engine_failed"
        if label not in ("probe", PARKED):
            with _broken.with_suffix(".tries").open("a") as tries:
                tries.write(".")
        raise SandboxFault(code, "Start the container engine.", "scripted")
    return _open(self, limits, label, language)


if __name__ == "__main__":
    BubblewrapBackend.open = _open_unless_broken
    main()
