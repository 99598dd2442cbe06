"""Health against the servers of production, and the one setting of PostgreSQL that must hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.core.checks import run_checks
from django.db import connections

from codecrafter import health
from codecrafter.health import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import Settings


def test_real_redis_and_rabbitmq_are_ok(settings: Settings, redis_url: str, rabbitmq_url: str) -> None:
    settings.REDIS_URL = redis_url
    settings.EMBEDDED, settings.CELERY_BROKER_URL = False, rabbitmq_url
    assert health.CHECKS["channel_layer"]() == health.Finding(State.OK, "Redis")
    assert health.CHECKS["broker"]().state is State.OK


@pytest.fixture
def postgres(postgres_url: str, settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    """A second database of the settings, on a real server."""
    import environ

    parsed = {**environ.Env.db_url_config(postgres_url), "OPTIONS": {}, "TEST": {}}
    connections.settings["other"] = connections.configure_settings({"default": {}, "other": parsed})["other"]
    with psycopg.connect(postgres_url, autocommit=True) as administrator:
        yield administrator
        administrator.execute("ALTER ROLE CURRENT_USER RESET synchronous_commit")
    connections["other"].close()
    del connections["other"], connections.settings["other"]


@pytest.mark.django_db(databases=["default"])
@pytest.mark.parametrize(
    ("level", "is_refused"),
    [("on", False), ("remote_apply", False), ("remote_write", True), ("local", True), ("off", True)],
)
def test_a_postgresql_that_may_forget_commits_is_refused(
    postgres: psycopg.Connection[Any], django_db_blocker: Any, level: str, is_refused: bool
) -> None:
    postgres.execute(f"ALTER ROLE CURRENT_USER SET synchronous_commit = {level}")
    with django_db_blocker.unblock():
        found = [message.id for message in run_checks(tags=["database"], databases=["other"])]
    assert ("codecrafter.E008" in found) is is_refused
