#!/usr/bin/env python3
"""Every check that needs no server, one after the other: all of them run, those that failed are named at the end."""

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


def production_environment(data_dir: str) -> dict[str, str]:
    """What a careful operator would set: `check --deploy` must be silent under it."""
    return {
        **os.environ,
        "DEBUG": "off",
        "DATA_DIR": data_dir,
        "SECRET_KEY": secrets.token_urlsafe(64),
        "ALLOWED_HOSTS": "code.example.org",
        "HTTPS": "on",
        "TRUSTED_PROXIES": "1",
        "FRONTEND_URL": "https://code.example.org",
        "CSRF_TRUSTED_ORIGINS": "https://code.example.org",
    }


def main() -> int:
    python = str(BIN / "python")
    with tempfile.TemporaryDirectory() as data_dir:
        plain = {**os.environ, "DATA_DIR": data_dir}
        steps: list[tuple[str, list[str], dict[str, str], Path]] = [
            ("ruff check", [python, "-m", "ruff", "check", "."], plain, ROOT),
            ("ruff format", [python, "-m", "ruff", "format", "--check", "--quiet", "."], plain, ROOT),
            ("mypy", [python, "-m", "mypy"], plain, ROOT),
            ("import-linter", [str(BIN / "lint-imports")], plain, ROOT),
            ("migrations", [python, "manage.py", "makemigrations", "--check", "--dry-run"], plain, ROOT),
            (
                "deploy settings",
                [python, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
                production_environment(data_dir),
                ROOT,
            ),
            ("project tests", [python, "-m", "pytest", "-q", "tests/project"], plain, ROOT),
        ]
        if (ROOT / "frontend" / "package.json").exists():
            node_first = {**plain, "PATH": os.environ.get("PATH", "") + os.pathsep + str(BIN)}
            steps.append(("front-end types", ["npm", "run", "--silent", "check"], node_first, ROOT / "frontend"))
        failed = []
        for name, argv, environment, directory in steps:
            started = time.monotonic()
            done = subprocess.run(
                argv,
                check=False,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            print(
                f"{'ok  ' if done.returncode == 0 else 'FAIL'} {name} ({time.monotonic() - started:.1f} s)", flush=True
            )
            if done.returncode:
                print(done.stdout.rstrip(), flush=True)
                failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
