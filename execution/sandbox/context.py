"""What the parts of the supervisor share: what a job has around it, and one step as it is asked of a sandbox."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from execution.sandbox.backends import Backend, Handle
from execution.sandbox.cache import Files
from execution.sandbox.control import Control
from execution.sandbox.job import Job, Step
from execution.sandbox.output import Collected, Delivery, Listener


@dataclass(frozen=True)
class StepRequest:
    """One step. `keep`: more may follow in the same sandbox. `alone`: nothing was in it before."""

    step: Step
    files: Files
    stdin: bytes = b""
    is_compile: bool = False
    keep: bool = False
    alone: bool = False


@dataclass(frozen=True)
class RunContext:
    """`wake` is a descriptor that `control` wakes.

    `used`: sandboxes that have served, to be closed when everything that they said was passed on.
    """

    job: Job
    backend: Backend
    delivery: Delivery | Collected
    control: Control
    wake: int
    label: str
    used: list[Handle] = field(default_factory=list)


@contextlib.contextmanager
def run_context(job: Job, backend: Backend, listener: Listener, control: Control, label: str) -> Iterator[RunContext]:
    """Open the way to the listener and the descriptor that `control` wakes; close both, and the used sandboxes."""
    # Nobody would hear the rest of a run whose listener failed.
    delivery = Delivery(listener, on_failure=control.cancel)
    wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    control.attach(wake)
    context = RunContext(job, backend, delivery, control, wake, label)
    try:
        yield context
    finally:
        control.attach(-1)
        os.close(wake)
        try:
            # A listener that failed is reported even when the run failed too: its error is the first one.
            delivery.finish()
        finally:
            for handle in context.used:
                handle.close()
