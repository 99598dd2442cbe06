"""What is known of one step, by the supervisor's clocks and the agent's word, and how the step ended by that."""

import signal
from typing import Any

from execution.sandbox.cache import Compiled
from execution.sandbox.context import StepRequest
from execution.sandbox.control import Control
from execution.sandbox.errors import SandboxFault
from execution.sandbox.job import Outcome, Stats, Status
from execution.sandbox.limits import Limits
from execution.sandbox.output import OutputCut
from languages import ARTIFACT_FOLDER

STATUS_OF_LIMIT = {
    "cpu": Status.TIMED_OUT,
    "wall": Status.TIMED_OUT,
    "idle": Status.TIMED_OUT,
    "memory": Status.OUT_OF_MEMORY,
    "output": Status.OUTPUT_LIMIT,
}


class StepReport:
    """Filled in by step.py while the step runs.

    `numbers` is the agent's newest report, `result` its last one, `exec_error` why the program could not be started,
    and `ended_by` what the supervisor ended the step for.
    """

    def __init__(self, request: StepRequest, control: Control, *, is_shared: bool) -> None:
        self.request = request
        self.limits = request.step.limits
        self.cut = OutputCut(self.limits.output_bytes)
        self.compile_output = bytearray()
        self.artifact: dict[str, tuple[int, bytes]] = {}
        self.numbers: dict[str, Any] = {}
        self.result: dict[str, Any] | None = None
        self.exec_error: dict[str, Any] | None = None
        self.ended_by: str | None = None
        self.started: float | None = None
        self.ended: float | None = None
        self.died_of_memory = False
        self.is_cold = True
        self.is_reused = False
        self._control = control
        self._is_shared = is_shared

    @property
    def is_over(self) -> bool:
        return self.result is not None or self.exec_error is not None

    @property
    def never_began(self) -> bool:
        """The sandbox was not made for this step, and could not be made clean, or was gone: another one will do."""
        if self.started is not None or self.ended_by is not None:
            return False
        is_refused = self.exec_error is not None and self.exec_error.get("code") != "reset"
        return (self.is_reused or not self.is_cold) and not is_refused

    def number(self, name: str) -> int:
        value = self.numbers.get(name, 0)
        return value if isinstance(value, int) else 0

    @property
    def _out_of_memory(self) -> bool:
        return self.died_of_memory or (self.number("oom_kills") > 0 and self._exit_code != 0)

    @property
    def _exit_code(self) -> int | None:
        return self.result.get("exit_code") if self.result else None

    @property
    def _signal_name(self) -> str | None:
        if self.started is None:
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
        if self.cut.is_over:
            return "output"
        if self.number("cpu_ms") > self.limits.cpu_ms:
            return "cpu"
        # A test case that was sent ahead may have run while nobody looked at the clock here.
        if self.number("wall_ms") > self.limits.wall_ms:
            return "wall"
        return None

    def problem(self) -> str:
        """For a finished compiler: why there is no program to run, or "" when there is one."""
        if self.exec_error is not None or self.result is None or self._limit is not None or self._exit_code != 0:
            return "the compiler failed"
        if self.result.get("refused"):
            return f"What the compiler left cannot be run: {self.result['refused']}."
        if not self.artifact:
            return "The compiler left no program."
        return ""

    def compiled(self) -> Compiled:
        """What came of a compiler without a problem."""
        return Compiled(self.artifact, bytes(self.compile_output), self.cut.truncated, self._wall_ms)

    @property
    def _wall_ms(self) -> int:
        if self.started is None or self.ended is None:
            return 0
        # What a short program says arrives in one piece, its start and its end together.
        return max(round((self.ended - self.started) * 1000), self.number("wall_ms"))

    def _stats(self, compiled: Compiled | None) -> Stats:
        # The counter of a sandbox that is used again belongs to the whole submission.
        memory = self.number("tree_bytes" if self._is_shared else "memory_bytes")
        limit = self._limit
        return {
            "step": "compile" if self.request.is_compile else "run",
            "limit": limit,
            "wall_ms": self._wall_ms,
            "cpu_ms": self.number("cpu_ms"),
            "memory_bytes": self.limits.memory_bytes if limit == "memory" else memory,
            "processes_peak": self.number("processes_peak"),
            "pids_limit_hit": bool(self.numbers.get("pids_limit_hit")),
            "child_oom": self.number("oom_kills") > 0 and limit != "memory",
            "disk_full": bool(self.numbers.get("disk_full")),
            "output_bytes": self.cut.total_bytes,
            "compile_ms": compiled.wall_ms if compiled else 0,
            "compile_cached": compiled is not None and compiled.from_cache,
            "held_by": str(self.numbers.get("held_by", "")),
            "start": "cold" if self.is_cold else str(self.numbers.get("start", "")),
        }

    def compile_outcome(self) -> Outcome:
        """The run ends with its compile step: cancelled, or compile_error whatever stopped the compiler."""
        self._raise_unless_started("")
        status = Status.CANCELLED if self.ended_by == "cancel" or self._control.is_cancelled else Status.COMPILE_ERROR
        problem = self.problem()
        message = limit_message(self._limit, self.limits, "The compiler") or (problem if problem.endswith(".") else "")
        return Outcome(
            status=status,
            exit_code=self._exit_code,
            signal=self._signal_name if status is not Status.CANCELLED else None,
            stats=self._stats(None),
            compile_output=bytes(self.compile_output),
            truncated=self.cut.truncated,
            message="" if status is Status.CANCELLED else message,
        )

    def run_outcome(self, compiled: Compiled | None) -> Outcome:
        self._raise_unless_started(ARTIFACT_FOLDER)
        limit = self._limit
        if self.ended_by == "cancel":
            status = Status.CANCELLED
        elif limit is not None:
            status = STATUS_OF_LIMIT[limit]
        else:
            status = Status.COMPLETED if self._exit_code == 0 else Status.FAILED
        message = limit_message(limit, self.limits, "The program")
        if self.ended_by == "silence":
            message = "The program was stopped because the sandbox could no longer measure it."
        if self.exec_error is not None:
            message = "The compiled program could not be started."
        return Outcome(
            status=status,
            exit_code=self._exit_code,
            signal=self._signal_name,
            stats=self._stats(compiled),
            compile_output=compiled.output if compiled else b"",
            truncated=self.cut.truncated or (compiled is not None and compiled.truncated),
            message="" if status is Status.CANCELLED else message,
        )

    def _raise_unless_started(self, own_folder: str) -> None:
        """A tool that cannot be started is the host's fault; a program the user compiled is the user's."""
        error = self.exec_error
        if error is None:
            return
        tool = self.request.step.argv[0]
        if error.get("code") == "exec" and own_folder and tool.startswith(f"{own_folder}/"):
            return
        if error.get("code") == "exec":
            raise SandboxFault("tool_missing", f"Install {tool}, or run `make images`.", str(error.get("detail")))
        raise SandboxFault("agent_refused", "Run `make doctor`.", str(error))


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
