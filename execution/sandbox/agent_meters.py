"""How the agent measures a program: by the sandbox's cgroup where it can be read, else by /proc."""

import _socket  # socket.py itself takes several times as long to load
import os
import resource
import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING or __package__:
    from execution.sandbox import usercustomize
    from execution.sandbox.agent_files import SCRATCH, WORK, read_text
else:
    import usercustomize
    from agent_files import SCRATCH, WORK, read_text

# What the agent itself may burn before it is charged to the program, which alone can keep it so busy.
OWN_CPU_SECONDS = 0.1
OWN_CPU_SHARE = 0.25
# What the kernel takes for one of each, at most, where no cgroup counts it.
INODE_BYTES = 1024
FILE_BYTES = 1024
EPOLL_WATCH_BYTES = 160
PIPE_BYTES = 64 * 1024
TERMINAL_BYTES = 32 * 1024
SOCKET_OPTION_BYTES = 128 * 1024
MAX_OPEN_FILES = 4 * usercustomize.OPEN_FILES
TICKS = os.sysconf("SC_CLK_TCK")


class Counter:
    """One file of a cgroup, kept open: the end of a run waits for its numbers."""

    def __init__(self, path: str) -> None:
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = -1

    def _read(self) -> bytes:
        try:
            return os.pread(self._file, 65536, 0)
        except OSError:
            return b""

    def number(self) -> int | None:
        try:
            return int(self._read())
        except ValueError:
            return None

    def field(self, name: bytes) -> int | None:
        for line in self._read().splitlines():
            key, _, value = line.partition(b" ")
            if key == name and value.strip().isdigit():
                return int(value)
        return None


class Cgroup:
    """The counters of the sandbox's own cgroup, version 2 or 1, where they can be read from inside."""

    def __init__(self, root: str = "/sys/fs/cgroup") -> None:
        self._is_v2 = os.path.exists(f"{root}/memory.max")
        if self._is_v2:
            memory, cpu, pids = f"{root}/memory.", f"{root}/cpu.stat", f"{root}/pids."
            limit, used, peak, events = "max", "current", "peak", "events"
        else:
            memory, cpu, pids = f"{root}/memory/memory.", f"{root}/cpuacct/cpuacct.usage", f"{root}/pids/pids."
            limit, used, peak, events = "limit_in_bytes", "usage_in_bytes", "max_usage_in_bytes", "oom_control"
        self.limit = Counter(memory + limit).number()
        self._used = Counter(memory + used)
        self._peak = Counter(memory + peak)
        self._memory_events = Counter(memory + events)
        self._cpu = Counter(cpu)
        self._pids = Counter(f"{pids}current")
        self._pids_events = Counter(f"{pids}events")

    def cpu_seconds(self) -> float | None:
        if self._is_v2:
            microseconds = self._cpu.field(b"usage_usec")
            return None if microseconds is None else microseconds / 1e6
        nanoseconds = self._cpu.number()
        return None if nanoseconds is None else nanoseconds / 1e9

    def memory_bytes(self) -> int:
        return self._used.number() or 0

    def peak_bytes(self) -> int:
        return self._peak.number() or self.memory_bytes()

    def oom_kills(self) -> int:
        return self._memory_events.field(b"oom_kill") or 0

    def processes(self) -> int | None:
        return self._pids.number()

    def refused_forks(self) -> int:
        return self._pids_events.field(b"max") or 0


class Memory(NamedTuple):
    """Bytes of one process. `folder` is where /proc shows it, "" when it is gone.

    `resident` is in RAM, `anonymous` of it is backed by no file; `other` is page tables, swap and huge pages.
    """

    folder: str
    resident: int
    anonymous: int
    other: int

    @property
    def private(self) -> int:
        return self.anonymous + self.other


def memory_of(folder: str) -> Memory:
    """What a process holds, page tables and swap included, by its folder in /proc.

    When the first thread has ended, its folder shows no memory and no files, and those of the other threads do.
    """
    text = read_text(f"{folder}/status") or ""
    if "VmRSS:" not in text:
        for thread in names_in(f"{folder}/task") or ():
            text = read_text(f"{folder}/task/{thread}/status") or ""
            if "VmRSS:" in text:
                folder = f"{folder}/task/{thread}"
                break
        else:
            return Memory("", 0, 0, 0)
    sizes = {line.partition(":")[0]: line for line in text.splitlines() if line.endswith(" kB")}

    def held(name: str) -> int:
        return int(sizes[name].split()[1]) * 1024 if name in sizes else 0

    return Memory(folder, held("VmRSS"), held("RssAnon"), held("VmPTE") + held("VmSwap") + held("HugetlbPages"))


class OpenFiles:
    """What the kernel may hold at most for the open files of all processes: their pipes, sockets and terminals.

    Every sum is an upper bound, because what lies in a pipe or a socket is shown nowhere.
    """

    def __init__(self) -> None:
        example = _socket.socket(_socket.AF_UNIX)
        buffers = (example.getsockopt(_socket.SOL_SOCKET, name) for name in (_socket.SO_SNDBUF, _socket.SO_RCVBUF))
        self._socket_bytes = max(buffers) + SOCKET_OPTION_BYTES
        example.close()

    def kernel_bytes(self, processes: list[Memory]) -> int:
        files = polls = 0
        pipes = set()
        for process in processes:
            names = names_in(f"{process.folder}/fd")
            if names is None:
                # Root owns the folders of a process that is ending, too; only one that keeps its memory hides files.
                if memory_of(process.folder).folder:
                    files += usercustomize.OPEN_FILES
                continue
            files += len(names)
            if files > MAX_OPEN_FILES:
                break
            for name in names:
                target = link_target(f"{process.folder}/fd/{name}")
                if target.startswith("pipe:"):
                    pipes.add(target)
                elif target == "anon_inode:[eventpoll]":
                    polls += 1
        if files > MAX_OPEN_FILES:
            return files * PIPE_BYTES
        terminals = max(len(names_in("/dev/pts") or ()) - 1, 0)
        watches = polls * files * EPOLL_WATCH_BYTES
        return files * FILE_BYTES + watches + len(pipes) * PIPE_BYTES + terminals * TERMINAL_BYTES + self._sockets()

    def _sockets(self) -> int:
        """Those in use, by the network namespace, which also knows those that no process has open any more."""
        words = (read_text("/proc/self/net/sockstat") or "").split()
        count = int(words[2]) if words[:2] == ["sockets:", "used"] else 0
        return count * self._socket_bytes + (sum(map(tcp_queues, ("tcp", "tcp6"))) if count else 0)


def tcp_queues(name: str) -> int:
    """TCP lets its buffers grow beyond those of other sockets; twice what waits in them is what they may take."""
    try:
        with open(f"/proc/self/net/{name}", "rb") as file:
            lines = file.read().splitlines()[1:]
    except OSError:
        return 0
    # The fifth word is tx_queue:rx_queue, in hexadecimal.
    return 2 * sum(int(size, 16) for line in lines for size in line.split()[4].split(b":"))


def names_in(folder: str) -> list[str] | None:
    """The names in a folder of /proc; none when it is gone, None when it may not be read."""
    try:
        return os.listdir(folder)
    except PermissionError:
        return None
    except OSError:
        return []


def link_target(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


class ProcessTable:
    """The same counters from /proc: every process in this PID namespace but the agent, as of the last `read`."""

    def __init__(self) -> None:
        self.reaped_cpu_seconds = 0.0
        self.tasks = 0
        self._cpu_ticks = 0
        self._pids: list[str] = []
        self._files = OpenFiles()

    def read(self) -> None:
        self._pids = [name for name in os.listdir("/proc") if name.isdigit() and name != "1"]
        self.tasks = self._cpu_ticks = 0
        for pid in self._pids:
            # The name, in parentheses, may hold blanks; behind it utime, stime, cutime, cstime are fields 14 to 17 of
            # proc(5), num_threads is field 20.
            fields = (read_text(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
            if len(fields) > 17:
                self._cpu_ticks += sum(int(field) for field in fields[11:15])
                self.tasks += max(int(fields[17]), 1)

    def cpu_seconds(self) -> float:
        return self.reaped_cpu_seconds + self._cpu_ticks / TICKS

    def memory_bytes(self, enough: int) -> int:
        """Private and shared memory of all, each page once, what the work folders hold, and the kernel for them.

        Counting each page once is slow; it is done only when the sum of what is resident reaches `enough`.
        """
        processes = [found for pid in self._pids if (found := memory_of(f"/proc/{pid}")).folder]
        stored = sum(disk_used(path) for path in (WORK, *SCRATCH))
        kernel = self._files.kernel_bytes(processes) + sum(process.other for process in processes)
        if sum(process.resident for process in processes) + stored + kernel < enough:
            return sum(process.anonymous for process in processes) + stored + kernel
        anonymous = shared = 0
        for process in processes:
            text = read_text(f"{process.folder}/smaps_rollup")
            if text is None or "Pss_Anon" not in text:
                anonymous += process.anonymous
                continue
            for line in text.splitlines():
                if line.startswith("Pss_Anon:"):
                    anonymous += int(line.split()[1]) * 1024
                elif line.startswith("Pss_Shmem:"):
                    shared += int(line.split()[1]) * 1024
        return anonymous + max(shared, stored) + kernel


def disk_used(path: str) -> int:
    """Of a tmpfs: its blocks, and what the kernel keeps for each file, an empty one too."""
    try:
        size = os.statvfs(path)
    except OSError:
        return 0
    return (size.f_blocks - size.f_bfree) * size.f_frsize + (size.f_files - size.f_ffree) * INODE_BYTES


def disk_full(path: str) -> bool:
    try:
        size = os.statvfs(path)
    except OSError:
        return False
    return bool(size.f_blocks) and (size.f_bavail == 0 or (size.f_files > 0 and size.f_favail == 0))


class Meter:
    """What the program used so far, made before it is there; its clock starts with `begin`.

    `waiting`: how many processes stand here in the program's place.
    """

    def __init__(self, cgroup: Cgroup, waiting: int) -> None:
        self.cgroup = cgroup
        self.table = ProcessTable()
        self.taken_out = False
        self._peak = 0
        self._tree_bytes = 0
        self._processes_peak = 0
        self._pids_limit_hit = False
        self._disk_full = False
        self._own_cpu = time.process_time()
        self._first_cpu = self.cgroup.cpu_seconds()
        self._first_memory = self.cgroup.memory_bytes()
        self._first_processes = max((self.cgroup.processes() or 0) - waiting, 0)
        self._first_forks = self.cgroup.refused_forks()
        self._first_ooms = self.cgroup.oom_kills()
        self._cpu_seconds = 0.0

    def begin(self, job: dict[str, Any]) -> None:
        self.limit_bytes = int(job["memory_bytes"])
        self.process_limit = int(job["processes"])
        held = self.cgroup.limit
        self._own_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.held_by_cgroup = held is not None and held <= self.limit_bytes and self._first_cpu is not None
        self._own_allowed = time.process_time() - self._own_cpu + OWN_CPU_SECONDS
        self.started = time.monotonic()

    def sample(self) -> None:
        if self.held_by_cgroup:
            self._sample_cgroup()
        else:
            self._sample_table()
        self._disk_full = self._disk_full or any(disk_full(path) for path in (WORK, *SCRATCH))

    def _sample_cgroup(self) -> None:
        tasks = (self.cgroup.processes() or 0) - self._first_processes
        self._processes_peak = max(self._processes_peak, tasks)
        self._pids_limit_hit = self.cgroup.refused_forks() > self._first_forks
        used = (self.cgroup.cpu_seconds() or 0.0) - (self._first_cpu or 0.0)
        own = time.process_time() - self._own_cpu
        self._cpu_seconds = max(self._cpu_seconds, used - own + self._charged(own))

    def _charged(self, own: float) -> float:
        """How much of the agent's own processor time is the program's doing."""
        return max(own - self._own_allowed - OWN_CPU_SHARE * (time.monotonic() - self.started), 0.0)

    def _sample_table(self) -> None:
        self.table.read()
        self._processes_peak = max(self._processes_peak, self.table.tasks)
        # Processes come and go while they are counted, so a little less than the limit is taken for it.
        if self.table.tasks >= self.process_limit - self.process_limit // 16:
            self._pids_limit_hit = True
        own = time.process_time() - self._own_cpu
        self._cpu_seconds = max(self._cpu_seconds, self.table.cpu_seconds() + self._charged(own))
        used = self.table.memory_bytes(self.limit_bytes)
        self._peak = max(self._peak, used)
        if used > self.limit_bytes:
            self.taken_out = True

    def reaped(self, usage: resource.struct_rusage) -> None:
        self.table.reaped_cpu_seconds += usage.ru_utime + usage.ru_stime
        # A child begins in the agent's memory, and ru_maxrss remembers that; only what is above it is its own.
        if usage.ru_maxrss > self._own_rss:
            self._tree_bytes = max(self._tree_bytes, usage.ru_maxrss * 1024)

    def report(self) -> dict[str, Any]:
        """cpu_ms, wall_ms, memory_bytes (peak), oom_kills, processes_peak, pids_limit_hit, disk_full, held_by.

        tree_bytes is the largest ru_maxrss of a process that has ended.
        """
        if self.held_by_cgroup:
            peak = max(self.cgroup.peak_bytes() - self._first_memory, 0)
            ooms = self.cgroup.oom_kills() - self._first_ooms
        else:
            peak, ooms = self._peak, int(self.taken_out)
        return {
            "cpu_ms": round(self._cpu_seconds * 1000),
            "wall_ms": round((time.monotonic() - self.started) * 1000),
            "memory_bytes": max(peak, self._tree_bytes),
            "tree_bytes": self._tree_bytes,
            "oom_kills": ooms,
            "processes_peak": self._processes_peak,
            "pids_limit_hit": self._pids_limit_hit,
            "disk_full": self._disk_full,
            "held_by": "cgroup" if self.held_by_cgroup else "watcher",
        }
