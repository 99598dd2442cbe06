"""Programs that want too much, each stopped with the state that says why, under every backend."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest

from execution.sandbox.limits import MIB
from tests.execution.conftest import kind_of_backend
from tests.execution.sandbox.running import LIMITS, SHORT, run

# The other backends meet such programs in tests/execution/hostile.
watched = pytest.mark.parametrize("backend", [kind_of_backend("watched")], indirect=True)


@pytest.fixture(autouse=True)
def next_job_works(backend):
    yield
    assert run(backend, "bash", "echo still here").stdout == b"still here\n"


@watched
def test_an_infinite_loop_is_stopped_by_its_cpu_time(backend):
    ran = run(backend, "python", "print('before')\nwhile True: pass", limits=SHORT)
    assert (ran.status, ran.limit, ran.stdout) == ("timed_out", "cpu", b"before\n")
    assert ran.outcome.stats["cpu_ms"] >= 400
    assert ran.outcome.message


MEMORY_BOMB = "keep = []\nprint('begin')\nwhile True: keep.append(bytearray(b'x' * 1000000))"


@watched
def test_a_memory_bomb_is_out_of_memory_and_keeps_its_output(backend):
    ran = run(backend, "python", MEMORY_BOMB)
    assert (ran.status, ran.limit, ran.stdout) == ("out_of_memory", "memory", b"begin\n")
    assert ran.outcome.stats["memory_bytes"] == LIMITS.memory_bytes
    assert "128 MB" in ran.outcome.message


@watched
def test_a_killed_program_is_not_out_of_memory(backend):
    ran = run(backend, "bash", "exit 137")
    assert (ran.status, ran.limit) == ("failed", None)
    assert run(backend, "bash", "kill -9 $$").status == "failed"


def test_a_flood_is_cut_and_keeps_its_head_and_its_tail(backend):
    source = "n = 0\nwhile True:\n    print(n)\n    n += 1"
    ran = run(backend, "python", "import sys; sys.stdout = open(1, 'w', 65536)\n" + source)
    assert (ran.status, ran.limit, ran.outcome.truncated) == ("output_limit", "output", True)
    assert len(ran.stdout) <= LIMITS.output_bytes
    assert len(ran.stdout) > LIMITS.output_bytes * 0.9
    assert ran.stdout.startswith(b"0\n1\n2\n")
    assert ran.outcome.stats["output_bytes"] > LIMITS.output_bytes


def test_output_up_to_the_limit_is_whole(backend):
    ran = run(backend, "python", f"import sys; sys.stdout.write('x' * {MIB})")
    assert (ran.status, len(ran.stdout), ran.outcome.truncated) == ("completed", MIB, False)


REPORT_ERROR = "except OSError as error: print(errno.errorcode[error.errno])"


def test_a_full_disk_is_the_programs_own_error(backend):
    limits = replace(LIMITS, disk_bytes=16 * MIB)
    one_file = f"import errno\ntry: open('big', 'wb').write(b'x' * (30 << 20))\n{REPORT_ERROR}"
    ran = run(backend, "python", one_file, limits=limits)
    assert ran.status == "completed"
    assert ran.stdout in {b"ENOSPC\n", b"EFBIG\n"}
    many = "import errno\ntry:\n    for n in range(9): open(f'f{n}', 'wb').write(b'x' * (4 << 20))\n" + REPORT_ERROR
    ran = run(backend, "python", many, limits=limits)
    assert (ran.stdout, ran.outcome.stats["disk_full"]) == (b"ENOSPC\n", True)


def test_files_count_towards_memory(backend):
    source = (
        "for place in ('/work', '/tmp', '/dev/shm'): open(place + '/f', 'wb').write(b'x' * (14 << 20))\n"
        "keep = b'x' * (50 << 20)\n"
        "import time; time.sleep(1)"
    )
    assert run(backend, "python", source, limits=replace(LIMITS, memory_bytes=64 * MIB)).status == "out_of_memory"


@watched
def test_a_compiler_that_prints_too_much_is_a_compile_error(backend):
    source = "\n".join(f"int a{n} = b{n};" for n in range(2000))
    ran = run(backend, "c", source, compile_limits=replace(LIMITS, output_bytes=20_000, memory_bytes=256 * MIB))
    assert (ran.status, ran.limit, ran.outcome.truncated) == ("compile_error", "output", True)
    assert len(ran.outcome.compile_output) <= 20_000


@watched
def test_a_program_that_is_too_large_to_carry_is_refused(backend):
    ran = run(
        backend,
        "c",
        "int main[1 << 25] = {1};",
        compile_limits=replace(LIMITS, disk_bytes=256 * MIB, memory_bytes=1024 * MIB),
    )
    assert ran.status == "compile_error"


def test_the_host_keeps_no_process_and_no_cgroup(backend):
    has_cgroups = bool(getattr(backend, "cgroups", None) and backend.cgroups.version)
    before = own_cgroups(backend) if has_cgroups else set()
    name = f"sandbox-left-behind-{os.getpid()}"
    run(backend, "bash", f"(exec -a {name} sleep 300) & (setsid bash -c 'exec -a {name} sleep 300' &) ; sleep 0.1")
    left = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if name.encode() in file.read():
                    left.append(pid)
        except OSError:
            continue
    assert left == []
    if has_cgroups:
        deadline = time.monotonic() + 20
        while own_cgroups(backend) - before and time.monotonic() < deadline:
            # A group is busy until the kernel has buried its last process; the worker tries again every minute.
            time.sleep(0.1)
            backend.reap()
        assert own_cgroups(backend) <= before


def own_cgroups(backend) -> set[str]:
    return {
        entry.name
        for parent in backend.cgroups.parents()
        for entry in parent.iterdir()
        if entry.is_dir() and entry.name.startswith(f"{os.getpid()}-")
    }
