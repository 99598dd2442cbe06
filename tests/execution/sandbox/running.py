"""Run a program and look at what came of it; used by every test here."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import languages
from execution.sandbox.control import Control
from execution.sandbox.job import prepare
from execution.sandbox.limits import MIB, Limits
from execution.sandbox.output import Collected
from execution.sandbox.supervisor import execute

if TYPE_CHECKING:
    from collections.abc import Callable

    from execution.sandbox.backends import Backend
    from execution.sandbox.job import Outcome
    from execution.sandbox.output import StreamName

LIMITS = Limits(
    cpu_ms=3_000,
    wall_ms=30_000,
    memory_bytes=128 * MIB,
    output_bytes=MIB,
    processes=64,
    disk_bytes=64 * MIB,
    cpus=1.0,
)
SHORT = replace(LIMITS, cpu_ms=400)


class Watcher(Collected):
    """Counts the starts and calls back on each piece, too."""

    def __init__(self, on_output: Callable[[bytes], None] = lambda _data: None) -> None:
        super().__init__()
        self.starts = 0
        self.running = threading.Event()
        self.on_output = on_output

    def started(self) -> None:
        self.starts += 1
        self.running.set()

    def output(self, stream: StreamName, data: bytes) -> None:
        super().output(stream, data)
        self.on_output(data)


@dataclass(frozen=True)
class Ran:
    outcome: Outcome
    watcher: Watcher

    @property
    def stdout(self) -> bytes:
        return self.watcher.stdout

    @property
    def stderr(self) -> bytes:
        return self.watcher.stderr

    @property
    def status(self) -> str:
        return self.outcome.status.value

    @property
    def limit(self) -> str | None:
        return self.outcome.stats["limit"]


def run(
    backend: Backend,
    language: str,
    source: str | bytes | dict[str, bytes],
    *,
    stdin: bytes | None = None,
    args: tuple[str, ...] = (),
    limits: Limits = LIMITS,
    compile_limits: Limits | None = None,
    interactive: bool = False,
    control: Control | None = None,
    watcher: Watcher | None = None,
) -> Ran:
    row = languages.get(language)
    if not isinstance(source, dict):
        source = {row.file_name: source if isinstance(source, bytes) else source.encode()}
    job = prepare(
        row,
        source,
        stdin=stdin,
        args=args,
        interactive=interactive,
        run_limits=limits,
        compile_limits=compile_limits,
    )
    watcher = watcher or Watcher()
    return Ran(execute(job, backend, watcher, control or Control(), "test"), watcher)
