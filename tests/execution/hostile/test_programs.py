"""Every program of the table, on every backend, and the host after each."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from execution.sandbox.errors import InvalidJob
from execution.sandbox.job import Step, prepare
from tests.execution.conftest import KINDS, kind_of_backend
from tests.execution.hostile.host import Host
from tests.execution.hostile.table import CASES, ROOMY, Case
from tests.execution.sandbox.running import Ran

both = pytest.mark.parametrize("backend", [kind_of_backend("bubblewrap"), kind_of_backend("docker")], indirect=True)
everywhere = pytest.mark.parametrize("backend", [kind_of_backend(kind) for kind in KINDS], indirect=True)
SECRET = "answer-4711"


def own_addresses() -> list[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing; the kernel only chooses the address it would send from.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return []
        return [probe.getsockname()[0]]


def run_case(host: Host, case: Case, args: tuple[str, ...]) -> Ran:
    job = prepare(
        case.language,
        {case.language.file_name: case.content},
        stdin=case.stdin,
        args=args,
        run_limits=case.limits,
        compile_limits=case.compile_limits,
    )
    ran = host.run(job)
    stats = ran.outcome.stats
    print(
        f"row {case.row} {case.name} {host.name}: {ran.status} {stats['limit'] or ''} wall {stats['wall_ms']} ms, "
        f"cpu {stats['cpu_ms']} ms, {stats['memory_bytes'] // 1024} KiB, {stats['processes_peak']} processes"
    )
    return ran


def assert_as_expected(ran: Ran, case: Case) -> None:
    outcome = ran.outcome
    allowed = case.status if isinstance(case.status, tuple) else (case.status,)
    limits = case.limit if isinstance(case.limit, tuple) else (case.limit,)
    said = (outcome, ran.stdout[:500], ran.stderr[:500])
    assert ran.status in allowed, said
    if ran.status in {"timed_out", "out_of_memory", "output_limit", "compile_error"}:
        assert ran.limit in limits, said
    if case.exit_code is not None:
        assert outcome.exit_code == case.exit_code, said
    if case.signal is not None or case.exit_code is not None:
        assert outcome.signal == case.signal, said
    if case.stdout is not None:
        assert ran.stdout == case.stdout, said
    if case.starts is not None:
        assert ran.stdout.startswith(case.starts), said
    if case.stderr is not None:
        assert ran.stderr == case.stderr, said
    if case.truncated is not None:
        assert outcome.truncated == case.truncated, said
    for flag in case.flags:
        assert outcome.stats[flag], (flag, said)
    assert case.compile_says in outcome.compile_output, said
    assert b"root:" not in outcome.compile_output + ran.stdout
    limit = case.compile_limits if ran.status == "compile_error" else case.limits
    assert len(ran.stdout) + len(ran.stderr) <= case.limits.output_bytes
    assert len(outcome.compile_output) <= case.compile_limits.output_bytes
    # The kernel lets a dying process go a little beyond.
    assert outcome.stats["memory_bytes"] <= limit.memory_bytes * 1.1
    # bubblewrap's own processes count in the limit too.
    assert outcome.stats["processes_peak"] <= limit.processes + 2


@pytest.mark.parametrize(
    ("backend", "number"),
    [
        pytest.param(kind, number, id=f"{case.name}-{number}-{kind}", marks=kind_of_backend(kind).marks)
        for number, case in enumerate(CASES)
        for kind in KINDS
        if case.is_tried_on(kind)
    ],
    indirect=["backend"],
)
def test_a_hostile_program_ends_as_it_must(backend, host, listeners, number):
    kind = "watched" if getattr(backend, "cgroups", backend) is None else backend.name
    case = CASES[number].on(kind)
    if not case.runs_here:
        pytest.skip(f"it needs {' or '.join(case.machines)}")
    args = case.args
    if case.row == 30:
        args = (str(listeners.port), *own_addresses())
    elif case.row == 31:
        args = (listeners.name,)
    elif case.row == 49:
        args = (SECRET[::-1],)
    passwd = Path("/etc/passwd").read_bytes().splitlines()
    ran = run_case(host, case, args)
    assert_as_expected(ran, case)
    # A package that is installed meanwhile may add an account.
    assert set(passwd) <= set(Path("/etc/passwd").read_bytes().splitlines())
    assert listeners.reached == 0


@everywhere
def test_after_all_of_them_a_program_runs(host):
    host.check_the_next_one_works()


def test_an_argument_with_a_nul_byte_is_refused():
    with pytest.raises(InvalidJob):
        Step(("program", "a\0b"), {}, ROOMY)
