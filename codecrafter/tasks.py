"""What `celery beat` asks of the workers."""

from __future__ import annotations

from celery import shared_task

from codecrafter import housekeeping


@shared_task(name=housekeeping.TASK)
def keep_house(name: str) -> None:
    housekeeping.work(name)
