"""What is counted about runs. Labels are keys of the language table and states, so their number is bounded."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

code_executions_total = Counter("code_executions_total", "Runs that ended, by final state.", ["language", "status"])
run_duration_seconds = Histogram(
    "run_duration_seconds",
    "From the claim by a worker until the final state.",
    ["language"],
    buckets=(0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 600),
)
run_queue_seconds = Histogram(
    "run_queue_seconds",
    "From the request until a worker claims the run.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
runs_active = Gauge("runs_active", "Runs that this worker is busy with.", multiprocess_mode="livesum")


def count_finished(language: str, status: str, *, run_seconds: float | None, queue_seconds: float | None) -> None:
    """Count a run that reached its final state; the times are None for a run that no worker claimed."""
    code_executions_total.labels(language, status).inc()
    if run_seconds is not None:
        run_duration_seconds.labels(language).observe(run_seconds)
    if queue_seconds is not None:
        run_queue_seconds.observe(queue_seconds)
