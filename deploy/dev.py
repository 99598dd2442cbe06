#!/usr/bin/env python3
"""`make dev`: restart the server and rebuild the front end when their sources change."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from watchfiles import run_process

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
# Except the front end's build: with DEBUG on, static files are served from where they are built.
WATCHED = (
    *("accounts", "activity", "codecrafter", "execution", "languages", "realtime", "sessions_app", "web"),
    "templates",
)


def main() -> int:
    os.chdir(ROOT)
    os.environ.setdefault("DEBUG", "on")
    environment = {**os.environ, "PATH": str(BIN) + os.pathsep + os.environ["PATH"]}
    builder = None
    if (ROOT / "frontend" / "node_modules").is_dir():
        builder = subprocess.Popen(["npm", "run", "--silent", "watch"], cwd=ROOT / "frontend", env=environment)
    try:
        run_process(*WATCHED, target=f"{sys.executable} manage.py up", target_type="command")
    finally:
        if builder:
            builder.terminate()
            builder.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
