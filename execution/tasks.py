"""What Celery is asked to do."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task
from django.db import close_old_connections
from django.utils import timezone

from execution import runner
from execution.models import Run, Status


@shared_task(name="execution.self_test")
def self_test(key: str) -> None:
    close_old_connections()
    try:
        runner.self_test(key)
    finally:
        close_old_connections()


@shared_task(name="execution.run_code")
def run_code(run_id: str) -> None:
    close_old_connections()
    try:
        runner.run(UUID(run_id), send_run)
    finally:
        close_old_connections()


def send_run(run_id: UUID) -> None:
    """Send the run's message. Raises what the broker's client raises, and then the run counts as not sent."""
    waiting = Run.objects.filter(pk=run_id, status=Status.QUEUED)
    # First, because a worker that takes it at once and puts it back says so in the same field.
    waiting.update(published_at=timezone.now())
    try:
        run_code.apply_async((str(run_id),), retry=False)
    except Exception:
        waiting.update(published_at=None)
        raise
