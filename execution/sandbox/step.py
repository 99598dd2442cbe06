"""Runs one step in one sandbox: sends it, hears the agent, and decides alone when it is over.

It holds wall clock, idle time, the processor time of the whole tree, output and cancel. It never opens a path that a
program could have touched; everything crosses as bytes.
"""

import contextlib
import itertools
import os
import select
import signal
import time
from collections import deque
from collections.abc import Sequence

from execution.sandbox import protocol
from execution.sandbox.backends import Handle, Usage
from execution.sandbox.context import RunContext, StepRequest
from execution.sandbox.errors import SandboxFault
from execution.sandbox.link import AHEAD_BYTES, AgentLink, ArtifactCollector, SharedSandbox, frames_of, in_frames
from execution.sandbox.output import StreamName
from execution.sandbox.protocol import Kind
from execution.sandbox.report import StepReport

Requests = Sequence[StepRequest] | deque[StepRequest]
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
MEMORY_NEAR_LIMIT = 0.95


def run_step(
    context: RunContext, request: StepRequest, shared: SharedSandbox | None = None, following: Requests = ()
) -> StepReport:
    """Run a step to its end; one whose sandbox was gone, or was not clean, before it began is begun again."""
    while True:
        run = _StepRun(context, request, shared)
        run.run(following)
        if not run.report.never_began:
            return run.report


class _StepRun:
    """One step in one sandbox, from its start to its end."""

    def __init__(self, context: RunContext, request: StepRequest, shared: SharedSandbox | None) -> None:
        self.report = StepReport(request, context.control, is_shared=shared is not None)
        self._context = context
        self._request = request
        self._limits = request.step.limits
        self._shared = shared
        self._link: AgentLink
        self._is_interactive = context.job.interactive and not request.is_compile
        self._input_ended = not self._is_interactive
        self._records = protocol.RecordReader(ArtifactCollector(self.report.artifact), protocol.MAX_ARTIFACT_BYTES)
        self._is_long = False
        self._begun = time.monotonic()
        self._last_activity = self._begun
        self._stop_at: float | None = None
        self._next_look = 0.0
        self._silent_looks = 0
        # What was used, from outside and by the agent's report, when the run turned out to be long.
        self._first_usage: Usage | None = None
        self._first_cpu_ms = 0

    def run(self, following: Requests) -> None:
        """Return when the step is over. `following`: what will be asked of the same sandbox next, if this ends well."""
        report = self.report
        if self._context.control.is_cancelled:
            report.ended_by = "cancel"
            return
        shared = self._shared or SharedSandbox(self._context.backend)
        link, report.is_reused = shared.take(self._limits, self._context)
        self._link = link
        report.is_cold = not link.handle.parked
        is_clean = False
        try:
            if link.ahead:
                _size, end = link.ahead.popleft()
            else:
                end = link.add(*self._frames_of(self._request, is_reused=report.is_reused))
            link.flush()
            if link.sent_bytes >= end:
                self._send_ahead(link, following)
            self._loop(link)
            is_clean = report.result is not None and report.ended_by is None and link.sent_bytes >= end
        except protocol.ProtocolError as error:
            raise SandboxFault(
                "broken_frames", "Run `make images`, so that agent and server match.", str(error)
            ) from error
        finally:
            if self._shared is not None and self._request.keep and is_clean:
                self._shared.give_back(link)
            elif is_clean and not self._request.is_compile:
                self._context.used.append(link.handle)
            else:
                link.handle.close()
            for stream, data in report.cut.release():
                self._pass_on(stream, data)

    def _send_ahead(self, link: AgentLink, following: Requests) -> None:
        """Give the agent the next requests now, so that it need not wait for them, as far as they are small.

        A program cannot see them: they stay in the agent's memory until its processes are killed and its files gone.
        """
        waiting = sum(size for size, _end in link.ahead)
        for request in itertools.islice(following, len(link.ahead), None):
            if self._shared is None or request.alone or not self._shared.fits(request.step.limits, self._context):
                break
            frames = self._frames_of(request, is_reused=True)
            size = sum(map(len, frames))
            waiting += size
            if waiting > AHEAD_BYTES:
                break
            link.ahead.append((size, link.add(*frames)))
        link.flush()

    def _frames_of(self, request: StepRequest, *, is_reused: bool) -> list[bytes]:
        return frames_of(request, interactive=self._is_interactive, is_reused=is_reused)

    def _loop(self, link: AgentLink) -> None:
        handle = link.handle
        poll = select.poll()
        poll.register(self._context.wake, select.POLLIN)
        while True:
            self._listen(link)
            if self.report.is_over:
                break
            self._check_clocks()
            if self._stop_at is not None and time.monotonic() >= self._stop_at:
                handle.kill()
                break
            if not self._is_long and time.monotonic() - self._begun >= LONG_SECONDS:
                self._is_long = True
                handle.takes_long()
                self._first_usage, self._first_cpu_ms = handle.usage(), self.report.number("cpu_ms")
            self._hold_limits_from_outside(handle)
            self._context.delivery.hurry()
            self._register(poll, link)
            events = dict(poll.poll(self._timeout_ms()))
            if self._context.wake in events:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._context.wake, 8)
            self._hear_control(link)
            if events.get(handle.write_fileno(), 0) & select.POLLOUT:
                link.flush()
            if events.get(handle.read_fileno(), 0) & ~select.POLLOUT and not link.receive():
                self._agent_is_gone(handle)
                return
        self.report.ended = time.monotonic()

    @staticmethod
    def _register(poll: select.poll, link: AgentLink) -> None:
        reader, writer = link.handle.read_fileno(), link.handle.write_fileno()
        wanted = select.POLLOUT if link.is_full else 0
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
        limits = self._limits
        if self._stop_at is not None:
            deadline = self._stop_at
        elif self.report.started is None:
            deadline = self._begun + START_SECONDS
        else:
            deadline = self.report.started + limits.wall_ms / 1000
            if limits.idle_ms is not None:
                deadline = min(deadline, self._last_activity + limits.idle_ms / 1000)
            if self.report.cut.has_waiting:
                deadline = min(deadline, self._last_activity + QUIET_SECONDS)
            if self._is_long:
                deadline = min(deadline, self._next_look)
        if not self._is_long:
            deadline = min(deadline, self._begun + LONG_SECONDS)
        return max(deadline - now, 0) * 1000 + 1

    def _check_clocks(self) -> None:
        now = time.monotonic()
        limits = self._limits
        if self._stop_at is not None:
            return
        if self.report.started is None:
            if now - self._begun > START_SECONDS:
                raise SandboxFault(
                    "sandbox_slow", "Look at the host's load, then `make doctor`.", f"no agent after {START_SECONDS} s"
                )
            return
        if now - self.report.started >= limits.wall_ms / 1000:
            self._stop("wall")
        elif limits.idle_ms is not None and now - self._last_activity >= limits.idle_ms / 1000:
            self._stop("idle")
        elif self.report.cut.has_waiting and now - self._last_activity >= QUIET_SECONDS:
            for stream, data in self.report.cut.release():
                self._pass_on(stream, data)

    def _hold_limits_from_outside(self, handle: Handle) -> None:
        """Hold the limits from outside while the agent says nothing, whatever keeps it from speaking."""
        now = time.monotonic()
        if not self._is_long or self.report.started is None or self._stop_at is not None or now < self._next_look:
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
        self.report.numbers["cpu_ms"] = max(self.report.number("cpu_ms"), cpu_ms)
        self.report.numbers["memory_bytes"] = max(self.report.number("memory_bytes"), used.memory_bytes)
        self._tell_usage()
        if self.report.number("cpu_ms") > self._limits.cpu_ms:
            self._stop("cpu")
        elif used.memory_bytes > self._limits.memory_bytes:
            self._stop("memory")

    def _stop(self, reason: str) -> None:
        """End the run: the agent is asked, so that it can still say what was used; after a moment it is killed."""
        if self.report.ended_by is None and self.report.result is None:
            self.report.ended_by = reason
            self._link.add(protocol.frame(Kind.SIGNAL, bytes([signal.SIGKILL])))
            self._stop_at = time.monotonic() + GRACE_SECONDS

    # To the agent

    def _hear_control(self, link: AgentLink) -> None:
        if self._context.control.is_cancelled:
            self._stop("cancel")
        if self._input_ended:
            return
        data, closed = self._context.control.take_input()
        if data:
            self._last_activity = time.monotonic()
            link.add(*in_frames(Kind.STDIN, data))
        if closed:
            self._input_ended = True
            link.add(protocol.frame(Kind.EOF))

    # From the agent

    def _listen(self, link: AgentLink) -> None:
        """Up to the end of this step; what follows is about the next."""
        while link.heard and not self.report.is_over:
            self._on_frame(*link.heard.popleft())

    def _on_frame(self, kind: Kind, payload: bytes) -> None:
        if kind is Kind.READY:
            if payload != bytes([protocol.VERSION]):
                raise protocol.ProtocolError(f"agent of version {payload.hex()}")
        elif kind is Kind.STARTED:
            self.report.started = self._last_activity = time.monotonic()
            self._tell_usage()
            if self._request.is_compile or self._context.job.compile is None:
                self._context.delivery.started()
        elif kind in (Kind.STDOUT, Kind.STDERR):
            self._on_output("stdout" if kind is Kind.STDOUT else "stderr", payload)
        elif kind is Kind.STATS:
            self.report.numbers = protocol.parse_json(payload)
            self._silent_looks = 0
            self._tell_usage()
            if self.report.number("cpu_ms") > self._limits.cpu_ms:
                self._stop("cpu")
        elif kind is Kind.ARTIFACT:
            self._silent_looks = 0
            self._records.feed(payload)
        elif kind is Kind.RESULT:
            self._records.finish()
            self.report.result = self.report.numbers = protocol.parse_json(payload)
        elif kind is Kind.ERROR:
            self.report.exec_error = protocol.parse_json(payload)
        else:
            raise protocol.ProtocolError(f"{kind.name} from the agent")

    def _tell_usage(self) -> None:
        if not self._request.is_compile:
            self._context.control.cpu_ms = self.report.number("cpu_ms")

    def _on_output(self, stream: StreamName, data: bytes) -> None:
        self._last_activity = time.monotonic()
        if self._request.is_compile:
            stream = "compile"
        self._pass_on(stream, self.report.cut.add(stream, data))
        if self.report.cut.is_over:
            self._stop("output")

    def _pass_on(self, stream: StreamName, data: bytes) -> None:
        if self._request.is_compile:
            self.report.compile_output += data
        self._context.delivery.output(stream, data)

    def _agent_is_gone(self, handle: Handle) -> None:
        """The agent ended without a result: memory ran out, the run was being stopped, or the host is at fault."""
        self.report.ended = time.monotonic()
        handle.kill()
        out_of_memory, last_words = handle.death()
        near_limit = self.report.number("memory_bytes") >= MEMORY_NEAR_LIMIT * self._limits.memory_bytes
        if out_of_memory or (out_of_memory is None and self.report.started is not None and near_limit):
            self.report.died_of_memory = True
        elif self.report.ended_by is None and not self.report.never_began:
            raise SandboxFault("sandbox_died", "Run `make doctor`.", last_words or "the agent ended without a result")
