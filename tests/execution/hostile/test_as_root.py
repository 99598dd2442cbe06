"""bubblewrap started by root: a program is nobody all the same, whatever root could read or do."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from execution.sandbox.bubblewrap import BubblewrapBackend
from tests.execution.hostile.table import PROGRAMS, ROOMY, SMALL
from tests.execution.sandbox.running import run

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="it is about a server that was started by root"),
    pytest.mark.xdist_group("bubblewrap"),
]
PROJECT = Path(__file__).resolve().parents[3]
SECRET = b"only-for-root-4711"
LOOK = """
import os, sys
for place in sys.argv[1:]:
    try:
        os.stat(place)
        print("there", place)
    except FileNotFoundError:
        pass
    except PermissionError:
        pass
    try:
        print("read", open(place, "rb").read() if not os.path.isdir(place) else os.listdir(place))
    except OSError:
        pass
"""


@pytest.fixture
def secret_below_usr():
    """A file of root's in a folder that is mounted into every sandbox."""
    folder = Path(tempfile.mkdtemp(prefix="codecrafter-", dir="/usr/local/lib"))
    folder.chmod(0o755)
    secret = folder / "secret"
    secret.touch(0o600)
    secret.write_bytes(SECRET)
    yield secret
    shutil.rmtree(folder)


@pytest.fixture
def data_dir(tmp_path):
    for name in ("db.sqlite3", "secret_key"):
        (tmp_path / name).write_bytes(SECRET)
    return tmp_path


def test_nothing_of_root_the_project_or_the_data_can_be_read(secret_below_usr, data_dir):
    home = Path(tempfile.mkdtemp(prefix="codecrafter-", dir="/root"))
    try:
        (home / "secret").write_bytes(SECRET)
        places = ["/root", "/home", str(home / "secret"), str(PROJECT), str(PROJECT / "manage.py"), "/etc/shadow"]
        places += [str(data_dir), str(data_dir / "db.sqlite3"), str(data_dir / "secret_key"), "/var", "/proc/1/environ"]
        backend = BubblewrapBackend(hidden=[PROJECT, data_dir])
        ran = run(backend, "python", LOOK, args=tuple(places), limits=ROOMY)
        assert (ran.status, ran.stdout) == ("completed", b"there /proc/1/environ\n")
        ran = run(backend, "python", LOOK, args=(str(secret_below_usr),), limits=ROOMY)
        assert ran.stdout == f"there {secret_below_usr}\n".encode()
    finally:
        shutil.rmtree(home)


def test_data_below_usr_is_hidden(secret_below_usr):
    backend = BubblewrapBackend(hidden=[secret_below_usr.parent])
    assert run(backend, "python", LOOK, args=(str(secret_below_usr),), limits=ROOMY).stdout == b""


@pytest.mark.parametrize("use_cgroups", [True, False], ids=["cgroups", "watched"])
def test_the_limit_of_processes_holds(use_cgroups):
    backend = BubblewrapBackend(use_cgroups=use_cgroups)
    limits = replace(SMALL, processes=20)
    ran = run(backend, "c", (PROGRAMS / "05_fork_bomb.c").read_bytes(), limits=limits, compile_limits=ROOMY)
    assert ran.status in {"timed_out", "failed"}
    assert ran.outcome.stats["pids_limit_hit"]
    # The agent, and what bubblewrap itself keeps, are processes too.
    assert ran.outcome.stats["processes_peak"] <= 20 + 2
