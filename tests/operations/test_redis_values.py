"""Redis holds data: what somebody put there never becomes code, in the cache, the channel layer or the queues."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.core.cache import cache
from kombu.exceptions import ContentDisallowed
from kombu.serialization import loads

from accounts import socket_auth
from codecrafter.celery import app
from codecrafter.redis_layer import RedisLayer
from web import answers, counters


class Poison:
    """Makes a file when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return os.mkdir, (str(self.proof),)


@pytest.fixture
def poison(tmp_path: Path) -> Iterator[bytes]:
    proof = tmp_path / "ran"
    poisoned = pickle.dumps(Poison(proof))
    yield poisoned
    assert not proof.exists()
    pickle.loads(poisoned)
    assert proof.exists()


@pytest.fixture
def in_redis(settings: Any, redis_url: str) -> Iterator[redis.Redis]:
    """The cache as the settings make it where there is a Redis."""
    settings.REDIS_URL = redis_url
    serializer = "codecrafter.cache_serializer.JSONSerializer"
    settings.CACHES = {
        **django_settings.CACHES,
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": redis_url,
            "OPTIONS": {"serializer": serializer},
        },
    }
    cache.clear()
    with redis.Redis.from_url(redis_url) as client:
        yield client
    cache.clear()


def put(client: redis.Redis, key: str, value: bytes) -> None:
    client.set(cache.make_key(key), value)


def test_poison_in_the_cache_is_taken_for_nothing(in_redis: redis.Redis, poison: bytes) -> None:
    put(in_redis, "anything", poison)
    assert cache.get("anything", "nothing") is None
    assert cache.get_many(["anything"]) == {"anything": None}
    for name in ("answer:languages", "generation:languages"):
        put(in_redis, name, poison)
    assert answers.shared("languages", lambda: b"[]") == b"[]"
    assert answers.shared("languages", lambda: b"[1]") == b"[]"


def test_poisoned_ticket_opens_nothing(in_redis: redis.Redis, poison: bytes, db: None) -> None:
    put(in_redis, socket_auth._ticket_key("poisoned"), poison)
    assert socket_auth._by_ticket("poisoned", "/ws/sessions/x").failure == "invalid"


def test_poisoned_counter_counts_no_further_than_this_process(in_redis: redis.Redis, poison: bytes) -> None:
    put(in_redis, "tries", poison)
    assert counters.increment("tries", 60) == 1
    counters._away_until = 0.0


def test_what_is_kept_in_redis_is_read_back(in_redis: redis.Redis, alice: Any, session: Any) -> None:
    for value in (0, 7, -1, True, None, "", "7", "ü", [1, ["a"]], {"a": 1.5}):
        cache.set("value", value)
        assert cache.get("value", "nothing") == value and type(cache.get("value")) is type(value)
    cache.set("count", 1)
    assert cache.incr("count") == 2 == cache.get("count")
    ticket, _ = socket_auth.issue_ticket(alice, session.pk)
    assert socket_auth._by_ticket(ticket, f"/ws/sessions/{session.pk}").user == alice


def test_settings_give_redis_no_pickles(tmp_path: Path, redis_url: str) -> None:
    script = (
        "import django; django.setup(); from django.conf import settings as s; from django.core.cache import cache;"
        "print(s.SESSION_ENGINE, s.SESSION_SERIALIZER, type(cache._cache._serializer).__name__)"
    )
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "codecrafter.settings",
        "DATA_DIR": str(tmp_path),
        "REDIS_URL": redis_url,
    }
    said = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, cwd="."
    ).stdout.split()
    assert said == [
        "django.contrib.sessions.backends.db",
        "django.contrib.sessions.serializers.JSONSerializer",
        "JSONSerializer",
    ]


def test_queues_take_json_only(poison: bytes) -> None:
    for accepted in (app.conf.accept_content, app.conf.result_accept_content or app.conf.accept_content):
        with pytest.raises(ContentDisallowed):
            loads(poison, "application/x-python-serialize", "binary", accept=accepted)
    assert {app.conf.task_serializer, app.conf.event_serializer, app.conf.result_serializer} == {"json"}


def test_channel_layer_takes_no_pickles(redis_url: str, poison: bytes) -> None:
    with contextlib.suppress(Exception):
        RedisLayer(hosts=[redis_url]).deserialize(poison)
