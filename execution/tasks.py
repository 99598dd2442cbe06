"""What Celery is asked to do."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task
from django.db import close_old_connections

from execution import runner


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
        following = runner.run(UUID(run_id))
        if following:
            run_code.apply_async((str(following),), retry=False)
    finally:
        close_old_connections()
