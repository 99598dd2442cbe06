"""The hostile programs, one row per program: what it is asked with and how its run must end, on every backend.

Rows are numbered by what is attacked; docs/sandbox.md has the same numbers. A program is a file in programs/, its
language told by the suffix. Programs that a limit must end get SMALL limits, those that end by themselves ROOMY ones,
so that a busy machine cannot turn one into the other.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import languages
from execution.sandbox.limits import MIB, Limits
from languages import Language

# Where no cgroup can be made, the filter of system calls and the mounts differ, and the agent counts time, memory,
# processes and files in the loop that passes on output. The other rows do not touch any of that.
DIFFERENT_WHEN_WATCHED = {*range(1, 21), *range(22, 27), *range(30, 39), 40, *range(44, 50)}
PROGRAMS = Path(__file__).with_name("programs")
LANGUAGE_OF_SUFFIX = {".py": "python", ".c": "c", ".cpp": "cpp", ".js": "javascript", ".sh": "bash"}

SMALL = Limits(
    cpu_ms=500,
    wall_ms=2_000,
    memory_bytes=128 * MIB,
    output_bytes=MIB // 4,
    processes=64,
    disk_bytes=64 * MIB,
    cpus=1.0,
)
# Where cpu time must be what ends it, however busy the machine is.
BURNS = replace(SMALL, wall_ms=30_000)
ROOMY = replace(SMALL, cpu_ms=10_000, wall_ms=60_000)
SMALL_COMPILE = replace(SMALL, cpu_ms=1_000, wall_ms=10_000, memory_bytes=192 * MIB, output_bytes=MIB // 16)
ROOMY_COMPILE = replace(ROOMY, memory_bytes=512 * MIB, disk_bytes=128 * MIB)


@dataclass(frozen=True)
class Case:
    """`status` and `limit` may name several where the order of two limits is the machine's.

    `stdout` is all that was printed; `starts` only how it begins; `flags` are those of the stats that must be set.
    `as_compiler`: the program is the compile step itself, and the run prints the report it left.
    `elsewhere` replaces fields on the backend it names, with the reason.
    """

    program: str
    status: str | tuple[str, ...]
    limit: str | tuple[str, ...] | None = None
    exit_code: int | None = None
    signal: str | None = None
    stdout: bytes | None = None
    starts: bytes | None = None
    stderr: bytes | None = None
    compile_says: bytes = b""
    flags: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    stdin: bytes | None = None
    source: bytes | None = None
    limits: Limits = ROOMY
    compile_limits: Limits = ROOMY_COMPILE
    as_compiler: bool = False
    truncated: bool | None = None
    elsewhere: Mapping[str, tuple[str, Mapping[str, object]]] = field(default_factory=dict)
    machines: tuple[str, ...] = ()

    @property
    def row(self) -> int:
        return int(self.program[:2])

    @property
    def name(self) -> str:
        words = [self.program, *self.args] if not self.program.startswith(("30", "31", "49")) else [self.program]
        return "-".join(words) + ("-own-source" if self.source is not None else "")

    @property
    def language(self) -> Language:
        known = languages.get(LANGUAGE_OF_SUFFIX[Path(self.program).suffix])
        if self.as_compiler:
            return replace(known, compile=known.run, run=("cat", ".build/report"))
        return known

    @property
    def content(self) -> bytes:
        return self.source if self.source is not None else (PROGRAMS / self.program).read_bytes()

    @property
    def runs_here(self) -> bool:
        return not self.machines or platform.machine() in self.machines

    def is_tried_on(self, backend: str) -> bool:
        return backend != "watched" or self.row in DIFFERENT_WHEN_WATCHED

    def on(self, backend: str) -> Case:
        _reason, fields = self.elsewhere.get(backend, ("", {}))
        return replace(self, **fields)  # type: ignore[arg-type]


def cpu(program: str) -> Case:
    return Case(program, "timed_out", "cpu", stdout=b"before\n", limits=BURNS)


def wall(program: str) -> Case:
    return Case(program, "timed_out", "wall", stdout=b"before\n", limits=SMALL)


def ends(program: str, stdout: bytes, **more: object) -> Case:
    return Case(program, "completed", exit_code=0, stdout=stdout, **more)  # type: ignore[arg-type]


def memory(program: str, **more: object) -> Case:
    return Case(program, "out_of_memory", "memory", **more)  # type: ignore[arg-type]


def flood(program: str) -> Case:
    return Case(program, "output_limit", "output", truncated=True)


def signalled(program: str, signal: str, *args: str, **more: object) -> Case:
    return Case(program, "failed", signal=signal, args=args, **more)  # type: ignore[arg-type]


def no_program(program: str, limit: str | tuple[str, ...] | None = None, says: bytes = b"", **more: object) -> Case:
    return Case(program, "compile_error", limit, compile_says=says, compile_limits=SMALL_COMPILE, **more)  # type: ignore[arg-type]


NO_INODE_LIMIT = (
    "bubblewrap mounts a tmpfs without a limit of inodes; memory or time ends the program instead",
    {
        "status": ("out_of_memory", "timed_out"),
        "limit": ("memory", "cpu", "wall"),
        "exit_code": None,
        "stdout": None,
        "flags": (),
        "limits": SMALL,
    },
)
ENDS_ALL_FOR_MEMORY = (
    "the agent ends the whole program, where the kernel chooses a process",
    {"status": "out_of_memory", "limit": "memory", "exit_code": None, "stdout": None, "flags": ()},
)
MANY_PYTHONS = (
    "so many processes of Python hold more than the limit, and nothing slows them down before they are counted",
    {"status": ("timed_out", "failed", "out_of_memory"), "limit": ("cpu", "wall", "memory"), "flags": ()},
)
TOO_SHORT_TO_COUNT = ("it may end between two looks, and no counter tells of it afterwards", {"flags": ()})
NO_MEMFD = ("a file in no folder could not be counted", {"stdout": b"['EMFILE', 'EPERM']\n"})
TCP_IS_APART = (
    "version 1 of cgroups counts TCP's buffers only where asked to, and Docker does not ask",
    {"status": ("out_of_memory", "failed", "completed")},
)
# The ways of programs/11_memory_nobody_maps.c.
WAYS_OF_MEMORY = (
    *("memfd", "sysv", "messages", "semaphores", "shared", "zero", "tables", "first-thread-ends", "hidden"),
    *("pipes", "sockets", "tcp", "watches"),
)
ODD_BYTES = (
    b"\xef\xbb\xbf\xe2\x82\xac\r\n\xff\xfe\xed\xa0\x80\xc3(\x1b[2J\x1b]0;title\x07\x1b]8;;http://example.org\x07\x08\n"
)
SYSTEM_SIGNALS = {"4": "SIGILL", "7": "SIGBUS", "9": "SIGKILL", "13": "SIGPIPE", "24": "SIGXCPU", "25": "SIGXFSZ"}

CASES: tuple[Case, ...] = (
    # Time
    cpu("01_endless_loop.py"),
    cpu("01_endless_loop.c"),
    cpu("01_endless_loop.js"),
    wall("02_endless_sleep.py"),
    wall("02_endless_sleep.sh"),
    cpu("03_many_burners.py"),
    cpu("03_many_burners.c"),
    cpu("04_clock_stall.py"),
    cpu("04_clock_stall.c"),
    # Processes
    *(
        Case(
            f"05_fork_bomb.{suffix}",
            ("timed_out", "failed"),
            ("cpu", "wall"),
            flags=("pids_limit_hit",),
            limits=SMALL,
            elsewhere={"watched": MANY_PYTHONS} if suffix == "py" else {},
        )
        for suffix in ("py", "c", "sh")
    ),
    *(
        Case(
            f"06_thread_bomb.{suffix}",
            "failed",
            exit_code=3,
            stdout=b"refused True\n",
            flags=("pids_limit_hit",),
            elsewhere={"watched": TOO_SHORT_TO_COUNT},
        )
        for suffix in ("py", "c")
    ),
    ends("07_daemon.py", b"parent ends\n"),
    ends("07_daemon.c", b"parent ends\n"),
    ends("08_child_holds_stdout.sh", b"parent ends\n"),
    ends("08_child_holds_stdout.c", b"parent ends\n"),
    cpu("09_ignores_signals.py"),
    cpu("09_ignores_signals.c"),
    ends("10_kills_everything.py", b"still here\n"),
    signalled("10_kills_everything.c", "SIGKILL", stdout=b"still here\n"),
    # Memory
    memory("11_memory_bomb.py", stdout=b"before\n"),
    memory("11_memory_bomb.c", stdout=b"before\n"),
    memory("11_memory_bomb.js", stdout=b"before\n"),
    *(
        Case(
            "11_memory_nobody_maps.c",
            ("out_of_memory", "failed"),
            "memory",
            args=(way,),
            elsewhere={"docker": TCP_IS_APART} if way == "tcp" else {},
        )
        for way in WAYS_OF_MEMORY
    ),
    *(
        ends(
            f"12_memory_bomb_in_child.{suffix}",
            b"parent is well\n",
            flags=("child_oom",),
            elsewhere={"watched": ENDS_ALL_FOR_MEMORY},
        )
        for suffix in ("py", "c")
    ),
    memory("13_many_eat_little.py"),
    memory("13_many_eat_little.c"),
    memory("14_great_array.c"),
    memory("14_great_array.py"),
    ends("15_memory_untouched.c", b"given\n"),
    ends("15_memory_untouched.py", b"given\n"),
    signalled("16_endless_recursion.c", "SIGSEGV"),
    Case("16_endless_recursion.py", "failed", exit_code=1),
    Case("16_endless_recursion.js", "failed", exit_code=1),
    # Files
    ends("17_fills_tmp.py", b"ENOSPC\n", flags=("disk_full",)),
    ends("17_fills_tmp.c", b"ENOSPC\n", flags=("disk_full",)),
    ends("18_fills_shm.py", b"ENOSPC True\n", flags=("disk_full",)),
    signalled("18_maps_past_shm.c", "SIGBUS", flags=("disk_full",)),
    *(
        ends(
            f"19_inode_bomb.{suffix}",
            b"ENOSPC\n",
            flags=("disk_full",),
            elsewhere={"bubblewrap": NO_INODE_LIMIT, "watched": NO_INODE_LIMIT},
        )
        for suffix in ("py", "c")
    ),
    ends("19_deep_folders.py", b"deep 1\n"),
    ends("19_deep_folders.sh", b"deep 300\n"),
    ends("20_huge_sparse_file.py", b"EFBIG\nEFBIG\n"),
    signalled("20_huge_sparse_file.c", "SIGXFSZ"),
    ends("21_writes_to_the_system.py", b"end\n"),
    ends("21_writes_to_the_system.sh", b"end\n"),
    # Output
    flood("22_stdout_flood.py"),
    flood("22_stdout_flood.c"),
    flood("22_stdout_flood.js"),
    flood("23_stderr_flood.py"),
    flood("23_flood_of_single_bytes.c"),
    # Compilers
    no_program("24_compile_output_flood.c", "output", b"flood", truncated=True),
    no_program("24_includes_host_files.c", None, b"/etc/shadow"),
    no_program("24_assembles_host_files.c", None, b"/etc/shadow"),
    no_program("24_includes_random.c", ("cpu", "memory", "output", None)),
    no_program("24_includes_random.cpp", ("cpu", "memory", "output", None)),
    no_program("25_macro_bomb.c", ("cpu", "memory")),
    no_program("25_binary_bomb.c", ("cpu", "memory", None)),
    no_program("25_template_bomb.cpp", ("cpu", "memory")),
    no_program("26_endless_constexpr.cpp", ("cpu", None)),
    ends("26_runs_while_compiling.py", b"uid 65534\n", as_compiler=True),
    ends("26_runs_while_compiling.sh", b"uid 65534\n", as_compiler=True),
    ends("27_plants_links.py", b"planted\n", as_compiler=True),
    ends("27_plants_links.sh", b"planted\n", as_compiler=True),
    no_program("27_plants_link_as_program.py", as_compiler=True),
    no_program("27_plants_link_as_program.sh", as_compiler=True),
    # Network and neighbours
    ends("30_network.py", b"interfaces []\n"),
    ends("30_network.c", b"interfaces []\n"),
    ends("31_sockets.py", b"an abstract name of its own\nend\n"),
    ends("31_sockets.c", b"end\n"),
    ends(
        "32_reads_proc_and_sys.py",
        b"processes [1]\nenvironment ['HOME', 'LANG', 'PATH', 'PYTHONDONTWRITEBYTECODE', 'PYTHONIOENCODING', "
        b"'PYTHONUNBUFFERED', 'TERM']\n",
    ),
    ends("32_reads_proc_and_sys.sh", b"end\n"),
    ends("33_looks_for_the_engine.py", b"end\n"),
    ends("33_looks_for_the_engine.sh", b"end\n"),
    signalled("34_foreign_architecture.c", "SIGSYS", machines=("x86_64",)),
    ends("35_leaves_files.py", b"/work []\n/tmp []\n/dev/shm []\n"),
    ends("35_leaves_files.py", b"/work []\n/tmp []\n/dev/shm []\n"),
    ends("35_leaves_files.sh", b"end\n"),
    ends("35_leaves_files.sh", b"end\n"),
    ends("35_leaves_keys_and_queues.c", b"end\n"),
    ends("35_leaves_keys_and_queues.c", b"end\n"),
    ends("35_watches_shared_files.c", b"end\n"),
    Case("36_becomes_root.py", "completed", starts=b"{'Uid': ['65534', '65534', '65534', '65534']"),
    ends("36_becomes_root.c", b"uid 65534 65534\n"),
    # Bytes
    *(
        ends(f"37_{name}.{suffix}", b"done\n", stdin=b"z" * 10_000_000)
        for name in ("never_reads", "closes_stdin")
        for suffix in ("py", "c")
    ),
    *(
        ends(
            f"38_writes_before_reading.{suffix}",
            b"x" * MIB + f"{MIB}\n".encode(),
            stdin=b"y" * MIB,
            limits=replace(ROOMY, output_bytes=2 * MIB),
        )
        for suffix in ("py", "c")
    ),
    ends("39_nul_bytes.py", b"b\0a\0", stdin=b"\0a\0b", stderr=b"OK\0"),
    ends("39_nul_bytes.c", b"b\0a\0", stdin=b"\0a\0b", stderr=b"OK\0"),
    # Versions of Python differ: some end the source at the NUL byte, some refuse it.
    Case("39_nul_bytes.py", ("completed", "failed"), source=b"print(1)\0\n"),
    ends("39_nul_bytes.c", b"in\n", source=b'#include <stdio.h>\nint main(void) { puts("in"\0); }\n'),
    ends("40_odd_bytes.py", ODD_BYTES),
    ends("40_odd_bytes.c", ODD_BYTES),
    ends("40_odd_bytes.py", b"2\n", source=b"\xef\xbb\xbfif True:\r\n    print(len('\xc3\xa9\xe2\x82\xac'))\r\n"),
    Case("40_odd_bytes.py", "failed", exit_code=1, source=b"print('\xff\xed\xa0\x80')\n"),
    flood("40_one_long_line.py"),
    # Ends
    *(
        Case("41_exit_code.c", "failed", exit_code=int(code) % 256, args=(code,))
        for code in ("1", "2", "126", "127", "128", "137", "139", "255", "-1")
    ),
    *(Case("41_exit_code.py", "failed", exit_code=int(code) % 256, args=(code,)) for code in ("1", "137", "-1")),
    ends("41_exit_code.py", b"", args=("0",)),
    ends("41_exit_code.c", b"", args=("0",)),
    *(signalled("42_signal.c", signal, number) for number, signal in SYSTEM_SIGNALS.items()),
    # Python ignores the last two unless told otherwise.
    *(signalled("42_signal.py", SYSTEM_SIGNALS[number], number) for number in ("9", "13", "25")),
    signalled("42_signal.c", "SIGSEGV", "null"),
    signalled("42_signal.c", "SIGABRT", "abort"),
    signalled("42_signal.c", "SIGFPE", "divide", machines=("x86_64",)),
    signalled("43_dumps_core.c", "SIGABRT", stdout=b"end\n"),
    ends("43_dumps_core.py", b"no core True\n[]\n"),
    ends("44_orphans.py", b"left 2\n"),
    ends("44_orphans.c", b"limited\n", flags=("pids_limit_hit",), elsewhere={"watched": TOO_SHORT_TO_COUNT}),
    ends("45_raises_its_limits.py", b"end\n"),
    ends("45_raises_its_limits.c", b"end\n"),
    Case(
        "46_takes_back_its_output.py",
        "timed_out",
        "cpu",
        starts=b"before\n",
        limits=replace(BURNS, output_bytes=4 * MIB),
    ),
    wall("46_stops_itself.py"),
    wall("46_stops_everybody.c"),
    ends("47_opens_everything.py", b"['EMFILE']\n", elsewhere={"watched": NO_MEMFD}),
    ends("47_timer_flood.c", b"done\n"),
    Case("48_forges_a_result.py", "failed", exit_code=5, starts=b"open [0, 1, 2]\n\x16"),
    Case("48_forges_a_result.c", "failed", exit_code=5, starts=b"\x16\0\0\0"),
    ends("49_looks_for_answers.py", b"end\n"),
    ends("49_leaves_early.c", b""),
)
