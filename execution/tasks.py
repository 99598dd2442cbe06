"""What Celery is asked to do."""

from __future__ import annotations

from celery import shared_task

from execution import runner


@shared_task(name="execution.run_code")
def run_code(run_id: str) -> None:
    runner.run(run_id)
