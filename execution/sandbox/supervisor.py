"""Runs one job in sandboxes of any backend and says how it ended. Called by the runner, from any thread.

It alone decides when a run is over: wall clock, idle time, the cpu time of the whole tree, output and cancel.
It never opens a path that a program could have touched; everything crosses as bytes.
"""

import contextlib
import os
import select
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from execution.sandbox import protocol
from execution.sandbox.backends import Backend, Handle
from execution.sandbox.cache import CompileCache, Compiled, Files, key_of
from execution.sandbox.control import Control
from execution.sandbox.errors import SandboxFault
from execution.sandbox.job import Case, CaseResult, Job, Outcome, Stats, Status, Step
from execution.sandbox.limits import Limits
from execution.sandbox.output import Delivery, Listener, OutputCut, StreamName
from execution.sandbox.protocol import Kind
from sessions_app.languages import ARTIFACT_FOLDER

START_SECONDS = 30.0
GRACE_SECONDS = 0.25
QUIET_SECONDS = 0.2
MEMORY_NEAR_LIMIT = 0.95


def execute(
    job: Job,
    backend: Backend,
    listener: Listener,
    control: Control,
    label: str = "",
    cache: CompileCache | None = None,
) -> Outcome:
    """Compile where the language wants it, run, and return the Outcome once the listener has everything.

    `label` names the job to the backend. Raises SandboxFault for a fault of the host, and whatever the listener raises.
    """
    with _desk(listener, control) as (delivery, wake):
        desk = _Desk(job, backend, delivery, control, wake, label)
        compiled = _compile(desk, cache)
        if isinstance(compiled, Outcome):
            return compiled
        run = _watched(lambda: _Watch(desk, job.run), _files(job, compiled), job.stdin or b"")
        return run.run_outcome(compiled)


def execute_cases(
    job: Job,
    cases: Sequence[Case],
    backend: Backend,
    listener: Listener,
    control: Control,
    label: str = "",
    *,
    after_case: Callable[[int, CaseResult], bool] = lambda _index, _result: True,
    cache: CompileCache | None = None,
) -> Outcome:
    """Compile once, then run every case in a sandbox reset after the last one, or a new one on any trouble.

    The listener hears the compiler; what a case prints is in its result. `after_case` is called with each result as it
    comes, and ends the submission by returning False. The outcome has the state, exit code and message of the first
    case that did not complete, and the stats of all together. Raises as `execute` does.
    """
    with _desk(listener, control) as (delivery, wake):
        desk = _Desk(job, backend, delivery, control, wake, label)
        compiled = _compile(desk, cache)
        if isinstance(compiled, Outcome):
            return compiled
        if compiled is None:
            delivery.started()
        results: list[CaseResult] = []
        seat = _Seat(backend)
        try:
            for index, case in enumerate(cases):
                is_last = index == len(cases) - 1
                results.append(_run_case(desk, case, compiled, seat, is_last=is_last))
                if not after_case(index, results[-1]) or control.is_cancelled:
                    break
        finally:
            seat.close()
        return _sum_of_cases(results, compiled)


@contextlib.contextmanager
def _desk(listener: Listener, control: Control) -> Iterator[tuple[Delivery, int]]:
    """What every job needs around it: the way to its listener, and a descriptor that `control` wakes."""
    # Nobody would hear the rest of a run whose listener failed.
    delivery = Delivery(listener, on_failure=control.cancel)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    control.attach(wake_write)
    try:
        yield delivery, wake_read
    finally:
        control.attach(-1)
        os.close(wake_read)
        os.close(wake_write)
        # A listener that failed is reported even when the run failed too: its error is the first one.
        delivery.finish()


@dataclass(frozen=True)
class _Desk:
    job: Job
    backend: Backend
    delivery: "Delivery | _Captured"
    control: Control
    wake: int
    label: str


def _compile(desk: _Desk, cache: CompileCache | None) -> Compiled | Outcome | None:
    """None where nothing is to be compiled; an Outcome when that is where the run ends."""
    job = desk.job
    if job.compile is None:
        return None
    files = _files(job, None)
    key = key_of(desk.backend.toolset(job.language), job.compile, files) if cache is not None else ""
    if cache is not None and (found := cache.get(key)) is not None:
        desk.delivery.started()
        desk.delivery.output("compile", found.output)
        return replace(found, wall_ms=0, from_cache=True)
    step = job.compile
    watch = _watched(lambda: _Watch(desk, step, is_compile=True), files)
    if desk.control.is_cancelled or watch.result is None or watch.ended_by or watch.problem():
        return watch.compile_outcome()
    compiled = watch.compiled()
    if cache is not None:
        cache.put(key, compiled)
    return compiled


def _watched(make: "Callable[[], _Watch]", files: Files, stdin: bytes = b"") -> "_Watch":
    """A step that has ended; one whose sandbox was gone, or was not clean, before it began is begun again."""
    while True:
        watch = make()
        watch.go(files, stdin)
        if not watch.never_began:
            return watch


def _files(job: Job, compiled: Compiled | None) -> Files:
    files = {path: (0o644, content) for path, content in job.files.items()}
    return files if compiled is None else files | dict(compiled.artifact)


class _Seat:
    """The sandbox that one submission's cases share as long as nothing goes wrong."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._handle: Handle | None = None
        self._shape: object = None

    def take(self, limits: Limits, desk: _Desk) -> tuple[Handle, bool]:
        """A sandbox, and whether a case was in it already."""
        shape = self._backend.shape(limits, desk.job.language)
        handle, self._handle = self._handle, None
        if handle is not None and shape == self._shape:
            return handle, True
        if handle is not None:
            handle.close()
        self._shape = shape
        return self._backend.open(limits, desk.label, desk.job.language), False

    def give_back(self, handle: Handle) -> None:
        self._handle = handle

    def close(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None


class _Captured:
    """Stands where the listener's Delivery stands, for a case."""

    def __init__(self) -> None:
        self.streams: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray(), "compile": bytearray()}

    def start(self) -> None:
        """There is no thread to start."""

    def started(self) -> None:
        """Whoever waits for cases hears their results."""

    def output(self, stream: StreamName, data: bytes) -> None:
        self.streams[stream] += data


def _run_case(desk: _Desk, case: Case, compiled: Compiled | None, seat: _Seat, *, is_last: bool) -> CaseResult:
    step = replace(desk.job.run, argv=(*desk.job.run.argv, *case.args), limits=case.limits or desk.job.run.limits)
    files = _files(desk.job, compiled)
    captured = _Captured()
    own_desk = replace(desk, delivery=captured)
    watch = _watched(lambda: _Watch(own_desk, step, seat=seat, keep=not is_last), files, case.stdin)
    outcome = watch.run_outcome(compiled)
    return CaseResult(
        status=outcome.status,
        exit_code=outcome.exit_code,
        signal=outcome.signal,
        stats=outcome.stats,
        stdout=bytes(captured.streams["stdout"]),
        stderr=bytes(captured.streams["stderr"]),
        truncated=outcome.truncated,
        message=outcome.message,
    )


def _sum_of_cases(results: Sequence[CaseResult], compiled: Compiled | None) -> Outcome:
    worst = next((result for result in results if result.status is not Status.COMPLETED), None)
    shown = worst or (results[-1] if results else None)
    stats: dict[str, Any] = (
        dict(shown.stats) if shown else _EMPTY_STATS | {"compile_ms": compiled.wall_ms if compiled else 0}
    )
    each: list[dict[str, Any]] = [dict(result.stats) for result in results]
    for name in ("wall_ms", "cpu_ms", "output_bytes"):
        stats[name] = sum(one[name] for one in each)
    for name in ("memory_bytes", "processes_peak", "pids_limit_hit", "child_oom", "disk_full"):
        stats[name] = max((one[name] for one in each), default=stats[name])
    return Outcome(
        status=worst.status if worst else Status.COMPLETED,
        exit_code=shown.exit_code if shown else None,
        signal=worst.signal if worst else None,
        stats=cast("Stats", stats),
        compile_output=compiled.output if compiled else b"",
        truncated=any(result.truncated for result in results),
        message=worst.message if worst else "",
        cases=tuple(results),
    )


class _Collector(protocol.RecordSink):
    """The artifact, in memory; the reader has bounded it."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[int, bytes]] = {}
        self._path = ""
        self._mode = 0
        self._content = bytearray()

    def begin(self, path: str, mode: int, size: int) -> None:
        if not path.startswith(f"{ARTIFACT_FOLDER}/") or path in self.files:
            raise protocol.ProtocolError(f"artifact {path!r}")
        self._path, self._mode, self._content = path, mode, bytearray()

    def data(self, piece: bytes) -> None:
        self._content += piece

    def end(self) -> None:
        self.files[self._path] = (self._mode, bytes(self._content))


@dataclass
class _Outbox:
    """Frames on their way to the agent."""

    pieces: deque[memoryview] = field(default_factory=deque)

    def add(self, data: bytes) -> None:
        self.pieces.append(memoryview(data))

    def flush(self, handle: Handle) -> None:
        if len(self.pieces) > 1 and sum(map(len, self.pieces)) <= protocol.CHUNK_BYTES:
            # A small job goes out in one write.
            joined = memoryview(b"".join(self.pieces))
            self.pieces.clear()
            self.pieces.append(joined)
        while self.pieces:
            sent = handle.send(self.pieces[0])
            if sent < len(self.pieces[0]):
                self.pieces[0] = self.pieces[0][sent:]
                return
            self.pieces.popleft()


class _Watch:
    """One step in one sandbox, from its start to its end."""

    def __init__(
        self,
        desk: _Desk,
        step: Step,
        *,
        is_compile: bool = False,
        seat: _Seat | None = None,
        keep: bool = False,
    ) -> None:
        self._desk = desk
        self._job = desk.job
        self._step = step
        self._delivery = desk.delivery
        self._control = desk.control
        self._wake = desk.wake
        self._is_compile = is_compile
        self._interactive = desk.job.interactive and not is_compile
        self._seat = seat
        self._keep = keep
        self._is_reused = False
        self._cut = OutputCut(step.limits.output_bytes)
        self._compile_output = bytearray()
        self._outbox = _Outbox()
        self._frames = protocol.FrameReader()
        self._collector = _Collector()
        self._records = protocol.RecordReader(self._collector, protocol.MAX_ARTIFACT_BYTES)
        self._input_ended = not self._interactive
        self._begun = time.monotonic()
        self._started: float | None = None
        self._ended: float | None = None
        self._last_activity = self._begun
        self._stop_at: float | None = None
        self._report: dict[str, Any] = {}
        self._exec_error: dict[str, Any] | None = None
        self.ended_by: str | None = None
        self.result: dict[str, Any] | None = None
        self._died_of_memory = False
        self._is_cold = True

    @property
    def artifact(self) -> dict[str, tuple[int, bytes]]:
        return self._collector.files

    @property
    def never_began(self) -> bool:
        """The sandbox was not made for this step, and could not be made clean, or was gone: another one will do."""
        if self._started is not None or self.ended_by is not None:
            return False
        is_refused = self._exec_error is not None and self._exec_error.get("code") != "reset"
        return (self._is_reused or not self._is_cold) and not is_refused

    # The loop

    def go(self, files: Files, stdin: bytes = b"") -> None:
        if self._control.is_cancelled:
            self.ended_by = "cancel"
            return
        seat = self._seat or _Seat(self._desk.backend)
        handle, self._is_reused = seat.take(self._step.limits, self._desk)
        self._is_cold = not handle.parked
        is_clean = False
        try:
            self._queue_job(files, stdin)
            self._flush(handle)
            self._delivery.start()
            self._loop(handle)
            is_clean = self.result is not None and self.ended_by is None and not self._outbox.pieces
        except protocol.ProtocolError as error:
            raise SandboxFault(
                "broken_frames", "Run `make images`, so that agent and server match.", str(error)
            ) from error
        finally:
            if self._keep and is_clean:
                seat.give_back(handle)
            else:
                handle.close()
            for stream, data in self._cut.release():
                self._pass_on(stream, data)

    def _loop(self, handle: Handle) -> None:
        poll = select.poll()
        while self.result is None and self._exec_error is None:
            poll.register(self._wake, select.POLLIN)
            self._register(poll, handle)
            events = dict(poll.poll(self._timeout_ms()))
            if self._wake in events:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake, 4096)
            self._hear_control()
            if events.get(handle.write_fileno(), 0) & select.POLLOUT:
                self._flush(handle)
            if events.get(handle.read_fileno(), 0) & ~select.POLLOUT and not self._hear_agent(handle):
                self._agent_is_gone(handle)
                return
            self._check_clocks()
            if self._stop_at is not None and time.monotonic() >= self._stop_at:
                handle.kill()
                self._ended = time.monotonic()
                return
        self._ended = time.monotonic()

    def _flush(self, handle: Handle) -> None:
        # An agent that has gone away is noticed by the next read, with what it last said and why.
        with contextlib.suppress(OSError):
            self._outbox.flush(handle)

    def _register(self, poll: select.poll, handle: Handle) -> None:
        reader, writer = handle.read_fileno(), handle.write_fileno()
        wanted = select.POLLOUT if self._outbox.pieces else 0
        if reader == writer:
            poll.register(reader, select.POLLIN | wanted)
            return
        poll.register(reader, select.POLLIN)
        if wanted:
            poll.register(writer, wanted)
        else:
            with contextlib.suppress(KeyError):
                poll.unregister(writer)

    def _timeout_ms(self) -> float:
        now = time.monotonic()
        limits = self._step.limits
        if self._stop_at is not None:
            deadline = self._stop_at
        elif self._started is None:
            deadline = self._begun + START_SECONDS
        else:
            deadline = self._started + limits.wall_ms / 1000
            if limits.idle_ms is not None:
                deadline = min(deadline, self._last_activity + limits.idle_ms / 1000)
            if self._cut.has_waiting:
                deadline = min(deadline, self._last_activity + QUIET_SECONDS)
        return max(deadline - now, 0) * 1000 + 1

    def _check_clocks(self) -> None:
        now = time.monotonic()
        limits = self._step.limits
        if self._stop_at is not None:
            return
        if self._started is None:
            if now - self._begun > START_SECONDS:
                raise SandboxFault(
                    "sandbox_slow", "Look at the host's load, then `make doctor`.", f"no agent after {START_SECONDS} s"
                )
            return
        if now - self._started >= limits.wall_ms / 1000:
            self._stop("wall")
        elif limits.idle_ms is not None and now - self._last_activity >= limits.idle_ms / 1000:
            self._stop("idle")
        elif self._cut.has_waiting and now - self._last_activity >= QUIET_SECONDS:
            for stream, data in self._cut.release():
                self._pass_on(stream, data)

    def _stop(self, reason: str) -> None:
        """End the run: the agent is asked, so that it can still say what was used; after a moment it is killed."""
        if self.ended_by is None and self.result is None:
            self.ended_by = reason
            self._outbox.add(protocol.frame(Kind.SIGNAL, bytes([signal.SIGKILL])))
            self._stop_at = time.monotonic() + GRACE_SECONDS

    # To the agent

    def _queue_job(self, files: Files, stdin: bytes) -> None:
        limits = self._step.limits
        self._outbox.add(
            protocol.json_frame(
                Kind.JOB,
                {
                    "argv": list(self._step.argv),
                    "environment": dict(self._step.environment),
                    "interactive": self._interactive,
                    "artifact": ARTIFACT_FOLDER if self._is_compile else None,
                    "memory_bytes": limits.memory_bytes,
                    "processes": limits.processes,
                    "cpu_ms": limits.cpu_ms,
                    "disk_bytes": limits.disk_bytes,
                    "reset": self._is_reused,
                    "keep": self._keep,
                },
            )
        )
        for path, (mode, content) in files.items():
            self._outbox.add(protocol.frame(Kind.FILES, protocol.record_header(path, mode, len(content))))
            self._queue_bytes(Kind.FILES, content)
        self._outbox.add(protocol.frame(Kind.START))
        self._queue_bytes(Kind.STDIN, stdin)
        if self._input_ended:
            self._outbox.add(protocol.frame(Kind.EOF))

    def _queue_bytes(self, kind: Kind, data: bytes) -> None:
        for start in range(0, len(data), protocol.CHUNK_BYTES):
            self._outbox.add(protocol.frame(kind, data[start : start + protocol.CHUNK_BYTES]))

    def _hear_control(self) -> None:
        if self._control.is_cancelled:
            self._stop("cancel")
        if self._input_ended:
            return
        data, closed = self._control.take_input()
        if data:
            self._last_activity = time.monotonic()
            self._queue_bytes(Kind.STDIN, data)
        if closed:
            self._input_ended = True
            self._outbox.add(protocol.frame(Kind.EOF))

    # From the agent

    def _hear_agent(self, handle: Handle) -> bool:
        data = handle.receive()
        if data is None:
            return False
        for kind, payload in self._frames.feed(data):
            self._on_frame(kind, payload)
        return True

    def _on_frame(self, kind: Kind, payload: bytes) -> None:
        if kind is Kind.READY:
            if payload != bytes([protocol.VERSION]):
                raise protocol.ProtocolError(f"agent of version {payload.hex()}")
        elif kind is Kind.STARTED:
            self._started = self._last_activity = time.monotonic()
            if self._is_compile or self._job.compile is None:
                self._delivery.started()
        elif kind in (Kind.STDOUT, Kind.STDERR):
            self._on_output("stdout" if kind is Kind.STDOUT else "stderr", payload)
        elif kind is Kind.STATS:
            self._report = protocol.parse_json(payload)
            if self._number("cpu_ms") > self._step.limits.cpu_ms:
                self._stop("cpu")
        elif kind is Kind.ARTIFACT:
            self._records.feed(payload)
        elif kind is Kind.RESULT:
            self._records.finish()
            self.result = self._report = protocol.parse_json(payload)
        elif kind is Kind.ERROR:
            self._exec_error = protocol.parse_json(payload)
        else:
            raise protocol.ProtocolError(f"{kind.name} from the agent")

    def _on_output(self, stream: StreamName, data: bytes) -> None:
        self._last_activity = time.monotonic()
        if self._is_compile:
            stream = "compile"
        self._pass_on(stream, self._cut.add(stream, data))
        if self._cut.is_over:
            self._stop("output")

    def _pass_on(self, stream: StreamName, data: bytes) -> None:
        if self._is_compile:
            self._compile_output += data
        self._delivery.output(stream, data)

    def _agent_is_gone(self, handle: Handle) -> None:
        """The agent ended without a result: memory ran out, the run was being stopped, or the host is at fault."""
        self._ended = time.monotonic()
        handle.kill()
        out_of_memory, last_words = handle.death()
        near_limit = self._number("memory_bytes") >= MEMORY_NEAR_LIMIT * self._step.limits.memory_bytes
        if out_of_memory or (self._started is not None and near_limit):
            self._died_of_memory = True
        elif self.ended_by is None and not self.never_began:
            raise SandboxFault("sandbox_died", "Run `make doctor`.", last_words or "the agent ended without a result")

    # What came of it

    def _number(self, name: str) -> int:
        value = self._report.get(name, 0)
        return value if isinstance(value, int) else 0

    @property
    def _out_of_memory(self) -> bool:
        return self._died_of_memory or (self._number("oom_kills") > 0 and self._exit_code != 0)

    @property
    def _exit_code(self) -> int | None:
        return self.result.get("exit_code") if self.result else None

    @property
    def _signal_name(self) -> str | None:
        if self._started is None:
            return None
        number = self.result.get("signal") if self.result else int(signal.SIGKILL)
        if number is None:
            return None
        try:
            return signal.Signals(number).name
        except ValueError:
            return f"SIG{number}"

    @property
    def _limit(self) -> str | None:
        if self.ended_by in ("cpu", "wall", "idle", "output"):
            return self.ended_by
        if self._out_of_memory:
            return "memory"
        if self._cut.is_over:
            return "output"
        if self._number("cpu_ms") > self._step.limits.cpu_ms:
            return "cpu"
        return None

    def problem(self) -> str:
        """For a finished compiler: why there is no program to run, or "" when there is one."""
        if self._exec_error is not None or self.result is None or self._limit is not None or self._exit_code != 0:
            return "the compiler failed"
        if self.result.get("refused"):
            return f"What the compiler left cannot be run: {self.result['refused']}."
        if not self.artifact:
            return "The compiler left no program."
        return ""

    def compiled(self) -> Compiled:
        """What came of a compiler without a problem."""
        return Compiled(self.artifact, bytes(self._compile_output), self._cut.truncated, self._wall_ms)

    @property
    def _wall_ms(self) -> int:
        if self._started is None or self._ended is None:
            return 0
        return round((self._ended - self._started) * 1000)

    def _stats(self, compiled: Compiled | None) -> Stats:
        # The counter of a sandbox that is used again belongs to the whole submission.
        memory = self._number("memory_bytes" if self._seat is None else "tree_bytes")
        limit = self._limit
        return {
            "step": "compile" if self._is_compile else "run",
            "limit": limit,
            "wall_ms": self._wall_ms,
            "cpu_ms": self._number("cpu_ms"),
            "memory_bytes": self._step.limits.memory_bytes if limit == "memory" else memory,
            "processes_peak": self._number("processes_peak"),
            "pids_limit_hit": bool(self._report.get("pids_limit_hit")),
            "child_oom": self._number("oom_kills") > 0 and limit != "memory",
            "disk_full": bool(self._report.get("disk_full")),
            "output_bytes": self._cut.total_bytes,
            "compile_ms": compiled.wall_ms if compiled else 0,
            "compile_cached": compiled is not None and compiled.from_cache,
            "held_by": str(self._report.get("held_by", "")),
            "start": "cold" if self._is_cold else str(self._report.get("start", "")),
        }

    def compile_outcome(self) -> Outcome:
        """The run ends with its compile step: cancelled, or compile_error whatever stopped the compiler."""
        self._raise_unless_started("")
        status = Status.CANCELLED if self.ended_by == "cancel" or self._control.is_cancelled else Status.COMPILE_ERROR
        problem = self.problem()
        message = limit_message(self._limit, self._step.limits, "The compiler") or (
            problem if problem.endswith(".") else ""
        )
        return Outcome(
            status=status,
            exit_code=self._exit_code,
            signal=self._signal_name if status is not Status.CANCELLED else None,
            stats=self._stats(None),
            compile_output=bytes(self._compile_output),
            truncated=self._cut.truncated,
            message="" if status is Status.CANCELLED else message,
        )

    def run_outcome(self, compiled: Compiled | None) -> Outcome:
        self._raise_unless_started(ARTIFACT_FOLDER)
        limit = self._limit
        if self.ended_by == "cancel":
            status = Status.CANCELLED
        elif limit is not None:
            status = _STATUS_OF_LIMIT[limit]
        else:
            status = Status.COMPLETED if self._exit_code == 0 else Status.FAILED
        message = limit_message(limit, self._step.limits, "The program")
        if self._exec_error is not None:
            message = "The compiled program could not be started."
        return Outcome(
            status=status,
            exit_code=self._exit_code,
            signal=self._signal_name,
            stats=self._stats(compiled),
            compile_output=compiled.output if compiled else b"",
            truncated=self._cut.truncated or (compiled is not None and compiled.truncated),
            message="" if status is Status.CANCELLED else message,
        )

    def _raise_unless_started(self, own_folder: str) -> None:
        """A tool that cannot be started is the host's fault; a program the user compiled is the user's."""
        error = self._exec_error
        if error is None:
            return
        tool = self._step.argv[0]
        if error.get("code") == "exec" and own_folder and tool.startswith(f"{own_folder}/"):
            return
        if error.get("code") == "exec":
            raise SandboxFault("tool_missing", f"Install {tool}, or run `make images`.", str(error.get("detail")))
        raise SandboxFault("agent_refused", "Run `make doctor`.", str(error))


_EMPTY_STATS: dict[str, Any] = {
    "step": "run",
    "limit": None,
    "wall_ms": 0,
    "cpu_ms": 0,
    "memory_bytes": 0,
    "processes_peak": 0,
    "pids_limit_hit": False,
    "child_oom": False,
    "disk_full": False,
    "output_bytes": 0,
    "compile_ms": 0,
    "compile_cached": False,
    "held_by": "",
    "start": "",
}
_STATUS_OF_LIMIT = {
    "cpu": Status.TIMED_OUT,
    "wall": Status.TIMED_OUT,
    "idle": Status.TIMED_OUT,
    "memory": Status.OUT_OF_MEMORY,
    "output": Status.OUTPUT_LIMIT,
}


def limit_message(limit: str | None, limits: Limits, subject: str) -> str:
    """The sentence a person reads when a limit ended the run."""
    match limit:
        case "cpu":
            return f"{subject} was stopped after {limits.cpu_ms / 1000:g} s of processor time."
        case "wall":
            return f"{subject} was stopped after {limits.wall_ms / 1000:g} s."
        case "idle":
            return f"{subject} was stopped after {(limits.idle_ms or 0) / 1000:g} s without input or output."
        case "memory":
            return f"{subject} was stopped: it needed more than {limits.memory_bytes // (1024 * 1024)} MB of memory."
        case "output":
            return f"{subject} was stopped: it printed more than {limits.output_bytes // 1024} KiB."
    return ""
