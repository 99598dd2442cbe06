"""Hands a run to the broker. The row is the truth: a message that is lost is sent again by upkeep.py."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.utils import timezone

from execution.models import Run, Status
from execution.tasks import run_code

if TYPE_CHECKING:
    from uuid import UUID

logger = logging.getLogger(__name__)


def publish(run_id: UUID) -> bool:
    """Send the run's message; False when the broker does not answer, and the republisher tries again."""
    try:
        run_code.apply_async(args=(str(run_id),), retry=False)
    except Exception:
        logger.warning("the broker did not take run %s; it will be sent again", run_id, exc_info=True)
        return False
    Run.objects.filter(pk=run_id, status=Status.QUEUED).update(published_at=timezone.now())
    return True
