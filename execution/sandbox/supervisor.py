"""Runs one job in sandboxes of any backend and says how it ended. Called by the runner, from any thread.

It alone decides when a run is over: wall clock, idle time, the cpu time of the whole tree, output and cancel.
It never opens a path that a program could have touched; everything crosses as bytes.
"""

import contextlib
import itertools
import os
import select
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from execution.sandbox import protocol
from execution.sandbox.backends import Backend, Handle, Usage
from execution.sandbox.cache import CompileCache, Compiled, Files, PersonalCache, key_of
from execution.sandbox.control import Control
from execution.sandbox.errors import SandboxFault
from execution.sandbox.job import Case, CaseResult, Job, Outcome, Stats, Status, Step
from execution.sandbox.limits import Limits
from execution.sandbox.output import Delivery, Listener, OutputCut, StreamName
from execution.sandbox.protocol import Kind
from languages import ARTIFACT_FOLDER

START_SECONDS = 30.0
GRACE_SECONDS = 0.25
QUIET_SECONDS = 0.2
LONG_SECONDS = 0.25
# The agent reports ten times a second. Looks without a report are counted rather than seconds, because a machine that
# stood still makes none. After SILENT_LOOKS the sandbox is counted from outside; where that is impossible it is ended
# after BLIND_LOOKS, a time in which even a group that used up its share of the processor gets a new one.
LOOK_SECONDS = 0.1
SILENT_LOOKS = 5
BLIND_LOOKS = 50
# How much of the test cases that follow may wait in the agent while one runs.
AHEAD_BYTES = 128 * 1024
# The cases of a submission that take longer together get another sandbox; no longer than a parked one may be used.
SEAT_SECONDS = 3_600.0
MEMORY_NEAR_LIMIT = 0.95


def execute(
    job: Job,
    backend: Backend,
    listener: Listener,
    control: Control,
    label: str = "",
    cache: CompileCache | PersonalCache | None = None,
) -> Outcome:
    """Compile where the language wants it, run, and return the Outcome once the listener has everything.

    `label` names the job to the backend. Raises SandboxFault for a fault of the host, and whatever the listener raises.
    """
    with _desk(job, backend, listener, control, label) as desk:
        compiled = _compile(desk, cache)
        if isinstance(compiled, Outcome):
            return compiled
        return _watched(desk, _Order(job.run, _files(job, compiled), job.stdin or b"")).run_outcome(compiled)


def execute_cases(
    job: Job,
    cases: Sequence[Case],
    backend: Backend,
    listener: Listener,
    control: Control,
    label: str = "",
    *,
    after_case: Callable[[int, CaseResult], bool] | None = None,
    cache: CompileCache | PersonalCache | None = None,
) -> Outcome:
    """Compile once, then run every case in a sandbox reset after the last one, or a new one on any trouble or if asked.

    The listener hears the compiler; what a case prints is in its result. `after_case` is called with each result as it
    comes, and ends the submission by returning False; what was printed is then its to keep, and not in the outcome.
    The outcome has the state, exit code and message of the first case that did not complete, and the stats of all
    together. Raises as `execute` does.
    """
    with _desk(job, backend, listener, control, label) as desk:
        compiled = _compile(desk, cache)
        if isinstance(compiled, Outcome):
            return compiled
        if compiled is None:
            desk.delivery.started()
        files = _files(job, compiled)
        orders = deque(_case_order(job, case, files) for case in cases)
        if orders:
            orders.append(replace(orders.pop(), keep=False))
        results: list[CaseResult] = []
        seat = _Seat(backend, SEAT_SECONDS)
        try:
            while orders:
                result = _run_case(desk, orders.popleft(), orders, compiled, seat)
                goes_on = True
                if after_case is not None:
                    goes_on = after_case(len(results), result)
                    result = replace(result, stdout=b"", stderr=b"")
                results.append(result)
                if not goes_on or control.is_cancelled:
                    break
        finally:
            seat.close()
        return sum_of_cases(results, compiled)


@contextlib.contextmanager
def _desk(job: Job, backend: Backend, listener: Listener, control: Control, label: str) -> Iterator["_Desk"]:
    """What every job needs around it: the way to its listener, and a descriptor that `control` wakes."""
    # Nobody would hear the rest of a run whose listener failed.
    delivery = Delivery(listener, on_failure=control.cancel)
    wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    control.attach(wake)
    desk = _Desk(job, backend, delivery, control, wake, label)
    try:
        yield desk
    finally:
        control.attach(-1)
        os.close(wake)
        try:
            # A listener that failed is reported even when the run failed too: its error is the first one.
            delivery.finish()
        finally:
            for handle in desk.used:
                handle.close()


@dataclass(frozen=True)
class _Order:
    """One step as it is asked of a sandbox. `keep`: more may follow in the same one. `alone`: nothing was before."""

    step: Step
    files: Files
    stdin: bytes = b""
    is_compile: bool = False
    keep: bool = False
    alone: bool = False


@dataclass(frozen=True)
class _Desk:
    """`used`: sandboxes that have served, to be closed when everything that they said was passed on."""

    job: Job
    backend: Backend
    delivery: "Delivery | _Captured"
    control: Control
    wake: int
    label: str
    used: list[Handle] = field(default_factory=list)


def _compile(desk: _Desk, cache: CompileCache | PersonalCache | None) -> Compiled | Outcome | None:
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
    watch = _watched(desk, _Order(step, files, is_compile=True))
    if desk.control.is_cancelled or watch.result is None or watch.ended_by or watch.problem():
        return watch.compile_outcome()
    compiled = watch.compiled()
    if cache is not None:
        cache.put(key, compiled)
    return compiled


def _watched(
    desk: _Desk, order: _Order, seat: "_Seat | None" = None, following: Sequence[_Order] | deque[_Order] = ()
) -> "_Watch":
    """A step that has ended; one whose sandbox was gone, or was not clean, before it began is begun again."""
    while True:
        watch = _Watch(desk, order, seat)
        watch.go(following)
        if not watch.never_began:
            return watch


def _files(job: Job, compiled: Compiled | None) -> Files:
    files = {path: (0o644, content) for path, content in job.files.items()}
    return files if compiled is None else files | dict(compiled.artifact)


class _Seat:
    """The sandbox that one submission's cases share as long as nothing goes wrong, and for `seconds` at most."""

    def __init__(self, backend: Backend, seconds: float = 0.0) -> None:
        self._backend = backend
        self._seconds = seconds
        self._until = 0.0
        self._line: _Line | None = None
        self._shape: object = None

    def take(self, limits: Limits, desk: _Desk) -> tuple["_Line", bool]:
        """A sandbox, and whether a case was in it already."""
        shape = self._backend.shape(limits, desk.job.language)
        line, self._line = self._line, None
        if line is not None and shape == self._shape and time.monotonic() + limits.wall_ms / 1000 < self._until:
            return line, True
        if line is not None:
            line.handle.close()
        self._shape = shape
        self._until = time.monotonic() + self._seconds
        # A backend may take away what outlives its wall clock, and this one is the clock of all cases together.
        lasting = replace(limits, wall_ms=max(limits.wall_ms, round(self._seconds * 1000)))
        return _Line(self._backend.open(lasting, desk.label, desk.job.language)), False

    def fits(self, limits: Limits, desk: _Desk) -> bool:
        """Whether a case with these limits would be given the sandbox that was taken last."""
        return self._backend.shape(limits, desk.job.language) == self._shape

    def give_back(self, line: "_Line") -> None:
        self._line = line

    def close(self) -> None:
        if self._line is not None:
            self._line.handle.close()
            self._line = None


class _Captured:
    """Stands where the listener's Delivery stands, for a case."""

    def __init__(self) -> None:
        self.streams: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray(), "compile": bytearray()}

    def hurry(self) -> None:
        """Nobody listens."""

    def started(self) -> None:
        """Whoever waits for cases hears their results."""

    def output(self, stream: StreamName, data: bytes) -> None:
        self.streams[stream] += data


def _case_order(job: Job, case: Case, files: Files) -> _Order:
    step = replace(job.run, argv=(*job.run.argv, *case.args), limits=case.limits or job.run.limits)
    return _Order(step, files, case.stdin, keep=not case.alone, alone=case.alone)


def _run_case(
    desk: _Desk, order: _Order, following: deque[_Order], compiled: Compiled | None, seat: _Seat
) -> CaseResult:
    captured = _Captured()
    desk = replace(desk, delivery=captured)
    outcome = _watched(desk, order, None if order.alone else seat, following).run_outcome(compiled)
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


def sum_of_cases(results: Sequence[CaseResult], compiled: Compiled | None = None) -> Outcome:
    """The outcome of a submission that had these cases."""
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


class _Line:
    """A sandbox, what is on its way to its agent, and what the agent said that nobody has looked at."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.heard: deque[tuple[Kind, bytes]] = deque()
        # Sizes and ends (see `add`) of the orders that the agent has, or will have, behind the one that it works on.
        self.ahead: deque[tuple[int, int]] = deque()
        self.sent_bytes = 0
        self._added_bytes = 0
        self._frames = protocol.FrameReader()
        self._pieces: deque[memoryview] = deque()

    def add(self, *pieces: bytes) -> int:
        """What `sent_bytes` will be, at least, when all of this is sent."""
        self._added_bytes += sum(map(len, pieces))
        self._pieces.extend(map(memoryview, pieces))
        return self._added_bytes

    @property
    def is_full(self) -> bool:
        return bool(self._pieces)

    def flush(self) -> None:
        """Send what can be sent now. An agent that has gone is noticed by the next read, with what it last said."""
        if len(self._pieces) > 1 and sum(map(len, self._pieces)) <= AHEAD_BYTES:
            # A small job goes out in one write.
            joined = memoryview(b"".join(self._pieces))
            self._pieces.clear()
            self._pieces.append(joined)
        with contextlib.suppress(OSError):
            while self._pieces:
                sent = self.handle.send(self._pieces[0])
                self.sent_bytes += sent
                if sent < len(self._pieces[0]):
                    self._pieces[0] = self._pieces[0][sent:]
                    return
                self._pieces.popleft()

    def receive(self) -> bool:
        """Hear what there is; False when the agent is gone."""
        data = self.handle.receive()
        if data is None:
            return False
        self.heard.extend(self._frames.feed(data))
        return True


def _frames_of(order: _Order, *, interactive: bool, is_reused: bool) -> list[bytes]:
    limits = order.step.limits
    frames = [
        protocol.json_frame(
            Kind.JOB,
            {
                "argv": list(order.step.argv),
                "environment": dict(order.step.environment),
                "interactive": interactive,
                "artifact": ARTIFACT_FOLDER if order.is_compile else None,
                "memory_bytes": limits.memory_bytes,
                "processes": limits.processes,
                "cpu_ms": limits.cpu_ms,
                "disk_bytes": limits.disk_bytes,
                "reset": is_reused,
                "keep": order.keep,
            },
        )
    ]
    for path, (mode, content) in order.files.items():
        frames.append(protocol.frame(Kind.FILES, protocol.record_header(path, mode, len(content))))
        frames += _in_frames(Kind.FILES, content)
    frames.append(protocol.frame(Kind.START))
    frames += _in_frames(Kind.STDIN, order.stdin)
    if not interactive:
        frames.append(protocol.frame(Kind.EOF))
    return frames


def _in_frames(kind: Kind, data: bytes) -> list[bytes]:
    size = protocol.CHUNK_BYTES
    return [protocol.frame(kind, data[start : start + size]) for start in range(0, len(data), size)]


class _Watch:
    """One step in one sandbox, from its start to its end."""

    def __init__(self, desk: _Desk, order: _Order, seat: _Seat | None) -> None:
        self._desk = desk
        self._job = desk.job
        self._order = order
        self._step = order.step
        self._delivery = desk.delivery
        self._control = desk.control
        self._wake = desk.wake
        self._is_compile = order.is_compile
        self._interactive = desk.job.interactive and not order.is_compile
        self._seat = seat
        self._is_long = False
        self._is_reused = False
        self._cut = OutputCut(order.step.limits.output_bytes)
        self._compile_output = bytearray()
        self._collector = _Collector()
        self._records = protocol.RecordReader(self._collector, protocol.MAX_ARTIFACT_BYTES)
        self._input_ended = not self._interactive
        self._begun = time.monotonic()
        self._started: float | None = None
        self._ended: float | None = None
        self._last_activity = self._begun
        self._stop_at: float | None = None
        self._next_look = 0.0
        self._silent_looks = 0
        # What was used, from outside and by the agent's report, when the run turned out to be long.
        self._first_usage: Usage | None = None
        self._first_cpu_ms = 0
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

    def go(self, following: Sequence[_Order] | deque[_Order]) -> None:
        """`following`: what will be asked of the same sandbox next, if this ends well."""
        if self._control.is_cancelled:
            self.ended_by = "cancel"
            return
        line, self._is_reused = (self._seat or _Seat(self._desk.backend)).take(self._step.limits, self._desk)
        self._line = line
        self._is_cold = not line.handle.parked
        is_clean = False
        try:
            if line.ahead:
                _size, end = line.ahead.popleft()
            else:
                end = line.add(*self._frames_of(self._order, is_reused=self._is_reused))
            line.flush()
            if line.sent_bytes >= end:
                self._send_ahead(line, following)
            self._loop(line)
            is_clean = self.result is not None and self.ended_by is None and line.sent_bytes >= end
        except protocol.ProtocolError as error:
            raise SandboxFault(
                "broken_frames", "Run `make images`, so that agent and server match.", str(error)
            ) from error
        finally:
            if self._seat is not None and self._order.keep and is_clean:
                self._seat.give_back(line)
            elif is_clean and not self._is_compile:
                self._desk.used.append(line.handle)
            else:
                line.handle.close()
            for stream, data in self._cut.release():
                self._pass_on(stream, data)

    def _send_ahead(self, line: _Line, following: Sequence[_Order] | deque[_Order]) -> None:
        """Give the agent the next orders now, so that it need not wait for them, as far as they are small.

        A program cannot see them: they stay in the agent's memory until its processes are killed and its files gone.
        """
        waiting = sum(size for size, _end in line.ahead)
        for order in itertools.islice(following, len(line.ahead), None):
            if self._seat is None or order.alone or not self._seat.fits(order.step.limits, self._desk):
                break
            frames = self._frames_of(order, is_reused=True)
            size = sum(map(len, frames))
            waiting += size
            if waiting > AHEAD_BYTES:
                break
            line.ahead.append((size, line.add(*frames)))
        line.flush()

    def _frames_of(self, order: _Order, *, is_reused: bool) -> list[bytes]:
        return _frames_of(order, interactive=self._interactive, is_reused=is_reused)

    def _loop(self, line: _Line) -> None:
        handle = line.handle
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        while True:
            self._listen(line)
            if self._is_over:
                break
            self._check_clocks()
            if self._stop_at is not None and time.monotonic() >= self._stop_at:
                handle.kill()
                break
            if not self._is_long and time.monotonic() - self._begun >= LONG_SECONDS:
                self._is_long = True
                handle.takes_long()
                self._first_usage, self._first_cpu_ms = handle.usage(), self._number("cpu_ms")
            self._look(handle)
            self._delivery.hurry()
            self._register(poll, line)
            events = dict(poll.poll(self._timeout_ms()))
            if self._wake in events:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake, 8)
            self._hear_control(line)
            if events.get(handle.write_fileno(), 0) & select.POLLOUT:
                line.flush()
            if events.get(handle.read_fileno(), 0) & ~select.POLLOUT and not line.receive():
                self._agent_is_gone(handle)
                return
        self._ended = time.monotonic()

    @property
    def _is_over(self) -> bool:
        return self.result is not None or self._exec_error is not None

    @staticmethod
    def _register(poll: select.poll, line: _Line) -> None:
        reader, writer = line.handle.read_fileno(), line.handle.write_fileno()
        wanted = select.POLLOUT if line.is_full else 0
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
            if self._is_long:
                deadline = min(deadline, self._next_look)
        if not self._is_long:
            deadline = min(deadline, self._begun + LONG_SECONDS)
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

    def _look(self, handle: Handle) -> None:
        """Hold the limits from outside while the agent says nothing, whatever keeps it from speaking."""
        now = time.monotonic()
        if not self._is_long or self._started is None or self._stop_at is not None or now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        self._silent_looks += 1
        if self._silent_looks < SILENT_LOOKS:
            return
        used = handle.usage()
        if used is None or self._first_usage is None:
            if self._silent_looks >= BLIND_LOOKS:
                self._stop("silence")
            return
        cpu_ms = self._first_cpu_ms + used.cpu_ms - self._first_usage.cpu_ms
        self._report["cpu_ms"] = max(self._number("cpu_ms"), cpu_ms)
        self._report["memory_bytes"] = max(self._number("memory_bytes"), used.memory_bytes)
        self._tell_usage()
        if self._number("cpu_ms") > self._step.limits.cpu_ms:
            self._stop("cpu")
        elif used.memory_bytes > self._step.limits.memory_bytes:
            self._stop("memory")

    def _stop(self, reason: str) -> None:
        """End the run: the agent is asked, so that it can still say what was used; after a moment it is killed."""
        if self.ended_by is None and self.result is None:
            self.ended_by = reason
            self._line.add(protocol.frame(Kind.SIGNAL, bytes([signal.SIGKILL])))
            self._stop_at = time.monotonic() + GRACE_SECONDS

    # To the agent

    def _hear_control(self, line: _Line) -> None:
        if self._control.is_cancelled:
            self._stop("cancel")
        if self._input_ended:
            return
        data, closed = self._control.take_input()
        if data:
            self._last_activity = time.monotonic()
            line.add(*_in_frames(Kind.STDIN, data))
        if closed:
            self._input_ended = True
            line.add(protocol.frame(Kind.EOF))

    # From the agent

    def _listen(self, line: _Line) -> None:
        """Up to the end of this step; what follows is about the next."""
        while line.heard and not self._is_over:
            self._on_frame(*line.heard.popleft())

    def _on_frame(self, kind: Kind, payload: bytes) -> None:
        if kind is Kind.READY:
            if payload != bytes([protocol.VERSION]):
                raise protocol.ProtocolError(f"agent of version {payload.hex()}")
        elif kind is Kind.STARTED:
            self._started = self._last_activity = time.monotonic()
            self._tell_usage()
            if self._is_compile or self._job.compile is None:
                self._delivery.started()
        elif kind in (Kind.STDOUT, Kind.STDERR):
            self._on_output("stdout" if kind is Kind.STDOUT else "stderr", payload)
        elif kind is Kind.STATS:
            self._report = protocol.parse_json(payload)
            self._silent_looks = 0
            self._tell_usage()
            if self._number("cpu_ms") > self._step.limits.cpu_ms:
                self._stop("cpu")
        elif kind is Kind.ARTIFACT:
            self._silent_looks = 0
            self._records.feed(payload)
        elif kind is Kind.RESULT:
            self._records.finish()
            self.result = self._report = protocol.parse_json(payload)
        elif kind is Kind.ERROR:
            self._exec_error = protocol.parse_json(payload)
        else:
            raise protocol.ProtocolError(f"{kind.name} from the agent")

    def _tell_usage(self) -> None:
        if not self._is_compile:
            self._control.cpu_ms = self._number("cpu_ms")

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
        if out_of_memory or (out_of_memory is None and self._started is not None and near_limit):
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
        if self.ended_by in ("cpu", "wall", "idle", "memory", "output"):
            return self.ended_by
        if self._out_of_memory:
            return "memory"
        if self._cut.is_over:
            return "output"
        if self._number("cpu_ms") > self._step.limits.cpu_ms:
            return "cpu"
        # A test case that was sent ahead may have run while nobody looked at the clock here.
        if self._number("wall_ms") > self._step.limits.wall_ms:
            return "wall"
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
        # What a short program says arrives in one piece, its start and its end together.
        return max(round((self._ended - self._started) * 1000), self._number("wall_ms"))

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
        if self.ended_by == "silence":
            message = "The program was stopped because the sandbox could no longer measure it."
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
