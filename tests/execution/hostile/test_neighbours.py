"""Rows 35, 50 and 52: what one run may notice of another, and runs that are taken away in the middle."""

from __future__ import annotations

import threading

import pytest

from execution.sandbox.control import Control
from execution.sandbox.errors import SandboxFault
from execution.sandbox.job import Job, prepare
from execution.sandbox.supervisor import execute
from tests.execution.conftest import kind_of_backend
from tests.execution.hostile.host import Host
from tests.execution.hostile.table import CASES, ROOMY, ROOMY_COMPILE, Case
from tests.execution.hostile.test_programs import both
from tests.execution.sandbox.running import Ran, Watcher, run

# Sandboxes of bubblewrap share the files of the host's /usr, and a lock belongs to the file: two programs that run at
# the same time can signal each other by locks. Refusing locks would refuse them on a program's own files too.
LOCKS_ARE_SHARED = {"bubblewrap"}


def job_of(program: str, *args: str) -> Job:
    case = Case(program, "completed", args=args)
    files = {case.language.file_name: case.content}
    return prepare(case.language, files, args=args, run_limits=ROOMY, compile_limits=ROOMY_COMPILE)


@both
def test_a_lock_on_a_file_of_the_system_is_seen_by_no_other_run(backend, host):
    control = Control()
    watcher = Watcher()
    holder = threading.Thread(
        target=lambda: execute(job_of("35_holds_a_lock.py", "hold"), backend, watcher, control, "holder")
    )
    locked = threading.Event()
    watcher.on_output = lambda _data: locked.set()
    holder.start()
    try:
        assert locked.wait(60)
        seen = host.run(job_of("35_holds_a_lock.py", "try")).stdout
    finally:
        control.cancel()
        holder.join()
    assert watcher.streams["stdout"] == b"locked\n"
    assert seen == (b"somebody holds it\n" if backend.name in LOCKS_ARE_SHARED else b"locked\n")


@both
@pytest.mark.parametrize("program", ["50_waits.py", "50_waits.c"])
def test_a_cancelled_run_leaves_nothing(host, program):
    control = Control()
    ran = host.run(job_of(program), control, Watcher(on_output=lambda _data: control.cancel()))
    assert (ran.status, ran.stdout) == ("cancelled", b"up\n")


@pytest.mark.parametrize("backend", [kind_of_backend("docker")], indirect=True)
def test_a_container_that_somebody_kills_is_no_verdict_on_the_program(backend, host: Host):
    def kill(_data: bytes) -> None:
        backend._api.kill(host.noted[-1].container)

    host.noted.clear()
    with pytest.raises(SandboxFault) as fault:
        execute(job_of("50_waits.py"), host, Watcher(on_output=kill), Control(), "killed")  # type: ignore[arg-type]
    assert fault.value.code == "sandbox_died"
    host.check_nothing_is_left("killed")
    assert run(backend, "bash", "echo on").stdout == b"on\n"


@both
@pytest.mark.parametrize("program", ["52_is_random.py", "52_is_random.c"])
def test_no_result_is_ever_given_twice(host, program):
    def once() -> Ran:
        return host.run(job_of(program))

    first, second = once(), once()
    assert first.status == second.status == "completed"
    assert first.stdout != second.stdout


def test_every_row_of_the_list_is_tried():
    # Uploads (28, 29) and quotas (51) are tried where they are decided, 34 in test_kernel.py, 50 and 52 here.
    elsewhere = {28, 29, 34, 50, 51, 52}
    assert {case.row for case in CASES} | elsewhere == set(range(1, 53))
