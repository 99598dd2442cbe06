"""PID 1 inside the sandbox: unpacks files, runs one program, measures it, relays its streams, ends everything.

Standard library only, and shipped beside protocol.py and usercustomize.py, which starts it. It reads frames from its
stdin and writes frames to its stdout (protocol.py says which); the program gets other descriptors, so nothing it prints
can be taken for a frame.
The clocks and the decision to stop belong to the supervisor outside; only where no cgroup holds the memory does the
agent itself end a program that takes too much.
"""

import _socket  # socket.py itself takes several times as long to load
import contextlib
import ctypes
import errno
import fcntl
import gc
import itertools
import os
import resource
import select
import signal
import stat
import struct
import sys
import termios
import time
import tty
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING or __package__:
    from execution.sandbox import protocol, usercustomize
    from execution.sandbox.protocol import Kind
else:
    import protocol
    import usercustomize
    from protocol import Kind

WORK = "/work"
SCRATCH = ("/tmp", "/dev/shm")  # noqa: S108 - the sandbox's own
PR_SET_DUMPABLE = 4
STATS_SECONDS = 0.1
WATCH_SECONDS = 0.02
HOLD_SECONDS = 0.003
GATHER_SECONDS = 0.001
GATHER_BYTES = 16 * 1024
DRAIN_SECONDS = 0.1
KILL_SECONDS = 2.0
KILL_AGAIN_SECONDS = 0.01
REAP_AT_ONCE = 64
# What the agent itself may burn before it is charged to the program, which alone can keep it so busy.
OWN_CPU_SECONDS = 0.1
OWN_CPU_SHARE = 0.25
NICENESS = 5
RESET_SECONDS = 0.2
RESET_ENTRIES = 10_000
RESET_BATCH = 1_000
PENDING_INPUT_BYTES = 256 * 1024
READ_BYTES = protocol.CHUNK_BYTES
MAX_UNPACK_BYTES = 128 * 1024 * 1024
TERMINAL_SIZE = struct.pack("HHHH", 24, 80, 0, 0)
NO_FOLLOW = os.O_NOFOLLOW | os.O_CLOEXEC
# What Python and the agent ignore would stay ignored in the program.
IGNORED_HERE = (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ)
# What the kernel takes for one of each, at most, where no cgroup counts it.
INODE_BYTES = 1024
FILE_BYTES = 1024
EPOLL_WATCH_BYTES = 160
PIPE_BYTES = 64 * 1024
TERMINAL_BYTES = 32 * 1024
SOCKET_OPTION_BYTES = 128 * 1024
MAX_OPEN_FILES = 4 * usercustomize.OPEN_FILES
TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """The program never ran; becomes an ERROR frame."""

    def __init__(self, code: str, number: int | None = None, detail: str = "") -> None:
        super().__init__(code)
        self.report = {"code": code, "errno": number, "detail": detail[:500]}


def set_dumpable(value: int) -> None:
    """0 makes /proc/1/mem, /proc/1/fd and ptrace refuse the program, which has the same uid as the agent."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_DUMPABLE")


def read_text(path: str) -> str | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(65536).decode("ascii", "replace")
    except OSError:
        return None


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


class Unpacker(protocol.RecordSink):
    """Writes records below a folder, one path part at a time, never through a link."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._file = -1

    def begin(self, path: str, mode: int, size: int) -> None:
        *folders, name = path.encode("utf-8", "surrogateescape").split(b"/")
        folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | NO_FOLLOW)
        try:
            for part in folders:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=folder)
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | NO_FOLLOW, dir_fd=folder)
                os.close(folder)
                folder = inner
            self._file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW, mode, dir_fd=folder)
        finally:
            os.close(folder)

    def data(self, piece: bytes) -> None:
        write_all(self._file, piece)

    def end(self) -> None:
        os.close(self._file)
        self._file = -1


def write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def first_names(folder: int, count: int) -> list[str]:
    """At most `count` names in a folder, which may hold more than should be read."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in itertools.islice(entries, count)]


class Refused(Exception):
    """What the compiler left cannot leave the sandbox."""


def artifact_files(root: str) -> list[tuple[str, int]]:
    """(path below WORK, open descriptor) of every file under `root`: regular files with one name only, bounded."""
    found: list[tuple[str, int]] = []
    total = seen = 0

    def walk(folder: int, prefix: str, depth: int) -> None:
        nonlocal total, seen
        if depth > protocol.MAX_DEPTH:
            raise Refused(f"{prefix} is too deep")
        names = first_names(folder, protocol.MAX_FILES)
        seen += len(names)
        if seen >= protocol.MAX_FILES:
            raise Refused("it has too many files")
        for name in sorted(names):
            path = f"{prefix}/{name}"
            try:
                protocol.check_path(path)
                descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | NO_FOLLOW, dir_fd=folder)
            except (OSError, ValueError) as error:
                raise Refused(f"{path} is not a regular file") from error
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                walk(descriptor, path, depth + 1)
                os.close(descriptor)
                continue
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                raise Refused(f"{path} is not a regular file")
            total += status.st_size
            if total > protocol.MAX_ARTIFACT_BYTES or len(found) >= protocol.MAX_FILES // 2:
                raise Refused("it is too large")
            found.append((path, descriptor))

    try:
        top = os.open(f"{WORK}/{root}", os.O_RDONLY | os.O_DIRECTORY | NO_FOLLOW)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Refused(f"{root} is not a folder") from error
    walk(top, root, 1)
    os.close(top)
    return found


class Agent:
    """One sandbox's life: one job, one program, one result; or one after the other the test cases of one submission."""

    def __init__(self, inbox: int, outbox: int, runner: usercustomize.Runner | None) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._frames = protocol.FrameReader()
        # What the supervisor sent and nobody has looked at; while a program runs, that is the next test cases.
        self._waiting: deque[tuple[Kind, bytes]] = deque()
        # Forked from a Python that had loaded nothing else, so there is no second one.
        self._runner = runner
        self._cgroup = Cgroup()
        # Once it cannot be dumped, the agent could no longer open it.
        self._oom_score = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
        self._own_oom_score = os.read(self._oom_score, 16)
        self._held = b""
        self._held_until = 0.0
        self._wake, self._wake_write = os.pipe()
        for descriptor in (self._wake, self._wake_write):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._forget_job()

    def _forget_job(self) -> None:
        self._meter = Meter(self._cgroup, waiting=0 if self._runner is None else 1)
        self._streams = usercustomize.Streams() if self._runner is None else self._runner.streams
        self._job: dict[str, Any] = {}
        self._main = 0
        self._started_in = ""
        self._status: int | None = None
        self._pending = bytearray()
        self._input_ended = False
        self._input = -1
        self._outputs: dict[int, Kind] = {}
        self._poll = select.poll()

    def send(self, data: bytes) -> None:
        data, self._held = self._held + data, b""
        try:
            write_all(self._outbox, data)
        except OSError:
            os._exit(1)

    def _hold(self, data: bytes) -> None:
        """Send it soon, with what follows at once: each write wakes the engine and the worker."""
        until = time.monotonic() + GATHER_SECONDS
        self._held_until = min(self._held_until, until) if self._held else until
        self._held += data
        if len(self._held) >= GATHER_BYTES:
            self.send(b"")

    def _next_frame(self) -> tuple[Kind, bytes]:
        while not self._waiting:
            data = os.read(self._inbox, READ_BYTES)
            if not data:
                os._exit(1)
            self._waiting += self._frames.feed(data)
        return self._waiting.popleft()

    def rehearse(self) -> None:
        """Serve a job of nobody's, heard by nobody. What is done for the first time takes several times as long."""
        inbox, outbox = self._inbox, self._outbox
        self._inbox, silence = os.pipe()
        self._outbox = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        self._waiting.extend(protocol.FrameReader().feed(REHEARSAL))
        self._serve_job()
        self._close_descriptors()
        self._waiting.clear()
        for descriptor in (self._inbox, silence, self._outbox):
            os.close(descriptor)
        self._inbox, self._outbox = inbox, outbox
        reset()
        self._forget_job()

    def serve(self) -> None:
        self.send(protocol.frame(Kind.READY, bytes([protocol.VERSION])))
        while self._serve_job():
            self._close_descriptors()
            self._forget_job()

    def _serve_job(self) -> bool:
        """Whether another job of the same submission may follow."""
        meter = self._meter
        try:
            self._receive_job()
            meter.begin(self._job)
            self._start(meter)
        except Failed as failure:
            self.send(protocol.json_frame(Kind.ERROR, failure.report))
            return False
        except (ValueError, KeyError, TypeError) as error:
            self.send(protocol.json_frame(Kind.ERROR, Failed("bad_frame", detail=repr(error)).report))
            return False
        self._held = protocol.frame(Kind.STARTED)
        self._held_until = time.monotonic() + HOLD_SECONDS
        self._relay(meter)
        self._finish(meter)
        return bool(self._job["keep"])

    def _receive_job(self) -> None:
        kind, payload = self._next_frame()
        while kind in (Kind.STDIN, Kind.EOF, Kind.SIGNAL):
            # Meant for a program that has ended.
            kind, payload = self._next_frame()
        if kind is not Kind.JOB:
            raise protocol.ProtocolError(f"{kind.name} before JOB")
        self._job = protocol.parse_json(payload)
        self._in_place = self._runner is not None and runs_in_place(self._job)
        if self._runner is not None and not self._in_place:
            # It goes while the files are written.
            self._runner.dismiss()
        if self._job["reset"]:
            reset()
        records = protocol.RecordReader(Unpacker(WORK), MAX_UNPACK_BYTES)
        while True:
            kind, payload = self._next_frame()
            if kind is Kind.START:
                records.finish()
                return
            if kind is not Kind.FILES:
                raise protocol.ProtocolError(f"{kind.name} before START")
            try:
                records.feed(payload)
            except OSError as error:
                raise Failed("unpack", error.errno, str(error)) from error

    def _start(self, meter: Meter) -> None:
        job = self._job
        if job.get("artifact"):
            os.makedirs(f"{WORK}/{job['artifact']}", exist_ok=True)
        runner, self._runner = self._runner, None
        streams = self._streams
        if job["interactive"]:
            self._put_terminal(streams)
        self._input = streams.stdin
        self._outputs = {streams.stdout: Kind.STDOUT, streams.stderr: Kind.STDERR}
        # Where no cgroup shares out the processor, at least the agent goes first.
        niceness = 0 if meter.held_by_cgroup else NICENESS
        if runner is not None and self._in_place:
            self._started_in = "fork"
            self._main = runner.pid
            set_limits(runner.pid, STANDING_LIMITS | inherited_limits(job, not meter.held_by_cgroup) | cpu_limit(job))
            runner.go(job["argv"], job["environment"], niceness)
        else:
            self._started_in = "exec"
            if runner is not None:
                # While it is there it takes one of the program's processes.
                os.waitpid(runner.pid, 0)
            set_limits(0, inherited_limits(job, not meter.held_by_cgroup))
            self._main = self._spawn(streams.theirs)
            set_limits(self._main, cpu_limit(job))
            if niceness:
                with contextlib.suppress(OSError):
                    os.setpriority(os.PRIO_PROCESS, self._main, niceness)
        streams.let_go()

    def _spawn(self, streams: list[int]) -> int:
        """The program's pid. posix_spawn shares this memory until exec, so nothing is copied and nobody is woken."""
        argv, environment = self._job["argv"], self._job["environment"]
        actions = [(os.POSIX_SPAWN_DUP2, descriptor, number) for number, descriptor in enumerate(streams)]
        # When memory runs out the kernel must take the program, which inherits this, and not the agent.
        os.write(self._oom_score, b"1000")
        try:
            for path in places(argv[0], environment):
                try:
                    return os.posix_spawn(
                        path, argv, environment, file_actions=actions, setsid=True, setsigdef=IGNORED_HERE
                    )
                except (FileNotFoundError, NotADirectoryError):
                    continue
        except OSError as error:
            raise Failed("exec", error.errno, f"{argv[0]}: {error.strerror}") from error
        finally:
            os.write(self._oom_score, self._own_oom_score)
        raise Failed("exec", errno.ENOENT, f"{argv[0]}: {os.strerror(errno.ENOENT)}")

    def _put_terminal(self, streams: usercustomize.Streams) -> None:
        os.close(streams.stdout)
        os.close(streams.theirs[1])
        streams.stdout, streams.theirs[1] = self._open_terminal()

    def _close_descriptors(self) -> None:
        for descriptor in self._outputs:
            os.close(descriptor)
        if self._input >= 0:
            os.close(self._input)

    @staticmethod
    def _open_terminal() -> tuple[int, int]:
        """A terminal for stdout, so that libc flushes each line; raw, so that every byte arrives as it was printed."""
        master, slave = os.openpty()
        os.set_blocking(master, False)
        tty.setraw(slave, termios.TCSANOW)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, TERMINAL_SIZE)
        return master, slave

    def _relay(self, meter: Meter) -> None:
        interval = STATS_SECONDS if meter.held_by_cgroup else WATCH_SECONDS
        for descriptor in (self._wake, *self._outputs):
            self._poll.register(descriptor, select.POLLIN)
        next_sample = next_report = time.monotonic() + interval
        self._handle_waiting()
        while self._status is None:
            # With nothing asked for, poll still reports the hang-up of a supervisor that died.
            self._poll.register(self._inbox, select.POLLIN if len(self._pending) < PENDING_INPUT_BYTES else 0)
            self._watch_input()
            due = min(next_sample, self._held_until) if self._held else next_sample
            for descriptor, event in self._poll.poll(max(due - time.monotonic(), 0) * 1000):
                self._on_event(descriptor, event, meter)
            now = time.monotonic()
            if self._held and now >= self._held_until:
                self.send(b"")
            if now >= next_sample:
                meter.sample()
                # Sampling many processes is slow; it must not become the load.
                next_sample = time.monotonic() + max(interval, 3 * (time.monotonic() - now))
                if meter.taken_out:
                    self._kill_main()
                if now >= next_report:
                    self.send(protocol.json_frame(Kind.STATS, self._report(meter)))
                    next_report = now + STATS_SECONDS

    def _report(self, meter: Meter) -> dict[str, Any]:
        return meter.report() | {"start": self._started_in}

    def _on_event(self, descriptor: int, event: int, meter: Meter) -> None:
        if descriptor == self._inbox:
            if not event & select.POLLIN:
                os._exit(1)
            data = os.read(self._inbox, READ_BYTES)
            if not data:
                os._exit(1)
            for kind, payload in self._frames.feed(data):
                if kind is Kind.SIGNAL and len(payload) == 1:
                    # Whatever else was sent before, this is for the program that runs.
                    self._signal_main(payload[0])
                else:
                    self._waiting.append((kind, payload))
            self._handle_waiting()
        elif descriptor in self._outputs:
            self._pump(descriptor)
        elif descriptor == self._input:
            self._feed_input()
        elif descriptor == self._wake:
            os.read(self._wake, 512)
            if self._reap(meter):
                # No signal comes for those that were left; this brings the agent back after a look at the clock.
                os.write(self._wake_write, b"\0")

    def _handle_waiting(self) -> None:
        """The program's input; a JOB and what follows it stays here until this program has ended."""
        while self._waiting and self._waiting[0][0] is not Kind.JOB:
            kind, payload = self._waiting.popleft()
            if kind is Kind.STDIN and self._input >= 0 and not self._input_ended:
                self._pending += payload
            elif kind is Kind.EOF:
                self._input_ended = True

    def _watch_input(self) -> None:
        if self._input < 0:
            return
        if self._pending:
            self._poll.register(self._input, select.POLLOUT)
            return
        if self._input_ended:
            self._close_input()
            return
        with contextlib.suppress(KeyError):
            self._poll.unregister(self._input)

    def _feed_input(self) -> None:
        try:
            del self._pending[: os.write(self._input, memoryview(self._pending)[:READ_BYTES].tobytes())]
        except BlockingIOError:
            return
        except OSError:
            self._close_input()

    def _close_input(self) -> None:
        self._pending.clear()
        with contextlib.suppress(KeyError):
            self._poll.unregister(self._input)
        os.close(self._input)
        self._input = -1

    def _pump(self, descriptor: int) -> None:
        """Relay one piece, or take the stream off the list when it has ended (a terminal says so with EIO)."""
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            # What poll saw is gone: the program took it back. More may come.
            return
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""
        if not data:
            self._poll.unregister(descriptor)
            del self._outputs[descriptor]
            os.close(descriptor)
            return
        self._hold(protocol.frame(self._outputs[descriptor], data))

    def _reap(self, meter: Meter) -> bool:
        """Wait for those that have ended; whether more may be left, because a program can end them faster than this."""
        for _ in range(REAP_AT_ONCE):
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return False
            meter.reaped(usage)
            if pid == self._main:
                self._status = status
        return True

    def _signal_main(self, number: int) -> None:
        if number == signal.SIGKILL:
            self._kill_main()
            return
        with contextlib.suppress(OSError, ValueError):
            os.killpg(self._main, number)

    def _kill_main(self) -> None:
        if self._status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._main, signal.SIGKILL)

    def _finish(self, meter: Meter) -> None:
        if not meter.held_by_cgroup:
            # What is killed now can no longer be counted one by one.
            meter.sample()
        self._kill_all(meter)
        self._poll = select.poll()
        for descriptor in self._outputs:
            self._poll.register(descriptor, select.POLLIN)
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._outputs and time.monotonic() < deadline:
            for descriptor, _event in self._poll.poll(DRAIN_SECONDS * 1000):
                self._pump(descriptor)
        meter.sample()
        result = self._report(meter)
        status = self._status if self._status is not None else signal.SIGKILL
        killed = os.WIFSIGNALED(status)
        result["exit_code"] = None if killed else os.WEXITSTATUS(status)
        result["signal"] = os.WTERMSIG(status) if killed else None
        result["refused"] = self._send_artifact() if result["exit_code"] == 0 and self._job.get("artifact") else None
        self.send(protocol.json_frame(Kind.RESULT, result))

    def _kill_all(self, meter: Meter) -> None:
        deadline = time.monotonic() + KILL_SECONDS
        woken = select.poll()
        woken.register(self._wake, select.POLLIN)
        while time.monotonic() < deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
            self._reap(meter)
            try:
                if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                    # A process on its way out; SIGCHLD wakes this.
                    woken.poll(KILL_AGAIN_SECONDS * 1000)
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake, 512)
            except ChildProcessError:
                return

    def _send_artifact(self) -> str | None:
        try:
            files = artifact_files(self._job["artifact"])
        except Refused as refusal:
            return str(refusal)
        for path, descriptor in files:
            status = os.fstat(descriptor)
            mode = 0o755 if status.st_mode & 0o100 else 0o644
            self.send(protocol.frame(Kind.ARTIFACT, protocol.record_header(path, mode, status.st_size)))
            left = status.st_size
            while left:
                data = os.read(descriptor, min(left, READ_BYTES))
                if not data:
                    return f"{path} changed while it was read"
                left -= len(data)
                self.send(protocol.frame(Kind.ARTIFACT, data))
            os.close(descriptor)
        return None


def runs_in_place(job: dict[str, Any]) -> bool:
    """Whether the job is the very command that this process was started with, in the same environment.

    Names that only the host's tools add are left out: they mean nothing to Python, and the program does not get them.
    """
    wanted = job["environment"]
    own = {name: value for name, value in os.environ.items() if name != usercustomize.FOLDER_VARIABLE}
    meant_for_python = {name for name in own if name.startswith(("PYTHON", "LC_", "LANG", "TZ"))}
    return (
        not job["interactive"]
        and job["argv"][:2] == sys.orig_argv == ["python3", "main.py"]
        and all(own.get(name) == value for name, value in wanted.items())
        and meant_for_python <= set(wanted)
    )


def reset() -> None:
    """Make the sandbox as it was before the last job: that job's processes are gone already, now its files go.

    Raises Failed when there is too much to remove, it takes too long, or something stays that cannot be removed.
    """
    deadline = time.monotonic() + RESET_SECONDS
    removed = 0

    def empty(folder: int) -> None:
        nonlocal removed
        while names := first_names(folder, RESET_BATCH):
            for name in names:
                removed += 1
                if removed > RESET_ENTRIES or time.monotonic() > deadline:
                    raise Failed("reset", detail="too many files were left")
                try:
                    os.unlink(name, dir_fd=folder)
                    continue
                except (IsADirectoryError, PermissionError):
                    # A folder, no link, and nobody is left to change that.
                    os.chmod(name, 0o700, dir_fd=folder)
                    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | NO_FOLLOW, dir_fd=folder)
                try:
                    empty(inner)
                finally:
                    os.close(inner)
                os.rmdir(name, dir_fd=folder)

    try:
        for root in (WORK, *SCRATCH):
            folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | NO_FOLLOW)
            try:
                if os.fstat(folder).st_uid == os.geteuid():
                    os.fchmod(folder, 0o755 if root == WORK else 0o1777)
                # The folder itself stays, and could carry a note.
                for name in os.listxattr(folder):
                    if name.startswith(("user.", "system.")):
                        os.removexattr(folder, name)
                empty(folder)
                os.utime(folder)
            finally:
                os.close(folder)
        for kind in ("shm", "msg", "sem"):
            # Its first line is the heading.
            if len((read_text(f"/proc/sysvipc/{kind}") or "").splitlines()) > 1:
                raise Failed("reset", detail=f"a System V {kind} was left")
    except (OSError, RecursionError) as error:
        raise Failed("reset", getattr(error, "errno", None), str(error)) from error


def places(tool: str, environment: dict[str, str]) -> list[str]:
    """Where a program of this name may be, as execvp looks; only what is there, because each try is a process."""
    if "/" in tool:
        return [tool]
    folders = environment.get("PATH", "/usr/bin:/bin").split(":")
    return [path for folder in folders if os.path.lexists(path := f"{folder}/{tool}")]


# Of 0 a core_pattern that is a pipe takes no notice; at 1 the kernel starts no program of the host's either.
STANDING_LIMITS = {
    resource.RLIMIT_CORE: (1, 1),
    resource.RLIMIT_NOFILE: (usercustomize.OPEN_FILES, usercustomize.OPEN_FILES),
    resource.RLIMIT_MSGQUEUE: (0, 0),
}


def inherited_limits(job: dict[str, Any], watched: bool) -> dict[int, tuple[int, int]]:
    """What the agent takes on itself, so that the program has it from its first instruction."""
    limits = {resource.RLIMIT_FSIZE: (int(job["disk_bytes"]), int(job["disk_bytes"]))}
    if watched:
        # The agent is one process of this uid; with cgroups the pids controller counts instead.
        limits[resource.RLIMIT_NPROC] = (int(job["processes"]) + 1, int(job["processes"]) + 1)
    return limits


def cpu_limit(job: dict[str, Any]) -> dict[int, tuple[int, int]]:
    """The supervisor counts the whole tree's cpu time; this stops one process should the supervisor be late."""
    seconds = int(job["cpu_ms"]) // 1000 + 2
    return {resource.RLIMIT_CPU: (seconds, seconds + 1)}


def set_limits(pid: int, limits: dict[int, tuple[int, int]]) -> None:
    """Limits of a process, and so of all it will start; none is ever raised."""
    for name, (soft, hard) in limits.items():
        ceiling = resource.prlimit(pid, name)[1]
        if ceiling == resource.RLIM_INFINITY:
            ceiling = hard
        resource.prlimit(pid, name, (min(soft, ceiling), min(hard, ceiling)))


# Its limits are none, because the agent cannot raise again what it takes on itself.
REHEARSAL = b"".join(
    [
        protocol.json_frame(
            Kind.JOB,
            {
                "argv": ["true"],
                "environment": {"PATH": "/usr/bin:/bin"},
                "interactive": False,
                "artifact": None,
                "memory_bytes": 1 << 62,
                "processes": 1 << 30,
                "cpu_ms": 60_000,
                "disk_bytes": 1 << 62,
                "reset": True,
                "keep": True,
            },
        ),
        protocol.frame(Kind.FILES, protocol.record_header("rehearsal/program", 0o755, 16_384) + bytes(16_384)),
        protocol.frame(Kind.START),
        protocol.frame(Kind.EOF),
    ]
)


def main(runner: usercustomize.Runner | None) -> None:
    # Python would turn a SIGINT from the program into a KeyboardInterrupt here.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_limits(0, STANDING_LIMITS)
    os.umask(0o022)
    os.chdir(WORK)
    agent = Agent(0, 1, runner)
    set_dumpable(0)
    if runner is None:
        # Its end would take the waiting runner along.
        agent.rehearse()
    # What is loaded stays; nobody needs to look through it again while a program runs.
    gc.collect()
    gc.freeze()
    agent.serve()
    os._exit(0)
