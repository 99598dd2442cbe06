"""The task that `celery beat` sends to the workers."""

from __future__ import annotations

from celery import shared_task
from django.db import close_old_connections

from codecrafter import housekeeping


@shared_task(name=housekeeping.TASK)
def keep_house(name: str) -> None:
    close_old_connections()
    try:
        housekeeping.work(name)
    finally:
        close_old_connections()
