"""One cgroup per sandbox, version 2 or 1, where this process may make them. Used by bubblewrap; Docker has its own."""

import contextlib
import errno
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from execution.sandbox.limits import Limits

ROOT = Path("/sys/fs/cgroup")
PARENT = "codecrafter"
PERIOD_US = 1_000_000
CONTROLLERS_V1 = ("memory", "cpu", "cpuacct", "pids")
CONTROLLERS_V2 = ("memory", "cpu", "pids")
REMOVE_SECONDS = 2.0
TCP_SHARE = 8


def write(path: Path, value: int | str) -> None:
    # Opened without O_CREAT: on a missing control file this must fail, not make a file in a tmpfs.
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)


def own_paths() -> dict[str, str]:
    """Controller -> this process's path in that hierarchy; version 2 under the name ""."""
    found = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _number, names, path = line.split(":", 2)
        for name in names.split(","):
            found[name] = path
    return found


@dataclass(frozen=True)
class Cgroup:
    """The folders of one sandbox: one in version 2, one per controller in version 1."""

    version: int
    folders: tuple[tuple[str, Path], ...]

    def join_files(self) -> list[Path]:
        """Writing 0 to each of these moves the writer into the cgroup."""
        return sorted({folder / "cgroup.procs" for _name, folder in self.folders})

    def binds(self) -> list[tuple[Path, str]]:
        """Where each folder belongs inside the sandbox, so that the agent finds its counters as in a container."""
        if self.version == 2:
            return [(self.folders[0][1], "/sys/fs/cgroup")]
        return [(folder, f"/sys/fs/cgroup/{name}") for name, folder in self.folders]

    def oom_kills(self) -> int:
        for name, folder in self.folders:
            if name in ("", "memory"):
                file = folder / ("memory.events" if self.version == 2 else "memory.oom_control")
                try:
                    lines = file.read_text().splitlines()
                except OSError:
                    return 0
                return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
        return 0

    def cpu_ms(self) -> int | None:
        """Processor time of all its processes, those that have ended too; None when it is gone."""
        try:
            if self.version == 2:
                text = (self.folders[0][1] / "cpu.stat").read_text()
                return int(text.split("usage_usec ")[1].split()[0]) // 1000
            return int((dict(self.folders)["cpuacct"] / "cpuacct.usage").read_text()) // 1_000_000
        except OSError:
            return None

    def kill(self) -> None:
        """Every process in it, until none is left or the time is up."""
        procs = next(folder for name, folder in self.folders if name in ("", "pids")) / "cgroup.procs"
        deadline = time.monotonic() + REMOVE_SECONDS
        while time.monotonic() < deadline:
            try:
                pids = [int(pid) for pid in procs.read_text().split()]
            except OSError:
                return
            if not pids:
                return
            for pid in pids:
                try:
                    os.kill(pid, 9)
                except OSError:
                    continue
            time.sleep(0.002)

    def remove(self) -> bool:
        """Whether nothing of it is left; on a busy host its last process may take longer to go than this waits."""
        deadline = time.monotonic() + REMOVE_SECONDS
        for folder in sorted({folder for _name, folder in self.folders}):
            while True:
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    break
                except OSError as error:
                    # A killed process is still on its way out.
                    if error.errno != errno.EBUSY or time.monotonic() > deadline:
                        break
                    time.sleep(0.002)
                    continue
                break
        return not any(folder.exists() for _name, folder in self.folders)


def make(folder: Path) -> None:
    """Make a group that the agent can read, under another account and whatever the umask of the server is."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)


class Cgroups:
    """Makes them. `problem` says why not, where that is so."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self.version = 0
        self.problem = ""
        self._parents: dict[str, Path] = {}
        try:
            self._find()
            self.create(f"{os.getpid()}-probe-{secrets.token_hex(4)}", Limits(1, 1, 1 << 26, 1, 16, 1)).remove()
            self.reap()
        except OSError as error:
            self.version, self.problem = 0, f"{error.filename or root}: {error.strerror}"

    def _find(self) -> None:
        own = own_paths()
        if (self._root / "cgroup.controllers").exists():
            self.version = 2
            # Only a group without processes of its own may hand controllers on, and the root is exempt.
            parent = self._root / PARENT
            make(parent)
            for folder in (self._root, parent):
                write(folder / "cgroup.subtree_control", " ".join(f"+{name}" for name in CONTROLLERS_V2))
            self._parents = {"": parent}
            return
        self.version = 1
        for name in CONTROLLERS_V1:
            top = self._root / name
            # Below our own group, so that limits on us hold for our sandboxes; a container may not see that path.
            ours = top / own.get(name, "/").lstrip("/")
            parent = (ours if ours.is_dir() else top) / PARENT
            make(parent)
            self._parents[name] = parent

    def parents(self) -> list[Path]:
        return sorted(set(self._parents.values()))

    def reap(self) -> int:
        """Remove the groups of workers that died, whose pid their names begin with, and say how many sandboxes."""
        removed = set()
        for parent in self.parents():
            for folder in parent.iterdir():
                pid = folder.name.partition("-")[0]
                if pid.isdigit() and not Path("/proc", pid).exists():
                    # A group that still has processes refuses, and waits for the next time.
                    with contextlib.suppress(OSError):
                        folder.rmdir()
                        removed.add(folder.name)
        return len(removed)

    def create(self, label: str, limits: Limits) -> Cgroup:
        """Raises OSError; nothing is left behind then."""
        folders = tuple((name, parent / label) for name, parent in self._parents.items())
        made = Cgroup(self.version, folders)
        try:
            for _name, folder in folders:
                make(folder)
            quota = round(limits.cpus * PERIOD_US)
            if self.version == 2:
                self._limit_v2(folders[0][1], limits, quota)
            else:
                self._limit_v1(dict(folders), limits, quota)
        except OSError:
            made.remove()
            raise
        return made

    @staticmethod
    def _limit_v2(folder: Path, limits: Limits, quota: int) -> None:
        write(folder / "memory.max", limits.memory_bytes)
        if (folder / "memory.swap.max").exists():
            write(folder / "memory.swap.max", 0)
        write(folder / "cpu.max", f"{quota} {PERIOD_US}")
        # The agent, and what bubblewrap itself keeps, are processes too.
        write(folder / "pids.max", limits.processes + 2)

    @staticmethod
    def _limit_v1(folders: dict[str, Path], limits: Limits, quota: int) -> None:
        write(folders["memory"] / "memory.limit_in_bytes", limits.memory_bytes)
        if (folders["memory"] / "memory.memsw.limit_in_bytes").exists():
            write(folders["memory"] / "memory.memsw.limit_in_bytes", limits.memory_bytes)
        # Version 1 counts TCP's buffers separately, and only where they have a limit; at the limit a sender waits.
        if (folders["memory"] / "memory.kmem.tcp.limit_in_bytes").exists():
            write(folders["memory"] / "memory.kmem.tcp.limit_in_bytes", limits.memory_bytes // TCP_SHARE)
        write(folders["cpu"] / "cpu.cfs_period_us", PERIOD_US)
        write(folders["cpu"] / "cpu.cfs_quota_us", quota)
        write(folders["pids"] / "pids.max", limits.processes + 2)
