"""Whose turn it is: how many runs each person has at once, so that nobody keeps the others from running."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import Count, Q

from execution.availability import known_slots
from execution.models import Run, Status

if TYPE_CHECKING:
    from uuid import UUID

    from accounts.models import User


def counted_as(user: User, session_id: UUID | None = None, address: str = "") -> str:
    """Whom a run counts for: bots for their person, and the guests of one session at one address together."""
    return f"guests:{session_id}:{address}" if user.is_guest else f"person:{user.bot_of_id or user.pk}"


def active_runs(user: User) -> int:
    """How many this person and their bots have waiting or running."""
    runs = Run.objects.active()
    # One person can come as many guests, who share their turns; a class that waits behind one address can, too.
    return runs.filter(user=user).count() if user.is_guest else runs.filter(counted_as=counted_as(user)).count()


def running_share(slots: int) -> int:
    """How many of all slots one person may hold: always fewer than there are, if there are two."""
    return max(1, min(settings.RUN_RUNNING_PER_USER, slots - 1))


def is_turn_of(counted: str, *, interactive: bool) -> bool:
    """Whether whoever is counted so may have one more run running now."""
    running = Run.objects.filter(counted_as=counted, status=Status.RUNNING).aggregate(
        in_slots=Count("pk", filter=Q(waits_for_input=False)), interactive=Count("pk", filter=Q(interactive=True))
    )
    if running["in_slots"] >= running_share(known_slots()):
        return False
    return not interactive or running["interactive"] < settings.RUN_INTERACTIVE_PER_USER


def next_of(counted: str) -> list[UUID]:
    """The oldest run of each kind that was sent and found that it was not its turn."""
    put_back = Run.objects.filter(counted_as=counted, status=Status.QUEUED, published_at=None).order_by("-created_at")
    # The last one of each kind wins, which is the oldest.
    return list(dict(put_back.values_list("interactive", "pk")[: settings.RUN_ACTIVE_PER_USER]).values())
