"""What only the SQL store needs: somebody who forgets old entries."""

from __future__ import annotations

import pytest
import time_machine

from activity import log
from activity.log import purge
from activity.sql import PURGE_BATCH

pytestmark = pytest.mark.django_db(transaction=True)


def test_purging_deletes_what_is_older_than_thirty_days_and_nothing_else() -> None:
    with time_machine.travel("2026-01-01 12:00:00+00:00", tick=False) as clock:
        log.record("edit", "old")
        clock.shift(3600)
        log.record("edit", "still young")
        clock.shift(30 * 86_400 - 1800)
        assert purge() == 1
        assert [entry.message for entry in log.recent()] == ["still young"]
        assert purge() == 0


def test_a_large_backlog_is_purged_in_several_transactions() -> None:
    from django.utils import timezone

    from activity.models import Activity

    with time_machine.travel("2026-01-01 12:00:00+00:00", tick=False) as clock:
        old = Activity(timestamp=timezone.now(), level="info", message="old", action="edit")
        Activity.objects.bulk_create(
            Activity(timestamp=old.timestamp, level="info", message="old", action="edit")
            for _ in range(PURGE_BATCH + 1)
        )
        clock.shift(31 * 86_400)
        assert purge() == PURGE_BATCH + 1
