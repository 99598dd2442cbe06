"""What a program must leave of the host: no sandbox, no process, no cgroup, no mount, no file, no memory.

Only what belongs to the sandbox under test is looked for, because other things come and go on the same machine.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from execution.sandbox.bubblewrap import FIRST_UID
from execution.sandbox.cache import CompileCache
from execution.sandbox.control import Control
from execution.sandbox.supervisor import execute
from tests.execution.sandbox.running import Ran, Watcher, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from execution.sandbox.backends import Backend, Handle
    from execution.sandbox.job import Job
    from execution.sandbox.limits import Limits

SETTLE_SECONDS = 5.0
GROWTH_BYTES = 10 * 1024 * 1024
# pytest, the clients of the engine and the output kept for the asserts reach their size in the first programs.
WARM_UP_RUNS = 12
TEMPORARY = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))
_labels = itertools.count(1)


def resident_bytes() -> int:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return psutil.Process().memory_info().rss


def eventually(is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SETTLE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def peer_groups(pid: int | str) -> set[str]:
    """The groups of mounts (proc_pid_mountinfo(5): shared:X) in which a mount made by `pid` appears elsewhere too."""
    text = Path(f"/proc/{pid}/mountinfo").read_text()
    return {word for line in text.splitlines() for word in line.split(" - ")[0].split() if word.startswith("shared:")}


def start_time(pid: int | str) -> str:
    """Tells a process from another that was given its pid later; "" when there is none, or only a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    # A dead one that its new parent, the host's init, has not waited for yet holds nothing any more.
    return "" if fields[0] == "Z" else fields[19]


class Traces:
    """Where one sandbox lives on the host, noted while it lives: its process, its uid, its mounts, its cgroups."""

    def __init__(self, pid: int, container: str | None) -> None:
        self.container = container
        self.uid = -1
        self.pid = pid
        self.started = start_time(pid)
        self.shared_mounts: set[str] = set()
        self.cgroups: set[Path] = set()
        try:
            self.uid = int(Path(f"/proc/{pid}/status").read_text().split("Uid:")[1].split()[0])
            # bubblewrap's own process stays among the host's mounts; the one that it started has others.
            for process in children(pid) if container is None else [pid]:
                self.shared_mounts |= peer_groups(process)
            for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
                _number, names, path = line.split(":", 2)
                if path != "/" and ("codecrafter" in path or (container and container in path)):
                    for root in (Path("/sys/fs/cgroup", name) for name in ("unified", ".", *names.split(","), names)):
                        self.cgroups.add(root / path.lstrip("/"))
        except OSError:
            return

    def left(self) -> list[str]:
        found = [str(folder) for folder in self.cgroups if folder.is_dir()]
        if self.started and start_time(self.pid) == self.started:
            found.append(f"process {self.pid}")
        if self.has_its_own_uid:
            found += [f"process {pid}" for pid in processes_of(self.uid)]
        return found + self._files()

    @property
    def has_its_own_uid(self) -> bool:
        return self.uid >= FIRST_UID

    def _files(self) -> list[str]:
        """Where the uid is somebody else's too, those that the programs of the table name."""
        found = []
        for entry in (entry for folder in TEMPORARY for entry in os.scandir(folder)):
            try:
                uid = entry.stat(follow_symlinks=False).st_uid
            except OSError:
                continue
            if uid == self.uid and (self.has_its_own_uid or "hostile-" in entry.name):
                found.append(entry.path)
        return found


def children(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


def processes_of(uid: int) -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        if "State:\tZ" not in status and str(uid) in status.split("Uid:")[1].split("\n")[0].split():
            found.append(pid)
    return found


class WatchedHandle:
    """A handle that notes where its sandbox lives as soon as the agent speaks."""

    def __init__(self, inner: Handle, backend: Backend, noted: list[Traces]) -> None:
        self._inner = inner
        self._backend = backend
        self._noted = noted
        self._is_noted = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def receive(self) -> bytes | None:
        data = self._inner.receive()
        if data and not self._is_noted:
            self._is_noted = True
            self._noted.append(self._note())
        return data

    def _note(self) -> Traces:
        container = getattr(self._inner, "container", None)
        if container is None:
            return Traces(self._inner.host_pid, None)  # type: ignore[attr-defined]
        state = self._backend._api.inspect_container(container)["State"]  # type: ignore[attr-defined]
        return Traces(state["Pid"], container)


class Host:
    """Runs jobs on a backend and looks at the host before and after; itself a backend, for the supervisor."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.name = backend.name
        self.noted: list[Traces] = []
        self._runs = 0
        self._baseline = self._last = 0
        # Programs that differ in their arguments only are compiled once.
        self._cache = CompileCache()
        # Collecting what all of pytest and Django hold takes longer than most programs.
        gc.collect()
        gc.freeze()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def open(self, limits: Limits, label: str, language: str = "") -> Handle:
        handle = self.backend.open(limits, label, language)
        return WatchedHandle(handle, self.backend, self.noted)  # type: ignore[return-value]

    def run(self, job: Job, control: Control | None = None, watcher: Watcher | None = None) -> Ran:
        """Run the job, and check that the host is as it was and well."""
        self.noted.clear()
        memory = resident_bytes()
        label = f"hostile-{os.getpid()}-{next(_labels)}"
        watcher = watcher or Watcher()
        outcome = execute(job, self, watcher, control or Control(), label, cache=self._cache)  # type: ignore[arg-type]
        ran = Ran(outcome, watcher)
        assert self.noted
        self.check_nothing_is_left(label)
        # Nothing that is mounted in a sandbox can appear on the host, so it goes with the sandbox's last process.
        ours = peer_groups("self")
        assert {group for traces in self.noted for group in traces.shared_mounts & ours} == set()
        self._check_memory(memory)
        return ran

    def check_the_next_one_works(self) -> None:
        """Between two programs of the table, the second is the next one; this is for the last of all."""
        assert run(self.backend, "bash", "echo the next one is fine").stdout == b"the next one is fine\n"

    def check_nothing_is_left(self, label: str) -> None:
        for traces in self.noted:
            assert eventually(lambda traces=traces: traces.left() == []), traces.left()  # type: ignore[misc]
        if self.name == "docker":
            filters = {"label": f"codecrafter.job={label}"}
            assert self.backend._api.containers(all=True, filters=filters) == []  # type: ignore[attr-defined]

    def _check_memory(self, before: int) -> None:
        self._runs += 1
        now = resident_bytes()
        # What other tests in this process took since the last program is not the programs' doing.
        self._baseline += max(0, before - self._last)
        self._last = now
        if self._runs <= WARM_UP_RUNS:
            self._baseline = now
            return
        assert now - before < GROWTH_BYTES
        # Slow growth over the whole suite counts too.
        assert now - self._baseline < 2 * GROWTH_BYTES
