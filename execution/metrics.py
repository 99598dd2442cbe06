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
