"""What an ordinary program may rely on, the same under every backend."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from execution.sandbox.control import Control
from execution.sandbox.errors import SandboxFault
from execution.sandbox.job import prepare
from execution.sandbox.supervisor import execute
from languages import LANGUAGES
from tests.execution.sandbox.running import LIMITS, Watcher, run

GREETINGS = b"Hello, Ada!\nHello, Grace!\nHello, Linus!\n"
NEEDED = ("python", "javascript", "c", "bash")


@pytest.mark.parametrize("key", ["python", "c"])
def test_a_starter_program_starts_once_greets_and_meets_no_limit(backend, key):
    """All of them are tried in tests/execution/languages."""
    language = LANGUAGES[key]
    watcher = Watcher()
    outcome = execute(prepare(language, {language.file_name: language.hello.encode()}), backend, watcher, Control())
    assert (outcome.status, watcher.streams.get("stdout"), outcome.exit_code) == ("completed", GREETINGS, 0)
    assert watcher.starts == 1
    assert outcome.stats["limit"] is None


def test_a_language_without_its_tool_is_the_hosts_fault(backend):
    absent = replace(LANGUAGES["python"], run=("no-such-interpreter", "{entry}"))
    with pytest.raises(SandboxFault) as fault:
        execute(prepare(absent, {"main.py": b""}), backend, Watcher(), Control())
    assert fault.value.code == "tool_missing"


def test_versions_name_what_answers_inside(versions):
    assert set(NEEDED) <= set(versions)
    assert versions["python"].startswith("3.")


def test_stdin_reaches_the_program_and_ends(backend):
    ran = run(backend, "python", "import sys; print(sys.stdin.read().upper())", stdin=b"some\ninput")
    assert ran.stdout == b"SOME\nINPUT\n"


def test_without_stdin_the_input_is_empty(backend):
    assert run(backend, "python", "import sys; print(len(sys.stdin.read()))").stdout == b"0\n"


def test_arguments_arrive_as_they_are(backend):
    args = ("a b", "$(id)", "", "-x", "\udcff")
    ran = run(backend, "python", "import os, sys; print([os.fsencode(word) for word in sys.argv[1:]])", args=args)
    assert ran.stdout == b"[b'a b', b'$(id)', b'', b'-x', b'\\xff']\n"


def test_files_in_folders_can_be_imported_and_read(backend):
    files = {
        "main.py": b"from pack.inner.mod import x; print(x, open('data/in.txt').read())",
        "pack/inner/mod.py": b"x = 41 + 1",
        "data/in.txt": b"text",
    }
    assert run(backend, "python", files).stdout == b"42 text\n"


def test_several_c_files_become_one_program(backend):
    files = {
        "main.c": b'#include "lib/add.h"\n#include <stdio.h>\nint main(void) { printf("%d\\n", add(2, 3)); }',
        "lib/add.c": b'#include "add.h"\nint add(int a, int b) { return a + b; }',
        "lib/add.h": b"int add(int a, int b);",
    }
    assert run(backend, "c", files).stdout == b"5\n"


def test_a_compile_error_shows_what_the_compiler_said(backend):
    ran = run(backend, "c", "int main(void) { return x; }")
    assert ran.status == "compile_error"
    assert b"main.c:1" in ran.outcome.compile_output
    assert ran.watcher.streams == {"compile": ran.outcome.compile_output}
    assert ran.outcome.stats["step"] == "compile"


def test_warnings_are_kept_beside_the_output(backend):
    ran = run(backend, "c", '#include <stdio.h>\nint main(void) { int unused; puts("ran"); }')
    assert (ran.status, ran.stdout) == ("completed", b"ran\n")
    assert b"unused" in ran.outcome.compile_output


@pytest.mark.parametrize("code", [3, 137])
def test_an_exit_code_is_told_as_it_is(backend, code):
    ran = run(backend, "bash", f"exit {code}")
    assert (ran.status, ran.outcome.exit_code, ran.outcome.signal, ran.limit) == ("failed", code, None, None)


@pytest.mark.parametrize("name", ["SEGV", "INT"])
def test_a_signal_is_told_by_its_name(backend, name):
    ran = run(backend, "bash", f"kill -{name} $$")
    assert (ran.status, ran.outcome.exit_code, ran.outcome.signal) == ("failed", None, f"SIG{name}")


def test_every_byte_arrives_as_it_was_printed(backend):
    source = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 300); sys.stderr.buffer.write(b'\\xff\\0\\xc3')"
    ran = run(backend, "python", source)
    assert ran.stdout == bytes(range(256)) * 300
    assert ran.stderr == b"\xff\0\xc3"


def test_a_program_that_writes_before_it_reads_does_not_block(backend):
    source = "import sys; sys.stdout.write('x' * 700000); print(len(sys.stdin.read()))"
    ran = run(backend, "python", source, stdin=b"y" * 1_000_000)
    assert ran.stdout == b"x" * 700_000 + b"1000000\n"


@pytest.mark.parametrize("source", ["pass", "import os; os.close(0)"])
def test_input_that_nobody_reads_harms_nothing(backend, source):
    assert run(backend, "python", source, stdin=b"z" * 10_000_000).status == "completed"


def test_a_closed_stdout_does_not_end_the_program(backend):
    ran = run(backend, "python", "import os, sys; os.close(1); sys.stderr.write('on')")
    assert (ran.status, ran.stderr) == ("completed", b"on")


def test_cancel_ends_a_program_and_keeps_its_output(backend):
    control = Control()
    watcher = Watcher(on_output=lambda _data: control.cancel())
    source = "import os, time; os.write(1, b'first\\n'); time.sleep(60)"
    ran = run(backend, "python", source, control=control, watcher=watcher)
    assert (ran.status, ran.stdout, ran.limit) == ("cancelled", b"first\n", None)


def test_cancel_ends_a_compiler(backend):
    control = Control()
    watcher = Watcher()
    threading.Thread(target=lambda: watcher.running.wait(30) and control.cancel(), daemon=True).start()
    # A file that reads itself, so that the compiler works for seconds.
    source = "#define A(x) x x x x x x x x\n#define B(x) A(A(A(A(A(A(A(x)))))))\nint main(void) { B(;) return 0; }"
    ran = run(backend, "c", source, control=control, watcher=watcher)
    assert ran.status == "cancelled"


def test_cancel_before_the_start_starts_nothing(backend):
    control = Control()
    control.cancel()
    ran = run(backend, "python", "print(1)", control=control)
    assert (ran.status, ran.watcher.starts, ran.outcome.signal) == ("cancelled", 0, None)


C_CHAT = r"""
#include <stdio.h>
int main(void) {
    char name[64];
    printf("name?\n");
    while (scanf("%63s", name) == 1) printf("hello %s\n", name);
    fprintf(stderr, "bye\n");
}
"""


def test_an_interactive_c_program_answers_line_by_line(backend):
    control = Control()
    heard = b""

    def reply(data: bytes) -> None:
        nonlocal heard
        before, heard = heard, heard + data
        for question, answer in ((b"name?\n", b"ada\n"), (b"hello ada\n", b"grace\n")):
            if question in heard and question not in before:
                control.send_input(answer)
        if b"hello grace\n" in heard and b"hello grace\n" not in before:
            control.close_input()

    limits = replace(LIMITS, idle_ms=5_000)
    ran = run(backend, "c", C_CHAT, interactive=True, limits=limits, control=control, watcher=Watcher(on_output=reply))
    assert (ran.status, ran.stderr) == ("completed", b"bye\n")
    # No carriage returns and no echo: the terminal is raw.
    assert ran.stdout == b"name?\nhello ada\nhello grace\n"


def test_an_interactive_program_that_is_left_alone_ends(backend):
    ran = run(backend, "bash", "echo ready; read line", interactive=True, limits=replace(LIMITS, idle_ms=400))
    assert (ran.status, ran.limit, ran.stdout) == ("timed_out", "idle", b"ready\n")


def test_a_slow_listener_gets_everything(backend):
    watcher = Watcher(on_output=lambda _data: time.sleep(0.1))
    ran = run(backend, "bash", "for n in 1 2 3 4 5 6; do echo $n; sleep 0.02; done", watcher=watcher)
    assert ran.stdout == b"1\n2\n3\n4\n5\n6\n"


def test_a_listener_that_blocks_holds_up_no_clock(backend):
    blocked = []

    def block(_data: bytes) -> None:
        began = time.monotonic()
        time.sleep(2)
        blocked.append(time.monotonic() - began)

    limits = replace(LIMITS, wall_ms=300)
    ran = run(backend, "bash", "echo once; sleep 60", limits=limits, watcher=Watcher(on_output=block))
    assert (ran.limit, ran.stdout) == ("wall", b"once\n")
    assert ran.outcome.stats["wall_ms"] < sum(blocked) * 1000


def test_a_failing_listener_ends_the_run_and_is_reported(backend):
    def fail(_data: bytes) -> None:
        raise LookupError("listener")

    with pytest.raises(LookupError):
        run(backend, "bash", "echo 1; sleep 60", watcher=Watcher(on_output=fail))
    assert run(backend, "python", "print(2)").stdout == b"2\n"


def test_runs_at_the_same_time_do_not_mix(backend):
    results: dict[int, bytes] = {}

    def one(number: int) -> None:
        results[number] = run(backend, "python", f"print({number}); open('/tmp/x', 'x').close()").stdout

    threads = [threading.Thread(target=one, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: f"{number}\n".encode() for number in range(5)}


def test_a_node_program_of_many_promises_fits(backend, versions):
    source = "Promise.all([...Array(1000).keys()].map(async n => n * 2)).then(all => console.log(all.length))"
    limits = replace(LIMITS, memory_bytes=LANGUAGES["javascript"].run_limits["memory_bytes"])
    assert run(backend, "javascript", source, limits=limits).stdout == b"1000\n"


def test_memory_that_is_asked_for_but_not_used_is_free(backend):
    source = "import mmap; mmap.mmap(-1, 2 << 30, flags=mmap.MAP_PRIVATE); print('ok')"
    assert run(backend, "python", source).stdout == b"ok\n"
