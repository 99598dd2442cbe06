"""PID 1 inside the sandbox: unpacks files, runs one program, measures it, relays its streams, ends everything.

Standard library only, and shipped with the files that image_names.AGENT_FILES names, of which usercustomize.py starts
it. It reads frames from its stdin and writes frames to its stdout (protocol.py says which); the program gets other
descriptors, so nothing it prints can be taken for a frame.

The clocks and the decision to stop belong to the supervisor outside; only where no cgroup holds the memory does the
agent itself end a program that takes too much.
"""

import contextlib
import errno
import fcntl
import gc
import os
import select
import signal
import struct
import sys
import termios
import time
import tty
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from execution.sandbox import protocol, usercustomize
    from execution.sandbox.agent_files import WORK, Failed, Refused, Unpacker, artifact_files, reset, write_all
    from execution.sandbox.agent_limits import STANDING_LIMITS, cpu_limit, inherited_limits, set_dumpable, set_limits
    from execution.sandbox.agent_meters import Cgroup, Meter
    from execution.sandbox.protocol import Kind
else:
    import protocol
    import usercustomize
    from agent_files import WORK, Failed, Refused, Unpacker, artifact_files, reset, write_all
    from agent_limits import STANDING_LIMITS, cpu_limit, inherited_limits, set_dumpable, set_limits
    from agent_meters import Cgroup, Meter
    from protocol import Kind

STATS_SECONDS = 0.1
WATCH_SECONDS = 0.02
HOLD_SECONDS = 0.003
GATHER_SECONDS = 0.001
GATHER_BYTES = 16 * 1024
DRAIN_SECONDS = 0.1
KILL_SECONDS = 2.0
KILL_AGAIN_SECONDS = 0.01
REAP_AT_ONCE = 64
NICENESS = 5
PENDING_INPUT_BYTES = 256 * 1024
READ_BYTES = protocol.CHUNK_BYTES
MAX_UNPACK_BYTES = 128 * 1024 * 1024
TERMINAL_SIZE = struct.pack("HHHH", 24, 80, 0, 0)
# What Python and the agent ignore would stay ignored in the program.
IGNORED_HERE = (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ)


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


def places(tool: str, environment: dict[str, str]) -> list[str]:
    """Where a program of this name may be, as execvp looks; only what is there, because each try is a process."""
    if "/" in tool:
        return [tool]
    folders = environment.get("PATH", "/usr/bin:/bin").split(":")
    return [path for folder in folders if os.path.lexists(path := f"{folder}/{tool}")]


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
