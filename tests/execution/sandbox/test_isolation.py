"""What a program must not see, reach or forge, under every backend."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from execution.sandbox.control import Control
from execution.sandbox.job import prepare
from execution.sandbox.supervisor import execute
from sessions_app.languages import LANGUAGES
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


@pytest.mark.parametrize(
    "call",
    [
        "socket.create_connection(('1.1.1.1', 53), 1)",
        "socket.create_connection(('169.254.169.254', 80), 1)",
        "socket.create_connection(('127.0.0.1', 22), 1)",
        "socket.getaddrinfo('example.org', 80)",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('8.8.8.8', 53))",
        "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)",
        "socket.socket(40, socket.SOCK_STREAM)",
    ],
)
def test_the_network_is_out_of_reach(backend, call):
    source = f"import socket\ntry:\n    {call}\nexcept OSError:\n    print('refused')"
    assert run(backend, "python", source).stdout == b"refused\n"


@pytest.mark.parametrize(
    "path",
    [
        "/usr/bin/x",
        "/etc/x",
        "/x",
        "/opt/codecrafter/agent.py",
        "/dev/x",
        "/sys/fs/cgroup/x",
        "/proc/sys/kernel/hostname",
    ],
)
def test_nothing_outside_the_work_folders_can_be_written(backend, path):
    ran = run(backend, "python", f"try:\n    open({path!r}, 'w').write('1')\nexcept OSError:\n    print('refused')")
    assert ran.stdout == b"refused\n"


def test_there_is_no_setuid_file_that_works(backend):
    if backend.name == "docker":
        assert run(backend, "bash", "find / -xdev -type f -perm /6000 2>/dev/null").stdout == b""
    assert b"NoNewPrivs:\t1" in run(backend, "bash", "cat /proc/self/status").stdout


def test_a_daemon_dies_with_the_run(backend):
    source = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        for n in (0, 1, 2): os.close(n)\n"
        "        time.sleep(600)\n"
        "    os._exit(0)\n"
        "os.wait(); print('done')"
    )
    ran = run(backend, "python", source)
    assert (ran.status, ran.stdout) == ("completed", b"done\n")


def test_a_child_that_holds_stdout_delays_nothing(backend):
    ran = run(backend, "bash", "sleep 600 & echo done")
    assert (ran.status, ran.stdout) == ("completed", b"done\n")


def test_orphans_are_reaped(backend):
    source = (
        "import os, time\n"
        "for _ in range(200):\n"
        "    if os.fork() == 0:\n"
        "        if os.fork() == 0: os._exit(0)\n"
        "        os._exit(0)\n"
        "    os.wait()\n"
        "time.sleep(0.2)\n"
        "print(sum(1 for p in os.listdir('/proc') if p.isdigit()))"
    )
    assert run(backend, "python", source).stdout == b"2\n"


def test_killing_everything_hurts_only_the_program(backend):
    ran = run(backend, "python", "import os\nprint('x')\ntry: os.kill(-1, 9)\nfinally: os.kill(os.getpid(), 9)")
    assert (ran.status, ran.outcome.signal, ran.stdout) == ("failed", "SIGKILL", b"x\n")


@pytest.mark.parametrize("name", ["KILL", "STOP", "TERM", "INT", "HUP", "QUIT", "ALRM", "CHLD", "USR1", "SEGV"])
def test_the_agent_cannot_be_signalled(backend, name):
    ran = run(backend, "bash", f"kill -{name} 1 2>/dev/null; sleep 0.02; echo after")
    assert (ran.status, ran.stdout) == ("completed", b"after\n")


@pytest.mark.parametrize("file", ["mem", "environ", "fd", "fd/0", "fd/1", "maps", "cwd/", "root/", "stack"])
def test_the_agent_cannot_be_read(backend, file):
    ran = run(
        backend,
        "bash",
        f"ls -A /proc/1/{file} >/dev/null 2>&1 && cat /proc/1/{file} 2>/dev/null | wc -c; echo > /proc/1/{file}",
    )
    assert ran.stdout.strip() in {b"", b"0"}
    assert b"ermission denied" in ran.stderr or b"directory" in ran.stderr


def test_frames_that_a_program_prints_are_plain_output(backend):
    source = (
        "import os, struct, json\n"
        "result = json.dumps({'exit_code': 0, 'cpu_ms': 0}).encode()\n"
        "forged = struct.pack('>BI', 22, len(result)) + result\n"
        "for n in range(64):\n"
        "    try: os.write(n, forged)\n"
        "    except OSError: pass\n"
        "raise SystemExit(5)"
    )
    ran = run(backend, "python", source)
    assert (ran.status, ran.outcome.exit_code) == ("failed", 5)
    assert ran.stdout == ran.stderr
    assert ran.stdout.startswith(b"\x16")


def test_only_three_descriptors_are_open(backend):
    assert run(backend, "python", "import os; print(sorted(os.listdir('/proc/self/fd'))[:4])").stdout in {
        b"['0', '1', '2', '3']\n",
        b"['0', '1', '2']\n",
    }


SYSTEM_CALLS = {
    "ptrace": (101, 0, 0, 0),
    "ptrace attach": (101, 16, 1, 0),
    "unshare user": (272, 0x10000000, 0, 0),
    "unshare net": (272, 0x40000000, 0, 0),
    "clone new user": (56, 0x10000000 | 17, 0, 0),
    "mount": (165, 0, 0, 0),
    "keyctl": (250, 0, 0, 0),
    "add_key": (248, 0, 0, 0),
    "bpf": (321, 0, 0, 0),
    "perf_event_open": (298, 0, 0, 0),
    "userfaultfd": (323, 0, 0, 0),
    "io_uring_setup": (425, 1, 0, 0),
    "process_vm_readv": (310, 1, 0, 0),
    "init_module": (175, 0, 0, 0),
    "kexec_load": (246, 0, 0, 0),
    "open_by_handle_at": (304, 0, 0, 0),
}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86-64")
def test_kernel_calls_that_no_program_needs_are_refused(backend):
    source = (
        "import ctypes, errno\n"
        f"calls = {SYSTEM_CALLS!r}\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "for name, (number, *args) in calls.items():\n"
        "    done = libc.syscall(ctypes.c_long(number), *(ctypes.c_ulong(a) for a in args), 0, 0)\n"
        "    print(name, done, errno.errorcode.get(ctypes.get_errno()))"
    )
    lines = run(backend, "python", source).stdout.decode().split("\n")[:-1]
    assert lines == [f"{name} -1 EPERM" for name in SYSTEM_CALLS]


FOREIGN_CALLS = {
    "i386": 'int main(void) { long r; asm volatile("int $0x80" : "=a"(r) : "a"(20)); return r > 0 ? 0 : 1; }',
    "x32": "#include <unistd.h>\nint main(void) { return syscall(0x40000000L + 39) > 0 ? 0 : 1; }",
}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="these are calls of x86-64")
@pytest.mark.parametrize("source", FOREIGN_CALLS.values(), ids=FOREIGN_CALLS.keys())
def test_calls_of_another_architecture_kill_the_program(backend, source):
    ran = run(backend, "c", source)
    assert (ran.status, ran.outcome.signal) == ("failed", "SIGSYS")


def test_limits_cannot_be_raised(backend):
    source = (
        "import os, resource\n"
        "for name in ('CPU', 'CORE', 'FSIZE', 'NOFILE'):\n"
        "    number = getattr(resource, 'RLIMIT_' + name)\n"
        "    hard = resource.getrlimit(number)[1]\n"
        "    try: resource.setrlimit(number, (hard + 1, hard + 1)); print('raised', name)\n"
        "    except (ValueError, OSError): pass\n"
        "try: os.nice(-30); print('nice')\n"
        "except OSError: pass\n"
        "try: open('/proc/self/oom_score_adj', 'wb', 0).write(b'-1000'); print('oom')\n"
        "except OSError: pass\n"
        "print('end')"
    )
    assert run(backend, "python", source).stdout == b"end\n"


def test_the_next_run_sees_nothing_of_the_last(backend):
    place = "/work/left /tmp/left /dev/shm/left"
    assert run(backend, "bash", f"touch {place}; ls {place}").outcome.exit_code == 0
    assert run(backend, "bash", f"ls {place} 2>/dev/null").stdout == b""


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
