"""The test cases of one submission: one compilation, and each case as if it were the first."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

import languages
from execution.sandbox.cases import execute_cases
from execution.sandbox.container import DEADLINE_LABEL, JOB_LABEL
from execution.sandbox.control import Control
from execution.sandbox.errors import InvalidJob
from execution.sandbox.job import Case, prepare
from execution.sandbox.limits import MIB
from execution.sandbox.pool import Pool
from tests.execution.conftest import kind_of_backend
from tests.execution.sandbox.running import LIMITS, Watcher

ECHO = b"#include <stdio.h>\nint main(void) { int c; while ((c = getchar()) != EOF) putchar(c); return 0; }\n"
LOOK = """
import os, sys
seen = {root: sorted(os.listdir(root)) for root in ("/work", "/tmp", "/dev/shm")}
print(seen, open("main.py").read(5), len(open("given").read()))
"""


class Counting:
    """A real backend that counts the sandboxes it makes."""

    def __init__(self, backend) -> None:
        self._backend = backend
        self.opened = 0

    def open(self, limits, label, language=""):
        self.opened += 1
        return self._backend.open(limits, label, language)

    def __getattr__(self, name):
        return getattr(self._backend, name)


def judge(backend, language, source, cases, *, files=None, limits=LIMITS, control=None, watcher=None, **options):
    row = languages.get(language)
    source = source if isinstance(source, bytes) else source.encode()
    job = prepare(row, {row.file_name: source, **(files or {})}, run_limits=limits)
    counting = Counting(backend)
    outcome = execute_cases(job, cases, counting, watcher or Watcher(), control or Control(), **options)
    return outcome, counting.opened


def states(outcome) -> list[str]:
    return [result.status.value for result in outcome.cases]


def test_a_program_is_compiled_once_and_each_case_has_its_own_input(backend):
    cases = [Case(stdin=b"case %d" % number) for number in range(20)]
    watcher = Watcher()
    outcome, opened = judge(backend, "c", ECHO, cases, watcher=watcher)
    assert [result.stdout for result in outcome.cases] == [case.stdin for case in cases]
    assert outcome.status.value == "completed"
    assert opened == 2
    assert watcher.starts == 1
    assert "stdout" not in watcher.streams


@pytest.mark.parametrize(
    "mess",
    [
        "open('/tmp/a', 'w'); open('/dev/shm/b', 'w'); open('c', 'w')",
        "os.makedirs('a/b/c'); open('a/b/c/d', 'w'); os.chmod('a/b', 0); os.chmod('a', 0)",
        "os.symlink('/', 'a'); os.symlink('main.py', '/tmp/b'); os.mkfifo('c'); os.link('given', 'd')",
        "os.remove('given'); open('main.py', 'w').write('print(1)')",
        "os.chmod('.', 0); os.chmod('/tmp', 0)",
        "os.rename('main.py', 'gone'); os.mkdir('main.py'); os.mkdir('given2')",
        "[open(f'/tmp/{n}', 'w').close() for n in range(500)]",
        "\nfor n in range(5):\n    if os.fork() == 0:\n        os.setsid()\n        while True:\n"
        "            open(f'/tmp/{n}', 'w')",
    ],
)
def test_nothing_of_one_case_is_left_for_the_next(backend, mess):
    outcome, _opened = judge(backend, "python", f"{LOOK}\n{mess}", [Case()] * 3, files={"given": b"as it was"})
    first, *others = [result.stdout for result in outcome.cases]
    assert first.startswith(b"{'/work': ['given', 'main.py'], '/tmp': [], '/dev/shm': []} \nimpo 9")
    assert others == [first, first]


MEMO = """
import os
for root in ("/work", "/tmp", "/dev/shm"):
    found = os.stat(root)
    print(root, os.listxattr(root), oct(found.st_mode), 4711 in (int(found.st_atime), int(found.st_mtime)))
    for write in (lambda: os.setxattr(root, "user.memo", b"seen"), lambda: os.utime(root, (4711, 4711))):
        try:
            write()
        except OSError:
            pass
"""


def test_a_folder_that_stays_carries_nothing_to_the_next_case(backend):
    outcome, opened = judge(backend, "python", MEMO, [Case()] * 2)
    first, second = [result.stdout.decode() for result in outcome.cases]
    assert first == second
    assert "memo" not in first and "True" not in first
    assert opened == 1


@pytest.mark.parametrize("backend", [kind_of_backend("docker")], indirect=True)
def test_a_container_lives_as_long_as_all_its_cases_may(backend):
    """Whoever reaps goes by this label, and a submission may take longer than one of its cases."""
    deadlines = []

    def note(_index, _result) -> bool:
        found = backend._api.containers(filters={"label": f"{JOB_LABEL}=long"})
        deadlines.extend(int(container["Labels"][DEADLINE_LABEL]) for container in found)
        return True

    limits = replace(LIMITS, wall_ms=1_000)
    judge(backend, "bash", "echo", [Case()] * 3, limits=limits, label="long", after_case=note)
    assert len(deadlines) >= 2
    assert min(deadlines) > time.time() + 3_000


def test_what_cannot_be_cleaned_up_in_time_costs_a_new_sandbox(backend):
    many = f"{LOOK}\nfor n in range(10_500): os.mkdir(str(n))"
    outcome, opened = judge(backend, "python", many, [Case()] * 2, files={"given": b"123456789"})
    assert outcome.cases[0].stdout == outcome.cases[1].stdout
    assert opened == 2


def test_shared_memory_that_stays_costs_a_new_sandbox(backend):
    source = "import ctypes\nprint(ctypes.CDLL(None).shmget(7, 4096, 0o1666))"
    outcome, opened = judge(backend, "python", source, [Case()] * 2)
    if "watcher" in backend.describe():
        # It would not be counted there, and is refused.
        assert [result.stdout for result in outcome.cases] == [b"-1\n", b"-1\n"]
        return
    assert [result.stdout for result in outcome.cases] == [b"0\n", b"0\n"]
    assert opened == 2


def test_each_case_has_its_own_verdict(backend):
    source = """
import sys
match input():
    case "fails": print("so far"); print("why", file=sys.stderr); sys.exit(3)
    case "crashes": import os; os.abort()
    case "loops":
        while True: pass
    case "eats":
        keep = []
        while True: keep.append(b"x" * 1_000_000)
    case "floods":
        while True: print("x" * 1000)
    case word: print(word, sys.argv[1:])
"""
    words = ["fine", "fails", "crashes", "loops", "eats", "floods", "fine"]
    cases = [Case(stdin=word.encode(), limits=replace(LIMITS, cpu_ms=500, output_bytes=4096)) for word in words]
    cases[-1] = Case(stdin=b"last", args=("a", "b c"))
    outcome, _opened = judge(backend, "python", source, cases)
    assert states(outcome) == [
        "completed",
        "failed",
        "failed",
        "timed_out",
        "out_of_memory",
        "output_limit",
        "completed",
    ]
    fine, fails, crashes, loops, eats, floods, last = outcome.cases
    assert (fails.exit_code, fails.stdout, fails.stderr) == (3, b"so far\n", b"why\n")
    assert crashes.signal == "SIGABRT"
    assert [result.stats["limit"] for result in (loops, eats, floods)] == ["cpu", "memory", "output"]
    assert len(floods.stdout) <= 4096
    assert floods.truncated
    assert (fine.stdout, last.stdout) == (b"fine []\n", b"last ['a', 'b c']\n")
    assert (outcome.status.value, outcome.exit_code) == ("failed", 3)
    assert outcome.stats["wall_ms"] == sum(result.stats["wall_ms"] for result in outcome.cases)


def test_the_memory_of_a_case_is_its_own(backend):
    source = "x = b'x' * (int(input()) << 20)"
    outcome, opened = judge(backend, "python", source, [Case(stdin=b"60"), Case(stdin=b"1")])
    large, small = [result.stats["memory_bytes"] for result in outcome.cases]
    assert large > 60 * MIB > 2 * small
    assert opened == 1


def test_the_caller_may_stop_after_any_case(backend):
    heard = []

    def after_case(index, result):
        heard.append((index, result.stdout))
        return result.stdout != b"b"

    cases = [Case(stdin=word) for word in (b"a", b"b", b"c")]
    outcome, _opened = judge(backend, "c", ECHO, cases, after_case=after_case)
    assert heard == [(0, b"a"), (1, b"b")]
    assert len(outcome.cases) == 2


def test_a_program_that_does_not_compile_has_no_cases(backend):
    outcome, opened = judge(backend, "c", b"int main(", [Case()] * 3)
    assert (outcome.status.value, outcome.cases, opened) == ("compile_error", (), 1)
    assert b"error" in outcome.compile_output


def test_cancelling_ends_the_case_that_runs_and_all_that_follow(backend):
    control = Control()

    def after_case(index, _result):
        if index == 1:
            control.cancel()
        return True

    outcome, _opened = judge(backend, "c", ECHO, [Case()] * 5, control=control, after_case=after_case)
    assert states(outcome) == ["completed", "completed"]


def test_no_cases_are_a_submission_that_only_compiles(backend):
    outcome, _opened = judge(backend, "c", ECHO, [])
    assert (outcome.status.value, outcome.cases) == ("completed", ())


def test_a_case_with_other_limits_gets_a_sandbox_of_its_own(backend):
    cases = [Case(), Case(limits=replace(LIMITS, memory_bytes=64 * MIB)), Case()]
    outcome, opened = judge(backend, "python", "print(1)", cases)
    assert states(outcome) == ["completed"] * 3
    assert opened == 3


def test_an_argument_that_no_program_can_have_is_refused(backend):
    with pytest.raises(InvalidJob):
        judge(backend, "python", "", [Case(args=("a\0b",))])


def test_cases_take_parked_sandboxes(backend):
    pool = Pool(backend, minimum=1, maximum=1)
    try:
        pool.expect(LIMITS)
        assert pool.settle(60)
        outcome, opened = judge(pool, "python", "print(input())", [Case(stdin=b"%d" % n) for n in range(3)])
        assert [result.stats["start"] for result in outcome.cases] == ["fork", "exec", "exec"]
        assert opened == 1
    finally:
        pool.close()


def test_input_that_nobody_read_does_not_reach_the_next_case(backend):
    outcome, _opened = judge(
        backend, "python", "import sys; print(len(sys.argv))", [Case(stdin=b"x" * 5_000_000), Case(), Case()]
    )
    assert [result.stdout for result in outcome.cases] == [b"1\n"] * 3


def test_a_case_sees_nothing_of_the_next_one_that_was_sent_ahead(backend):
    source = """
import os, sys, time
number = int(input().rpartition("-")[2])
wanted = b"sec" + b"ret-%d" % (number + 1)
end = time.monotonic() + 0.2
seen = set()
while time.monotonic() < end:
    for root in ("/work", "/tmp", "/dev/shm", "/proc/1", "/proc/1/fd", "/proc/1/task/1", "/proc/self", "/proc/self/fd"):
        try:
            names = os.listdir(root)
        except OSError:
            continue
        for name in names:
            try:
                descriptor = os.open(f"{root}/{name}", os.O_RDONLY | os.O_NONBLOCK)
            except OSError:
                continue
            try:
                if wanted in os.read(descriptor, 1 << 20):
                    seen.add(f"{root}/{name}")
            except OSError:
                pass
            finally:
                os.close(descriptor)
print(sorted(seen))
"""
    outcome, opened = judge(backend, "python", source, [Case(stdin=b"secret-%d" % number) for number in range(3)])
    assert [result.stdout for result in outcome.cases] == [b"[]\n"] * 3
    assert opened == 1


def test_a_case_that_is_stopped_takes_those_sent_ahead_with_it(backend):
    source = """
word = input()
while word == "loop": pass
print(word)
"""
    words = [b"a", b"loop", b"b", b"c"]
    cases = [Case(stdin=word, limits=replace(LIMITS, cpu_ms=300)) for word in words]
    outcome, opened = judge(backend, "python", source, cases)
    assert states(outcome) == ["completed", "timed_out", "completed", "completed"]
    assert [result.stdout for result in outcome.cases] == [b"a\n", b"", b"b\n", b"c\n"]
    assert opened == 2
