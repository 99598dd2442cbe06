"""The names of the task queues. Runs and upkeep have separate queues and threads, so that neither delays the other."""

RUNS = "runs"
UPKEEP = "upkeep"
