#!/usr/bin/env python3
"""Write the lock files from their .in files. Run by `make lock` inside the virtual environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The development lock is constrained by the first one, so the order matters.
LOCKS = (
    ("requirements.in", "requirements.txt"),
    ("requirements-dev.in", "requirements-dev.txt"),
    ("deploy/node.in", "deploy/node.txt"),
)


def main() -> int:
    options = [
        "--quiet",
        "--upgrade",
        "--universal",
        "--generate-hashes",
        "--python-version",
        "3.11",
        "--no-emit-find-links",
        "--custom-compile-command",
        "make lock",
    ]
    for source, target in LOCKS:
        print(f"lock: {target}", flush=True)
        subprocess.run(
            [sys.executable, "-m", "uv", "pip", "compile", *options, source, "--output-file", target],
            cwd=ROOT,
            check=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
