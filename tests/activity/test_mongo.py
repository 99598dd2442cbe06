"""What only MongoDB does: it expires entries, and it may be away."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from django.core.management import CommandError, call_command
from prometheus_client import REGISTRY

from activity import log, mongo
from activity.errors import ActivityOffline
from tests.services.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import Settings

pytestmark = pytest.mark.django_db(transaction=True)


def dropped() -> float:
    return REGISTRY.get_sample_value("activity_entries_dropped_total") or 0


@pytest.fixture
def dead_url(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address where nobody answers, and a queue that is soon full."""
    monkeypatch.setattr(mongo, "QUEUE_MAX_ENTRIES", 20)
    monkeypatch.setattr(mongo, "BATCH_MAX_ENTRIES", 5)
    monkeypatch.setattr(mongo, "LONGEST_PAUSE_SECONDS", 0.2)
    settings.MONGODB_URL = f"mongodb://reader:hunter22@127.0.0.1:{free_port()}/codecrafter.activity"
    yield settings.MONGODB_URL
    log._mongo.cache_clear()


def test_the_index_forgets_entries_after_the_days_of_the_settings(settings: Settings, mongo_store_url: str) -> None:
    settings.MONGODB_URL = mongo_store_url
    log.record("edit", "the first use makes the indexes")
    store = log.store()
    assert isinstance(store, mongo.MongoStore)
    assert store.flush(10)
    assert store._entries().index_information()["expiry"]["expireAfterSeconds"] == 30 * 86_400
    settings.ACTIVITY_DAYS = 7
    store.prepare()
    assert store._entries().index_information()["expiry"]["expireAfterSeconds"] == 7 * 86_400


def test_a_dead_mongodb_neither_slows_nor_breaks_its_callers(dead_url: str) -> None:
    before = dropped()
    started = time.perf_counter()
    for number in range(200):
        log.record("edit", str(number))
    # One server selection waits half a second; two hundred callers together waited for none.
    assert time.perf_counter() - started < 200 * 0.5
    assert dropped() - before >= 200 - 20 - 5
    assert log.recent() == []


def test_a_dead_mongodb_is_named_without_its_password(dead_url: str, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(50):
        log.record("edit", str(number))
    with pytest.raises(ActivityOffline) as offline:
        log.store().recent(session_id=None, user_id=None, limit=1, before=None)
    is_fine, detail = log.store().status()
    assert not is_fine
    assert int(re.search(r"(\d+) dropped", detail)[1]) >= 50 - 20 - 5  # type: ignore[index]
    assert "hunter22" not in f"{detail} {offline.value} {caplog.text}"
    with pytest.raises(CommandError, match="MONGODB_URL"):
        call_command("prepare_activity")


def test_entries_wait_for_a_mongodb_that_comes_back(
    settings: Settings, mongo_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address answers only after the entries were recorded."""
    from tests.activity.forwarder import Forwarder

    monkeypatch.setattr(mongo, "LONGEST_PAUSE_SECONDS", 0.2)
    host, _, rest = mongo_store_url.removeprefix("mongodb://").partition("/")
    forwarder = Forwarder(host)
    settings.MONGODB_URL = f"mongodb://127.0.0.1:{forwarder.port}/{rest}"
    for number in range(3):
        log.record("edit", str(number))
    assert not log.store().flush(1)
    with forwarder:
        assert log.store().flush(30)
        assert [entry.message for entry in log.recent()] == ["2", "1", "0"]
        assert log.store().status()[0]
    store = log.store()
    assert isinstance(store, mongo.MongoStore)
    store.close()
