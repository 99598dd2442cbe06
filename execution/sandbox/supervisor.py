"""Runs one job in sandboxes of any backend and says how it ended. Called by the runner, from any thread.

cases.py does the same for a submission with test cases; each step of either is step.py's.
"""

from dataclasses import replace

from execution.sandbox.backends import Backend
from execution.sandbox.cache import CompileCache, Compiled, Files, PersonalCache, key_of
from execution.sandbox.context import RunContext, StepRequest, run_context
from execution.sandbox.control import Control
from execution.sandbox.job import Job, Outcome
from execution.sandbox.output import Listener
from execution.sandbox.step import run_step


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
    with run_context(job, backend, listener, control, label) as context:
        compiled = compile_job(context, cache)
        if isinstance(compiled, Outcome):
            return compiled
        request = StepRequest(job.run, files_of(job, compiled), job.stdin or b"")
        return run_step(context, request).run_outcome(compiled)


def compile_job(context: RunContext, cache: CompileCache | PersonalCache | None) -> Compiled | Outcome | None:
    """None where nothing is to be compiled; an Outcome when that is where the run ends."""
    job = context.job
    if job.compile is None:
        return None
    files = files_of(job, None)
    key = key_of(context.backend.toolset(job.language), job.compile, files) if cache is not None else ""
    if cache is not None and (found := cache.get(key)) is not None:
        context.delivery.started()
        context.delivery.output("compile", found.output)
        return replace(found, wall_ms=0, from_cache=True)
    report = run_step(context, StepRequest(job.compile, files, is_compile=True))
    if context.control.is_cancelled or report.result is None or report.ended_by or report.problem():
        return report.compile_outcome()
    compiled = report.compiled()
    if cache is not None:
        cache.put(key, compiled)
    return compiled


def files_of(job: Job, compiled: Compiled | None) -> Files:
    """What lies in /work when the step begins, the compiler's artifact included."""
    files = {path: (0o644, content) for path, content in job.files.items()}
    return files if compiled is None else files | dict(compiled.artifact)
