"""Runs the test cases of a submission, one after another in as few sandboxes as possible. Called by the runner."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from execution.sandbox.backends import Backend
from execution.sandbox.cache import CompileCache, Compiled, Files, PersonalCache
from execution.sandbox.context import RunContext, StepRequest, run_context
from execution.sandbox.control import Control
from execution.sandbox.job import Case, Job, Outcome, sum_of_cases
from execution.sandbox.link import SharedSandbox
from execution.sandbox.output import Collected, Listener
from execution.sandbox.step import run_step
from execution.sandbox.supervisor import compile_job, files_of

# The cases of a submission that take longer together get another sandbox; no longer than a parked one may be used.
SHARED_SECONDS = 3_600.0


def execute_cases(
    job: Job,
    cases: Sequence[Case],
    backend: Backend,
    listener: Listener,
    control: Control,
    label: str = "",
    *,
    after_case: Callable[[int, Outcome], bool] | None = None,
    cache: CompileCache | PersonalCache | None = None,
) -> Outcome:
    """Compile once, then run every case in a sandbox reset after the last one, or a new one on any trouble or if asked.

    The listener hears the compiler; what a case prints is in its result. `after_case` is called with each result as it
    comes, and ends the submission by returning False; what was printed is then its to keep, and not in the outcome.
    The outcome has the state, exit code and message of the first case that did not complete, and the stats of all
    together. Raises as `execute` does.
    """
    with run_context(job, backend, listener, control, label) as context:
        compiled = compile_job(context, cache)
        if isinstance(compiled, Outcome):
            return compiled
        if compiled is None:
            context.delivery.started()
        files = files_of(job, compiled)
        requests = deque(_request(job, case, files) for case in cases)
        if requests:
            requests.append(replace(requests.pop(), keep=False))
        results: list[Outcome] = []
        shared = SharedSandbox(backend, SHARED_SECONDS)
        try:
            while requests:
                result = _run_case(context, requests.popleft(), requests, compiled, shared)
                goes_on = True
                if after_case is not None:
                    goes_on = after_case(len(results), result)
                    result = replace(result, stdout=b"", stderr=b"")
                results.append(result)
                if not goes_on or control.is_cancelled:
                    break
        finally:
            shared.close()
        if compiled is None:
            return sum_of_cases(results)
        return sum_of_cases(results, compile_ms=compiled.wall_ms, compile_output=compiled.output)


def _request(job: Job, case: Case, files: Files) -> StepRequest:
    step = replace(job.run, argv=(*job.run.argv, *case.args), limits=case.limits or job.run.limits)
    return StepRequest(step, files, case.stdin, keep=not case.alone, alone=case.alone)


def _run_case(
    context: RunContext,
    request: StepRequest,
    following: deque[StepRequest],
    compiled: Compiled | None,
    shared: SharedSandbox,
) -> Outcome:
    printed = Collected()
    context = replace(context, delivery=printed)
    outcome = run_step(context, request, None if request.alone else shared, following).run_outcome(compiled)
    return replace(outcome, compile_output=b"", stdout=printed.stdout, stderr=printed.stderr)
