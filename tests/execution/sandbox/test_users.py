"""bubblewrap for a worker that is an ordinary user of the host."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PARTS = ("execution/sandbox", "languages", "tests/execution/sandbox/running.py")
SCRIPT = """
from dataclasses import replace
from execution.sandbox.bubblewrap import BubblewrapBackend
from tests.execution.sandbox.running import LIMITS, SHORT, run
backend = BubblewrapBackend()
print(run(backend, "bash", "id -u; cat /etc/passwd | wc -l").stdout.decode().split())
print(run(backend, "python", "keep = []\\nwhile True: keep.append(b'x' * 1000000)").status)
bomb = "import os\\nwhile True:\\n    try: os.fork()\\n    except OSError: pass"
# So many processes of Python need more memory than the tests' own limit.
print(run(backend, "python", bomb, limits=replace(SHORT, memory_bytes=512 * 2**20)).status)
"""


def test_an_ordinary_user_runs_programs_with_the_same_walls():
    if os.geteuid() != 0:
        pytest.skip("the other tests run as an ordinary user already")
    # The project itself may lie where that user cannot read.
    folder = Path(tempfile.mkdtemp(prefix="cc-user-"))
    try:
        for part in PARTS:
            (folder / part).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, folder / part)
        subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)
        user = ["setpriv", "--reuid", "23456", "--regid", "23456", "--clear-groups"]
        done = subprocess.run(
            [*user, "/usr/bin/python3", "-B", "-c", SCRIPT], cwd=folder, capture_output=True, text=True, check=False
        )
    finally:
        shutil.rmtree(folder)
    assert done.stdout.split("\n")[:3] == ["['65534', '2']", "out_of_memory", "timed_out"], done.stderr
