"""What is asked of a sandbox (Job, Step) and what came of it (Outcome). Values only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypedDict, cast

from execution.sandbox import protocol
from execution.sandbox.errors import InvalidJob
from execution.sandbox.limits import COMPILE, INTERACTIVE, RUN, Limits
from languages import ARTIFACT_FOLDER, Language

MAX_ARGUMENTS = 64
MAX_ARGUMENT_BYTES = 4096
MAX_STDIN_BYTES = 16 * 1024 * 1024
BASE_ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",  # noqa: S108 - the sandbox's own
    "LANG": "C.UTF-8",
    "TERM": "dumb",
}


class Status(StrEnum):
    """The final states of a run that a sandbox can bring about."""

    COMPLETED = "completed"
    FAILED = "failed"
    COMPILE_ERROR = "compile_error"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    OUTPUT_LIMIT = "output_limit"
    CANCELLED = "cancelled"


def _is_encodable(word: str) -> bool:
    try:
        word.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class Step:
    """One program in one sandbox. `environment` is all the program gets."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    limits: Limits

    def __post_init__(self) -> None:
        if not self.argv:
            raise InvalidJob("a program needs a name")
        text = "".join((*self.argv, *self.environment, *self.environment.values()))
        if "\0" in text or not _is_encodable(text):
            raise InvalidJob("an argument must be UTF-8 without NUL bytes")


@dataclass(frozen=True)
class Job:
    """One run. `stdin` None is empty; an interactive run's stdin stays open after it until it is closed."""

    language: str
    files: Mapping[str, bytes]
    entry: str
    run: Step
    compile: Step | None = None
    stdin: bytes | None = None
    interactive: bool = False

    def __post_init__(self) -> None:
        if self.entry not in self.files:
            raise InvalidJob("the entry file is not among the files")
        if len(self.files) > protocol.MAX_FILES // 2:
            raise InvalidJob(f"more than {protocol.MAX_FILES // 2} files")
        if len(self.stdin or b"") > MAX_STDIN_BYTES:
            raise InvalidJob(f"the input is larger than {MAX_STDIN_BYTES} bytes")
        if sum(len(content) for content in self.files.values()) > self.run.limits.disk_bytes // 2:
            raise InvalidJob("the files do not fit in the sandbox")
        folders: set[str] = set()
        for path in self.files:
            try:
                protocol.check_path(path)
            except protocol.ProtocolError as error:
                raise InvalidJob(f"{path!r}: {error}") from error
            parts = path.split("/")
            if parts[0] == ARTIFACT_FOLDER:
                raise InvalidJob(f"{ARTIFACT_FOLDER} is kept for the compiler")
            folders.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
        if taken := folders.intersection(self.files):
            raise InvalidJob(f"{min(taken)!r} is both a file and a folder")


class Stats(TypedDict):
    """`limit` names what ended the run: cpu, wall, idle, memory, output, or None. `step`: compile or run.

    `start`: cold (its sandbox was made for it), or in a parked sandbox exec, or fork (the agent's own interpreter).
    """

    step: str
    limit: str | None
    wall_ms: int
    cpu_ms: int
    memory_bytes: int
    processes_peak: int
    pids_limit_hit: bool
    child_oom: bool
    disk_full: bool
    output_bytes: int
    compile_ms: int
    compile_cached: bool
    held_by: str
    start: str


@dataclass(frozen=True)
class Case:
    """One test case of a submission: its input, arguments after the job's own, and limits where they differ.

    `alone`: in a sandbox that no other case was or will be in.
    """

    stdin: bytes = b""
    args: tuple[str, ...] = ()
    limits: Limits | None = None
    alone: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a run or one of its test cases ended.

    `message` is one plain sentence where the state alone does not say enough, else empty. `cases` holds the outcomes of
    those test cases that ran, in their order. Only the outcome of a case has `stdout` and `stderr`, because nobody
    listened to it; its memory is its largest process's ru_maxrss.
    """

    status: Status
    exit_code: int | None
    signal: str | None
    stats: Stats
    compile_output: bytes = b""
    truncated: bool = False
    message: str = ""
    cases: "tuple[Outcome, ...]" = ()
    stdout: bytes = b""
    stderr: bytes = b""


NO_STATS: dict[str, Any] = {
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


def sum_of_cases(results: Sequence[Outcome], *, compile_ms: int = 0, compile_output: bytes = b"") -> Outcome:
    """The outcome of a submission that had these cases."""
    worst = next((result for result in results if result.status is not Status.COMPLETED), None)
    shown = worst or (results[-1] if results else None)
    stats: dict[str, Any] = dict(shown.stats) if shown else NO_STATS | {"compile_ms": compile_ms}
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
        compile_output=compile_output,
        truncated=any(result.truncated for result in results),
        message=worst.message if worst else "",
        cases=tuple(results),
    )


def prepare(
    language: Language,
    files: Mapping[str, bytes],
    *,
    entry: str | None = None,
    stdin: bytes | None = None,
    args: tuple[str, ...] = (),
    interactive: bool = False,
    run_limits: Limits | None = None,
    compile_limits: Limits | None = None,
) -> Job:
    """A Job for a program in `language`; limits given here replace the language's own. Raises InvalidJob."""
    entry = entry or language.file_name
    if entry not in files:
        raise InvalidJob("the entry file is not among the files")
    if len(args) > MAX_ARGUMENTS or any(len(word.encode("utf-8", "replace")) > MAX_ARGUMENT_BYTES for word in args):
        raise InvalidJob(f"at most {MAX_ARGUMENTS} arguments of {MAX_ARGUMENT_BYTES} bytes")
    environment = {**BASE_ENVIRONMENT, **language.environment}
    run_step = Step(
        (*language.run_argv(entry, files), *args),
        environment,
        run_limits or default_run_limits(language, interactive=interactive),
    )
    compile_argv = language.compile_argv(entry, files)
    compile_step = None
    if compile_argv is not None:
        compile_step = Step(
            compile_argv,
            {**environment, **language.compile_environment},
            compile_limits or default_compile_limits(language),
        )
    return Job(language.key, files, entry, run_step, compile_step, stdin, interactive)


def default_run_limits(language: Language, *, interactive: bool = False) -> Limits:
    return replace(INTERACTIVE if interactive else RUN, **language.run_limits)


def default_compile_limits(language: Language) -> Limits:
    return replace(COMPILE, **language.compile_limits)
