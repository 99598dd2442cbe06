"""Row 34, the kernel's surface: every call that no program needs, tried in a sandbox and in the filter itself."""

from __future__ import annotations

import platform
import struct
from typing import TYPE_CHECKING

import pytest

import languages
from execution.sandbox import seccomp
from execution.sandbox.job import prepare
from execution.sandbox.syscalls import NUMBERS
from tests.execution.hostile.table import PROGRAMS, ROOMY, ROOMY_COMPILE
from tests.execution.hostile.test_programs import everywhere

if TYPE_CHECKING:
    from collections.abc import Iterable

# A name -> the call and its arguments.
Calls = dict[str, tuple[str, tuple[int, ...]]]
ARCHITECTURES = list(seccomp.AUDIT_ARCH)
# What Docker's own profile refuses to a container without capabilities.
REFUSED_BY_DOCKER = """
    _sysctl acct add_key afs_syscall bpf chroot clock_settime create_module delete_module fanotify_init finit_module
    fsconfig fsmount fsopen fspick get_kernel_syms get_mempolicy getpmsg init_module ioperm iopl kcmp
    kexec_file_load kexec_load keyctl lookup_dcookie mbind migrate_pages mount mount_setattr move_mount move_pages
    nfsservctl open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root process_madvise putpmsg
    query_module quotactl quotactl_fd reboot request_key security set_mempolicy set_mempolicy_home_node
    setdomainname sethostname setns settimeofday swapoff swapon sysfs syslog tuxcall umount2 unshare uselib
    userfaultfd ustat vhangup vserver
"""
# What that profile allows, and ours does not.
REFUSED_BY_US = """
    clock_adjtime fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_uring_enter
    io_uring_register io_uring_setup memfd_secret modify_ldt name_to_handle_at process_vm_readv process_vm_writev
    ptrace
"""
REFUSED = sorted((REFUSED_BY_DOCKER + REFUSED_BY_US).split())

AGENT = 1
# A 64-bit argument of which the kernel reads only the low half.
AGENT_DISGUISED = AGENT + (1 << 32)
WITH_ARGUMENTS: Calls = {
    "clone3": ("clone3", ()),
    "clone:mounts": ("clone", (0x20000 | 17,)),
    "clone:cgroups": ("clone", (0x2000000 | 17,)),
    "clone:names": ("clone", (0x4000000 | 17,)),
    "clone:ipc": ("clone", (0x8000000 | 17,)),
    "clone:users": ("clone", (0x10000000 | 17,)),
    "clone:processes": ("clone", (0x20000000 | 17,)),
    "clone:network": ("clone", (0x40000000 | 17,)),
    "socket:packet": ("socket", (17, 3)),
    "socket:bluetooth": ("socket", (31, 3)),
    "socket:alg": ("socket", (38, 5)),
    "socket:vsock": ("socket", (40, 1)),
    "socket:vsock-disguised": ("socket", (40 + (1 << 32), 1)),
    "socketpair:vsock": ("socketpair", (40, 1)),
    "personality:no-randomness": ("personality", (0x40000,)),
    "personality:32-bit": ("personality", (8,)),
    "fcntl:lease": ("fcntl", (0, 1024, 0)),
    "fcntl:notify": ("fcntl", (0, 1026, 1)),
    "prlimit64:agent": ("prlimit64", (AGENT, 7)),
    "prlimit64:agent-disguised": ("prlimit64", (AGENT_DISGUISED, 7)),
    "setpriority:agent": ("setpriority", (0, AGENT, 19)),
    "setpriority:user": ("setpriority", (2, 0, 19)),
    "setpriority:group": ("setpriority", (1, AGENT, 19)),
    "ioprio_set:agent": ("ioprio_set", (1, AGENT, 0)),
    "sched_setscheduler:agent": ("sched_setscheduler", (AGENT, 5)),
    "sched_setscheduler:agent-disguised": ("sched_setscheduler", (AGENT_DISGUISED, 5)),
    "sched_setparam:agent": ("sched_setparam", (AGENT,)),
    "sched_setattr:agent": ("sched_setattr", (AGENT,)),
    "sched_setaffinity:agent": ("sched_setaffinity", (AGENT, 8)),
}
NEEDED: Calls = {
    "clone:thread": ("clone", (0x3D0F00,)),
    "clone:process": ("clone", (17,)),
    "socket:unix": ("socket", (1, 1)),
    "socket:netlink": ("socket", (16, 3)),
    "personality:ask": ("personality", (0xFFFFFFFF,)),
    "fcntl:lock": ("fcntl", (3, 6)),
    "fcntl:duplicate": ("fcntl", (3, 1030)),
    "prlimit64:own": ("prlimit64", (0, 7)),
    "prlimit64:child": ("prlimit64", (4711, 7)),
    "sched_setaffinity:own": ("sched_setaffinity", (0, 8)),
    "sched_setscheduler:thread": ("sched_setscheduler", (12, 0)),
    "setpriority:own": ("setpriority", (0, 0, 5)),
    "mmap:private": ("mmap", (0, 4096, 3, 0x22)),
    "mmap:shared-file": ("mmap", (0, 4096, 3, 0x01, 3)),
    "setsockopt:no-delay": ("setsockopt", (3, 6, 1)),
    "setsockopt:reuse": ("setsockopt", (3, 1, 2)),
    "fcntl:pipe-size": ("fcntl", (3, 1032)),
    "close_range": ("close_range", (3, 9, 0)),
    "execve": ("execve", ()),
    "futex": ("futex", ()),
    "openat": ("openat", ()),
    "wait4": ("wait4", ()),
}
# What makes memory that no process shows in /proc.
UNCOUNTED: Calls = {
    **{name: (name, ()) for name in ("memfd_create", "shmget", "semget", "msgget", "landlock_create_ruleset")},
    "mmap:shared": ("mmap", (0, 4096, 3, 0x21)),
    "mmap:shared-huge": ("mmap", (0, 4096, 3, 0x40021)),
    "fcntl:grow-pipe": ("fcntl", (3, 1031)),
    "setsockopt:sndbuf": ("setsockopt", (3, 1, 7)),
    "setsockopt:rcvbuf": ("setsockopt", (3, 1, 8)),
    "setsockopt:sndbuf-force": ("setsockopt", (3, 1, 32)),
    "setsockopt:rcvbuf-force": ("setsockopt", (3, 1, 33)),
    "clone:thread-with-files": ("clone", (0x10900,)),
    "close_range:unshare": ("close_range", (3, 9, 2)),
}


def answer(code: bytes, architecture: int, number: int, args: tuple[int, ...] = ()) -> int:
    """What the filter says, by the rules of classic BPF."""
    padded = [*args, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("=iIQ6Q", number, architecture, 0, *(arg % (1 << 64) for arg in padded))
    steps = list(struct.iter_unpack("=HBBI", code))
    register, at = 0, 0
    while True:
        operation, if_true, if_false, value = steps[at]
        at += 1
        if operation == seccomp.LOAD:
            register = struct.unpack_from("=I", data, value)[0]
        elif operation == seccomp.AND:
            register &= value
        elif operation == seccomp.RETURN:
            return value
        else:
            holds = {
                seccomp.JUMP_EQUAL: register == value,
                seccomp.JUMP_GREATER: register > value,
                seccomp.JUMP_GREATER_EQUAL: register >= value,
            }[operation]
            at += if_true if holds else if_false


def says(machine: str, number: int, args: tuple[int, ...] = (), *, watched: bool = False) -> str:
    code = seccomp.program(machine, watched=watched)
    assert code is not None
    found = answer(code, seccomp.AUDIT_ARCH[machine], number, args)
    return {
        seccomp.ALLOW: "done",
        seccomp.ERRNO: "done without effect",
        seccomp.ERRNO | 1: "EPERM",
        seccomp.ERRNO | seccomp.ENOSYS: "ENOSYS",
        seccomp.KILL_PROCESS: "SIGSYS",
    }[found]


def answers(machine: str, calls: Calls, *, watched: bool = False) -> dict[str, str]:
    """What the filter says to each call that this machine has."""
    column = ARCHITECTURES.index(machine)
    numbers = {name: (NUMBERS[call][column], args) for name, (call, args) in calls.items()}
    return {
        name: says(machine, number, args, watched=watched)
        for name, (number, args) in numbers.items()
        if number is not None
    }


def by_name(names: Iterable[str]) -> Calls:
    return {name: (name, ()) for name in names}


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_filter_refuses(machine, watched):
    said = answers(machine, by_name(REFUSED) | WITH_ARGUMENTS, watched=watched)
    assert {name for name, answer in said.items() if answer != "EPERM"} == {"clone3"}
    assert said["clone3"] == "ENOSYS"


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_filter_allows_what_programs_need(machine, watched):
    said = answers(machine, NEEDED, watched=watched)
    assert {name for name, answer in said.items() if answer != "done"} == set()


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_without_a_cgroup_the_filter_refuses_memory_that_cannot_be_counted(machine):
    assert set(answers(machine, UNCOUNTED).values()) == {"done"}
    said = answers(machine, UNCOUNTED, watched=True)
    assert {name: answer for name, answer in said.items() if answer != "EPERM"} == {
        "landlock_create_ruleset": "ENOSYS",
        "setsockopt:sndbuf": "done without effect",
        "setsockopt:rcvbuf": "done without effect",
        "setsockopt:sndbuf-force": "done without effect",
        "setsockopt:rcvbuf-force": "done without effect",
    }


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_calls_that_the_table_does_not_know_are_absent(machine):
    assert says(machine, 600) == "ENOSYS"
    assert says(machine, 1 << 20) == "ENOSYS"


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_numbers_of_another_architecture_kill(machine):
    code = seccomp.program(machine)
    assert code is not None
    assert answer(code, 0x40000003, 20) == seccomp.KILL_PROCESS
    assert says(machine, 0x40000000 + 39) == "SIGSYS"


def test_every_call_of_the_profile_has_a_number():
    names = {name for rule in seccomp.load_profile(watched=True)["syscalls"] for name in rule["names"]}
    assert names <= set(NUMBERS)


def lines() -> list[tuple[str, int, tuple[int, ...]]]:
    """Every refused call as this machine numbers it, and one that no kernel has yet."""
    column = ARCHITECTURES.index(platform.machine())
    known = [(name, NUMBERS[name][column], ()) for name in REFUSED]
    known += [(name, NUMBERS[call][column], args) for name, (call, args) in WITH_ARGUMENTS.items()]
    return [(name, number, args) for name, number, args in known if number is not None] + [("unknown", 600, ())]


@everywhere
@pytest.mark.skipif(platform.machine() not in ARCHITECTURES, reason="the numbers of this architecture are not known")
@pytest.mark.parametrize("program", ["34_calls.c", "34_calls.py"])
def test_the_kernel_refuses(backend, host, program):
    language = languages.get("c" if program.endswith(".c") else "python")
    wanted = "".join(
        f"{call} {number} {' '.join(str(arg) for arg in [*args, 0, 0, 0, 0, 0][:5])}\n"
        for call, number, args in lines()
    )
    files = {language.file_name: (PROGRAMS / program).read_bytes()}
    job = prepare(language, files, stdin=wanted.encode(), run_limits=ROOMY, compile_limits=ROOMY_COMPILE)
    ran = host.run(job)
    assert ran.status == "completed", ran
    said = dict(line.split() for line in ran.stdout.decode().splitlines())
    assert list(said) == [call for call, _number, _args in lines()]
    assert {call for call, answer in said.items() if answer not in {"EPERM", "ENOSYS"}} == set()
