"""Hands runs and self-tests to the broker. The row is the truth: a message that is lost is sent again by upkeep.py."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from execution.tasks import self_test, send_run

if TYPE_CHECKING:
    from uuid import UUID

logger = logging.getLogger(__name__)


def publish(run_id: UUID) -> bool:
    """Send the run's message; False when the broker does not answer, and the republisher tries again."""
    try:
        send_run(run_id)
    except Exception:
        logger.warning("the broker did not take run %s; it will be sent again", run_id, exc_info=True)
        return False
    return True


def publish_self_test(key: str) -> bool:
    """Have a worker test this language; False when the broker does not answer, and somebody may ask again."""
    try:
        self_test.apply_async(args=(key,), retry=False)
    except Exception:
        logger.warning("the broker did not take the self-test of %s", key, exc_info=True)
        return False
    return True
