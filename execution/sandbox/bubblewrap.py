"""Sandboxes by bubblewrap: namespaces without a daemon, always as an unprivileged uid, each with its own cgroup.

Started by root it becomes a uid of its own first: run as uid 0, bubblewrap would map the sandbox's user to the host's
root, and root-owned files that are mounted read-only could be read.
"""

import contextlib
import os
import secrets
import select
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path

from execution.sandbox import protocol, seccomp
from execution.sandbox.backends import AGENT_FOLDER, START_ARGV, Usage, is_python, start_environment
from execution.sandbox.bytecode import compiled
from execution.sandbox.cgroups import Cgroup, Cgroups
from execution.sandbox.errors import SandboxFault
from execution.sandbox.image_names import AGENT_FILES
from execution.sandbox.limits import COMPILE, Limits
from execution.sandbox.processes import end_orphans, usage_of_tree
from execution.sandbox.spawner import SPAWNER
from languages.families import FAMILIES

PYTHON = "/usr/bin/python3"
SANDBOX_ID = 65534
# Above the ranges that systemd hands to containers and below 2^31, so no account and no other manager uses them.
FIRST_UID = 1_900_000_000
UIDS = 1 << 24
TOOLSET_FILES = ("/var/lib/dpkg/status", "/usr/local/bin", "/usr/bin", "/etc/alternatives")
REMEDY_INSTALL = "Install it: apt-get install bubblewrap"
# What the tools read, as patterns; everything else of /etc is absent. A program reads what every account may.
ETC_FROM_HOST = (
    *("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "profile.d/apps-bin-path.sh"),
    *("matplotlibrc", "fonts"),
    *sorted({pattern for family in FAMILIES.values() for pattern in family.etc}),
)
ETC_OWN = {
    "passwd": f"root:x:0:0:root:/nowhere:/bin/false\nrunner:x:{SANDBOX_ID}:{SANDBOX_ID}::/tmp:/bin/sh\n",
    "group": f"root:x:0:\nrunner:x:{SANDBOX_ID}:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "hostname": "sandbox\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
# Mapped by several processes, /dev/zero is memory that /proc does not show; /dev/full reads alike and cannot be mapped.
NO_SHARED_ZERO = ("--dev-bind", "/dev/full", "/dev/zero")
# Joins each given cgroup, then becomes the rest of its arguments. What root writes to oom_score_adj is also the
# least that the sandbox may set; with a lower one a program could hide from the OOM killer, which takes the agent then.
JOIN_SCRIPT = (
    'n=$1; shift; while [ "$n" -gt 0 ]; do echo 0 >"$1" || exit 97; shift; n=$((n-1)); done; '
    'echo 0 >/proc/self/oom_score_adj || :; exec "$@"'
)


class BubblewrapBackend:
    """Raises SandboxFault from the start when this host cannot make such a sandbox."""

    name = "bubblewrap"

    def __init__(self, *, hidden: Sequence[Path] = (), use_cgroups: bool = True) -> None:
        self._is_root = os.geteuid() == 0
        self._bwrap = _tool("bwrap", REMEDY_INSTALL)
        self._setpriv = _tool("setpriv", "Install it: apt-get install util-linux") if self._is_root else ""
        if not os.access(PYTHON, os.X_OK):
            raise SandboxFault("python_missing", "Install it: apt-get install python3", PYTHON)
        end_orphans(self._may_be_ours)
        self.cgroups = Cgroups() if use_cgroups else None
        self._mounts = _host_mounts(hidden)
        here = Path(__file__).parent
        self._own_files = {f"{AGENT_FOLDER}/{name}": (here / name).read_bytes() for name in AGENT_FILES}
        self._own_files |= compiled(self._own_files, PYTHON)
        self._own_files |= {f"/etc/{name}": text.encode() for name, text in ETC_OWN.items()}
        self._uids: set[int] = set()
        self._lingering: list[Cgroup] = []
        self._lock = threading.Lock()
        self._probe()

    def open(self, limits: Limits, label: str, language: str = "") -> "BubblewrapHandle":
        uid = self._take_uid()
        cgroup = None
        try:
            if self.cgroups is not None and self.cgroups.version:
                cgroup = self.cgroups.create(f"{os.getpid()}-{secrets.token_hex(6)}", limits)
            return self._spawn(limits, uid, cgroup, start_environment(language))
        except OSError as error:
            if cgroup is not None:
                cgroup.remove()
            self._give_back_uid(uid)
            raise SandboxFault("bubblewrap_failed", "Run `make doctor`.", f"{label}: {error}") from error

    def failures(self) -> None:
        """Nobody has tried the host's tools yet."""

    def describe(self) -> str:
        return f"bubblewrap, limits held by {self.held_by()}"

    def shape(self, limits: Limits, language: str = "") -> Hashable:
        return is_python(language), limits.memory_bytes, limits.cpus, limits.processes, limits.disk_bytes

    def toolset(self, language: str = "") -> str:
        # Every installation of a package rewrites the first; what is put in place by hand changes the second.
        return "|".join([self.name, *(_last_change(path) for path in TOOLSET_FILES)])

    def reap(self) -> int:
        with self._lock:
            lingering, self._lingering = self._lingering, []
        for cgroup in lingering:
            self._remove(cgroup)
        end_orphans(self._may_be_ours)
        return self.cgroups.reap() if self.cgroups is not None and self.cgroups.version else 0

    def close(self) -> None:
        """Nothing is held between sandboxes."""

    def held_by(self) -> str:
        if self.cgroups is not None and self.cgroups.version:
            return f"cgroup v{self.cgroups.version}"
        return "rlimits and a watcher"

    def _spawn(
        self, limits: Limits, uid: int, cgroup: Cgroup | None, environment: dict[str, str]
    ) -> "BubblewrapHandle":
        with contextlib.ExitStack() as theirs:

            def pipe() -> tuple[int, int]:
                reader, writer = os.pipe()
                return reader, writer

            child_in, our_out = pipe()
            our_in, child_out = pipe()
            our_err, child_err = pipe()
            for descriptor in (child_in, child_out, child_err):
                theirs.callback(os.close, descriptor)
            for descriptor in (our_out, our_in, our_err):
                os.set_blocking(descriptor, False)
            passed: list[int] = []

            def shared(content: bytes) -> str:
                descriptor = os.memfd_create("codecrafter")
                theirs.callback(os.close, descriptor)
                with open(descriptor, "wb", closefd=False) as file:
                    file.write(content)
                os.lseek(descriptor, 0, os.SEEK_SET)
                passed.append(descriptor)
                return str(descriptor)

            filter_code = seccomp.program(watched=cgroup is None)
            data: list[str] = []
            for path, content in self._own_files.items():
                data += ["--perms", "0444", "--ro-bind-data", shared(content), path]
            command = [
                *self._prefix(uid, cgroup),
                self._bwrap,
                *("--unshare-all", "--unshare-user", "--disable-userns", "--as-pid-1", "--die-with-parent"),
                *("--uid", str(SANDBOX_ID), "--gid", str(SANDBOX_ID), "--hostname", "sandbox", "--clearenv"),
                *self._mounts,
                *data,
                *_tmpfs(limits),
                *(_cgroup_mounts(cgroup) if cgroup is not None else NO_SHARED_ZERO),
                *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/work"),
                *(("--seccomp", shared(filter_code)) if filter_code is not None else ()),
                *(word for name, value in environment.items() for word in ("--setenv", name, value)),
                *("--", *START_ARGV),
            ]
            try:
                process = SPAWNER.spawn(command, passed, child_in, child_out, child_err)
            except BaseException:
                for descriptor in (our_out, our_in, our_err):
                    os.close(descriptor)
                raise
        return BubblewrapHandle(process, our_in, our_out, our_err, cgroup, lambda: self._ended(uid, cgroup))

    def _prefix(self, uid: int, cgroup: Cgroup | None) -> list[str]:
        files = [str(file) for file in cgroup.join_files()] if cgroup is not None else []
        words = ["/bin/sh", "-c", JOIN_SCRIPT, "join", str(len(files)), *files]
        if self._is_root:
            words += [self._setpriv, "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "--inh-caps=-all"]
        return words

    def _take_uid(self) -> int:
        """A uid per sandbox, so that RLIMIT_NPROC counts one sandbox only; an ordinary user keeps its own."""
        if not self._is_root:
            return os.geteuid()
        with self._lock:
            while True:
                # By chance, because other workers on this host draw from the same range.
                uid = FIRST_UID + secrets.randbelow(UIDS)
                if uid not in self._uids:
                    self._uids.add(uid)
                    return uid

    def _may_be_ours(self, uid: int) -> bool:
        return FIRST_UID <= uid < FIRST_UID + UIDS if self._is_root else uid == os.geteuid()

    def _ended(self, uid: int, cgroup: Cgroup | None) -> None:
        if cgroup is not None:
            self._remove(cgroup)
        self._give_back_uid(uid)

    def _remove(self, cgroup: Cgroup) -> None:
        cgroup.kill()
        if not cgroup.remove():
            with self._lock:
                self._lingering.append(cgroup)

    def _give_back_uid(self, uid: int) -> None:
        with self._lock:
            self._uids.discard(uid)

    def _probe(self) -> None:
        handle = self.open(COMPILE, "probe")
        try:
            # select() takes no descriptor above 1023, and a server may have many.
            readable = select.poll()
            readable.register(handle.read_fileno(), select.POLLIN)
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                readable.poll(1000)
                data = handle.receive()
                if data is None:
                    break
                if data:
                    return
            _memory, words = handle.death()
        finally:
            handle.close()
        raise SandboxFault("bubblewrap_refused", _remedy(words), words)


class BubblewrapHandle:
    """See backends.Handle."""

    parked = False

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        reader: int,
        writer: int,
        errors: int,
        cgroup: Cgroup | None,
        on_close: Callable[[], None],
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._errors = errors
        self._cgroup = cgroup
        self._on_close = on_close
        self._closed = False

    @property
    def host_pid(self) -> int:
        return self._process.pid

    def read_fileno(self) -> int:
        return self._reader

    def write_fileno(self) -> int:
        return self._writer

    def receive(self) -> bytes | None:
        try:
            return os.read(self._reader, protocol.CHUNK_BYTES) or None
        except BlockingIOError:
            return b""

    def send(self, data: memoryview) -> int:
        try:
            return os.write(self._writer, data)
        except BlockingIOError:
            return 0

    def takes_long(self) -> None:
        """Nothing was put off."""

    def usage(self) -> Usage | None:
        if self._cgroup is None:
            return usage_of_tree(self.host_pid)
        cpu_ms = self._cgroup.cpu_ms()
        return None if cpu_ms is None else Usage(cpu_ms)

    def kill(self) -> None:
        # The outer process dies, and by --die-with-parent PID 1 inside with all its namespace; the cgroup makes sure.
        with contextlib.suppress(OSError):
            self._process.kill()
        if self._cgroup is not None:
            self._cgroup.kill()

    def _children(self) -> list[int]:
        """The inner process. In a container the worker itself may be the init that must wait for it."""
        pid = self.host_pid
        try:
            return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except OSError:
            return []

    def death(self) -> tuple[bool | None, str]:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2)
        try:
            words = os.read(self._errors, 8192).decode("utf-8", "replace").strip()
        except OSError:
            words = ""
        return None if self._cgroup is None else self._cgroup.oom_kills() > 0, words

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        orphans = self._children() if os.getpid() == 1 else []
        self.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        for pid in orphans:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        for descriptor in (self._reader, self._writer, self._errors):
            os.close(descriptor)
        self._on_close()


def _tool(name: str, remedy: str) -> str:
    path = shutil.which(name, path="/usr/bin:/bin:/usr/local/bin")
    if path is None:
        raise SandboxFault(f"{name}_missing", remedy, f"{name} is not installed")
    return path


def _last_change(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return f"{status.st_mtime_ns}:{status.st_size}"


def _remedy(words: str) -> str:
    if "user namespace" in words or "uid map" in words or "Operation not permitted" in words:
        return (
            "Allow user namespaces: sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000 "
            "(and kernel.apparmor_restrict_unprivileged_userns=0 where AppArmor holds them)."
        )
    return "Run bubblewrap by hand to see why: bwrap --unshare-all --ro-bind / / true"


def _host_mounts(hidden: Iterable[Path]) -> list[str]:
    """The allow-list: /usr, the root folders that lead into it, and a few files of /etc, all read-only."""
    words = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    for folder in hidden:
        resolved = folder.resolve()
        if resolved.is_relative_to("/usr") and resolved.is_dir():
            words += ["--tmpfs", str(resolved), "--remount-ro", str(resolved)]
    for pattern in ETC_FROM_HOST:
        for path in sorted(Path("/etc").glob(pattern)):
            words += ["--ro-bind-try", str(path), str(path)]
    return [*words, "--proc", "/proc", "--dev", "/dev"]


def _tmpfs(limits: Limits) -> list[str]:
    scratch = str(limits.scratch_bytes)
    return [
        *("--perms", "0755", "--size", str(limits.disk_bytes), "--tmpfs", "/work"),
        *("--perms", "1777", "--size", scratch, "--tmpfs", "/tmp"),  # noqa: S108 - the sandbox's own
        *("--perms", "1777", "--size", scratch, "--tmpfs", "/dev/shm"),  # noqa: S108 - the sandbox's own
    ]


def _cgroup_mounts(cgroup: Cgroup) -> list[str]:
    return [word for folder, place in cgroup.binds() for word in ("--ro-bind", str(folder), place)]
