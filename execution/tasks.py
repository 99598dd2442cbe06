"""What Celery is asked to do."""

from __future__ import annotations

from celery import shared_task
from django.db import close_old_connections

from execution import runner


@shared_task(name="execution.run_code")
def run_code(run_id: str) -> None:
    close_old_connections()
    try:
        runner.run(run_id)
    finally:
        close_old_connections()
