#!/usr/bin/env python3
"""Add missing secrets to .env, at random, without changing existing values. Run by `make up`."""

from __future__ import annotations

import os
import re
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Required by docker-compose.yml. Hexadecimal, because most become part of a URL or a command.
SECRETS = (
    "SECRET_KEY",
    "JWT_SIGNING_KEY",
    "POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
    "RABBITMQ_PASSWORD",
    "MONGODB_PASSWORD",
    "METRICS_TOKEN",
    "GRAFANA_PASSWORD",
)


def main() -> int:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".env"
    before = path.read_text() if path.exists() else ""
    present = set(re.findall(r"^([A-Z_]+)=.", before, flags=re.MULTILINE))
    missing = [name for name in SECRETS if name not in present]
    if not missing:
        return 0
    lines = "".join(f"{name}={secrets.token_hex(32)}\n" for name in missing)
    separator = "" if before.endswith("\n") or not before else "\n"
    made = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(before + separator + lines)
    made.replace(path)
    print(f"made in {path.name}: {', '.join(missing)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
