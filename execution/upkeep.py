"""Periodic work that brings every accepted run to a final state, whoever was killed. Listed in housekeeping.py."""

from __future__ import annotations

import logging
import uuid
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from execution import availability, events, queue
from execution.ending import announce_end
from execution.models import DeadLetter, Run, Status

logger = logging.getLogger(__name__)

# A message that was handed to the broker is trusted for so long before it is sent again. Sending twice is harmless:
# the second claim of a row finds it taken.
REPUBLISH_AFTER = timedelta(minutes=5)
# Time for the publisher itself, which runs after the row commits.
PUBLISH_GRACE = timedelta(seconds=10)


def reap_expired_leases() -> None:
    """Runs whose worker died: queued again, or ended as `error` with a dead letter after RUN_ATTEMPTS attempts."""
    expired = Run.objects.without_input().filter(status=Status.RUNNING, lease_expires_at__lt=timezone.now())
    for run in expired.select_related("user", "cancelled_by"):
        _give_back(run)


def reap_own_leases() -> None:
    """At the start of the embedded server: whatever is running was left by a process that is gone."""
    for run in Run.objects.without_input().filter(status=Status.RUNNING).select_related("user", "cancelled_by"):
        _give_back(run)


def _give_back(run: Run) -> None:
    held = Run.objects.filter(pk=run.pk, status=Status.RUNNING, attempt=run.attempt, worker=run.worker)
    now = timezone.now()
    with transaction.atomic():
        if run.cancel_requested_at:
            changed = held.update(status=Status.CANCELLED, finished_at=now, lease_expires_at=None)
        elif run.attempt < settings.RUN_ATTEMPTS:
            changed = held.update(status=Status.QUEUED, worker="", lease_expires_at=None, published_at=None)
        else:
            error_id = uuid.uuid4().hex
            message = f"The worker was lost {run.attempt} times while this program ran."
            changed = held.update(
                status=Status.ERROR,
                error_id=error_id,
                finished_at=now,
                lease_expires_at=None,
                stats=run.stats | {"message": message},
            )
            if changed:
                logger.error("run %s ended in error %s: %s", run.pk, error_id, message)
                DeadLetter.objects.update_or_create(run=run, defaults={"reason": message, "requeued_at": None})
        if not changed:
            return
        run.refresh_from_db()
        events.announce_state(run)
        if run.status == Status.QUEUED:
            transaction.on_commit(lambda: queue.publish(run.pk))
    if run.is_final:
        announce_end(run)


def republish() -> None:
    """Waiting runs whose message never reached the broker, or was lost there."""
    now = timezone.now()
    unsent = Q(published_at=None, created_at__lt=now - PUBLISH_GRACE) | Q(published_at__lt=now - REPUBLISH_AFTER)
    for run_id in Run.objects.filter(unsent, status=Status.QUEUED).values_list("pk", flat=True)[:500]:
        if not queue.publish(run_id):
            return


def republish_all() -> None:
    """At the start of the embedded server, whose broker forgets everything with its process."""
    for run_id in Run.objects.filter(status=Status.QUEUED).order_by("created_at").values_list("pk", flat=True):
        queue.publish(run_id)


def forget_silent_workers() -> None:
    availability.forget_silent_workers()
