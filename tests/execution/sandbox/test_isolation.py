"""What a program must not see, reach or hand out; tests/execution/hostile attacks the rest."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from execution.sandbox.control import Control
from execution.sandbox.job import prepare
from execution.sandbox.supervisor import execute
from languages import LANGUAGES
from tests.execution.conftest import kind_of_backend
from tests.execution.sandbox.running import Watcher, run

# Without cgroups bubblewrap builds the very same walls, so those are not tried twice.
pytestmark = pytest.mark.parametrize(
    "backend", [kind_of_backend("bubblewrap"), kind_of_backend("docker")], indirect=True
)
PROJECT = Path(__file__).resolve().parents[3]


def test_no_program_is_ever_root(backend):
    source = "id -u; id -g; id -G; grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status"
    lines = run(backend, "bash", source).stdout.decode().split("\n")
    assert lines[:3] == ["65534", "65534", "65534"]
    found = dict(line.split(":\t") for line in lines[3:] if line)
    assert int(found["CapEff"], 16) == 0
    assert found["NoNewPrivs"] == "1"


def test_host_folders_are_absent(backend, tmp_path):
    (tmp_path / "secret").write_text("secret")
    for hidden in (PROJECT / "manage.py", tmp_path, Path("/root"), Path("/home")):
        ran = run(backend, "bash", f"cat '{hidden}' 2>/dev/null; ls -A '{hidden}' 2>/dev/null")
        assert ran.stdout == b"", hidden
    assert run(backend, "bash", "cat /etc/shadow 2>/dev/null").stdout == b""


def test_var_and_run_hold_nothing_of_the_host(backend):
    ran = run(backend, "bash", "find /var /run -type f -size +0 -not -path '/var/lib/dpkg/*' 2>/dev/null | head -50")
    assert [path for path in ran.stdout.decode().split() if os.path.exists(path) and "codecrafter" in path] == []
    assert run(backend, "bash", "find / -xdev -type s 2>/dev/null; ls /var/run/docker.sock 2>/dev/null").stdout == b""


def test_the_environment_holds_only_what_the_job_gave(backend, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "do-not-tell")
    names = {line.split("=")[0] for line in run(backend, "bash", "env").stdout.decode().split("\n") if line}
    assert names == {"PATH", "HOME", "LANG", "TERM", "PWD", "SHLVL", "_"}
    assert b"do-not-tell" not in run(backend, "bash", "cat /proc/*/environ 2>/dev/null").stdout


def test_there_is_no_setuid_file_that_works(backend):
    if backend.name == "docker":
        assert run(backend, "bash", "find / -xdev -type f -perm /6000 2>/dev/null").stdout == b""
    assert b"NoNewPrivs:\t1" in run(backend, "bash", "cat /proc/self/status").stdout


def test_the_agent_cannot_be_signalled(backend):
    names = "KILL STOP TERM INT HUP QUIT ALRM CHLD USR1 SEGV"
    source = f"for name in {names}; do kill -$name 1 2>/dev/null; sleep 0.02; echo $name; done"
    ran = run(backend, "bash", source)
    assert (ran.status, ran.stdout.decode().split()) == ("completed", names.split())


def test_the_agent_cannot_be_read(backend):
    source = (
        "for file in mem environ fd fd/0 fd/1 maps cwd/ root/ stack; do\n"
        "    ls -A /proc/1/$file >/dev/null 2>&1 && cat /proc/1/$file 2>/dev/null | wc -c\n"
        "    echo >/proc/1/$file && echo written\n"
        "done 2>errors\n"
        "grep -c -e 'ermission denied' -e directory errors"
    )
    *read, refused = run(backend, "bash", source).stdout.decode().split()
    assert set(read) <= {"0"}
    assert int(refused) >= 9


PLANT = {
    "a symbolic link": "ln -s /etc/passwd .build/link",
    "a link in place of the folder": "rm -rf .build; ln -s /etc .build",
    "a second name": "echo > .build/one; ln .build/one .build/two",
    "a pipe": "mkfifo .build/pipe",
    "a link to a device": "ln -s /dev/zero .build/zero",
    "too much": "truncate -s 1T .build/huge; head -c 60000000 /dev/zero > .build/huge",
}


@pytest.mark.parametrize("plant", PLANT.values(), ids=PLANT.keys())
def test_a_compiler_cannot_hand_out_anything_but_files(backend, plant):
    """The compile step here is a shell script, as hostile as a compiler that runs the user's code can be."""
    hostile = replace(LANGUAGES["bash"], compile=("bash", "{entry}"), run=("bash", "-c", "cat .build/*"))
    job = prepare(hostile, {"main.sh": f"mkdir -p .build; {plant}; true".encode()})
    watcher = Watcher()
    outcome = execute(job, backend, watcher, Control())
    assert outcome.status == "compile_error"
    assert outcome.message.startswith(("What the compiler left", "The compiler"))
    assert b"root" not in watcher.streams.get("stdout", b"")
