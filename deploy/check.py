#!/usr/bin/env python3
"""Run every check that needs no server, and name those that failed at the end."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
PYTHON = str(BIN / "python")
# The settings of a careful operator, under which `check --deploy` must be silent.
PRODUCTION = {
    "DEBUG": "off",
    "SECRET_KEY": secrets.token_urlsafe(64),
    "ALLOWED_HOSTS": "code.example.org",
    "HTTPS": "on",
    "TRUSTED_PROXIES": "1",
    "FRONTEND_URL": "https://code.example.org",
    "CSRF_TRUSTED_ORIGINS": "https://code.example.org",
}
STEPS = {
    "ruff check": [PYTHON, "-m", "ruff", "check", "."],
    "ruff format": [PYTHON, "-m", "ruff", "format", "--check", "--quiet", "."],
    "mypy": [PYTHON, "-m", "mypy"],
    "dependencies": [str(BIN / "deptry"), "."],
    "import-linter": [str(BIN / "lint-imports")],
    "migrations": [PYTHON, "manage.py", "makemigrations", "--check", "--dry-run"],
    "deploy settings": [PYTHON, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
    "front-end types": ["npm", "--prefix", "frontend", "run", "--silent", "check"],
    # Tests that start servers or create environments are left to `make test`, which installs what they need.
    "documents and files": [PYTHON, "-m", "pytest", "-q", "tests/project", "-m", "not slow"],
}


def passes(name: str, argv: list[str], environment: dict[str, str]) -> bool:
    started = time.monotonic()
    done = subprocess.run(
        argv,
        check=False,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    is_good = done.returncode == 0
    print(f"{'ok  ' if is_good else 'FAIL'} {name} ({time.monotonic() - started:.1f} s)", flush=True)
    if not is_good:
        print(done.stdout.rstrip(), flush=True)
    return is_good


def main() -> int:
    with tempfile.TemporaryDirectory() as data_dir:
        # The environment has an npm only if the machine has none that is new enough.
        path = str(BIN) + os.pathsep + os.environ.get("PATH", os.defpath)
        environment = {**os.environ, "DATA_DIR": data_dir, "PATH": path}
        failed = [
            name
            for name, argv in STEPS.items()
            if not passes(name, argv, {**environment, **(PRODUCTION if name == "deploy settings" else {})})
        ]
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
