"""Unsafe settings are refused, each with its remedy; the defaults are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.checks import run_checks

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django.fixtures import Settings

# Nothing here opens a connection.
pytestmark = pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")

PRODUCTION: dict[str, Any] = {
    "DEBUG": False,
    "HOST": "0.0.0.0",
    "LOOPBACK": False,
    "ALLOWED_HOSTS": ["code.example.org"],
    "PUBLIC_URL": "https://code.example.org",
    "HTTPS": True,
    "RATE_LIMITS": True,
    "SECRET_KEY": "s" * 50,
    "SIMPLE_JWT": {"SIGNING_KEY": "j" * 50},
    "DATABASES": {"default": {"ENGINE": "django.db.backends.postgresql"}},
    "REDIS_URL": "redis://redis:6379/0",
    "CELERY_BROKER_URL": "amqp://rabbitmq//",
    "EMBEDDED": False,
    "SANDBOX_BACKEND": "docker",
}


def found(settings: Settings, values: dict[str, Any]) -> list[str]:
    for name, value in values.items():
        setattr(settings, name, value)
    messages = [message for message in run_checks() if str(message.id).startswith("codecrafter.")]
    assert all(message.hint for message in messages)
    return sorted(str(message.id) for message in messages)


# Without the name that Django's test client uses.
HOME: dict[str, Any] = {"RATE_LIMITS": True, "ALLOWED_HOSTS": ["localhost", "127.0.0.1", "[::1]"]}


def test_the_defaults_of_make_run_are_fine(settings: Settings) -> None:
    assert found(settings, HOME) == []


@pytest.mark.parametrize(
    "values",
    [
        {"ALLOWED_HOSTS": ["code.example.org"], "PUBLIC_URL": "http://code.example.org"},
        {"ALLOWED_HOSTS": [".example.org"], "PUBLIC_URL": "http://code.example.org:8000"},
        {"TRUSTED_PROXIES": 1, "PUBLIC_URL": "http://localhost"},
    ],
)
def test_a_loopback_host_that_others_reach_by_a_proxy_is_production(
    settings: Settings, tmp_path: Path, values: dict[str, Any]
) -> None:
    assert found(settings, HOME | {"DATA_DIR": tmp_path, "RATE_LIMITS": False} | values) == [
        "codecrafter.W001",
        "codecrafter.W002",
    ]
    (tmp_path / "demo_login.json").write_text("{}")
    assert "codecrafter.E009" in found(settings, {})


def test_a_good_production_is_fine(settings: Settings, tmp_path: Path) -> None:
    assert found(settings, PRODUCTION | {"DATA_DIR": tmp_path}) == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"ALLOWED_HOSTS": []}, "codecrafter.E001"),
        ({"SECRET_KEY": "short"}, "codecrafter.E002"),
        ({"SIMPLE_JWT": {"SIGNING_KEY": "short"}}, "codecrafter.E003"),
        ({"SIMPLE_JWT": {"SIGNING_KEY": "s" * 50}}, "codecrafter.E004"),
        ({"SANDBOX_BACKEND": "subprocess"}, "codecrafter.E005"),
        ({"DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3"}}}, "codecrafter.E006"),
        ({"REDIS_URL": ""}, "codecrafter.E007"),
        ({"RATE_LIMITS": False}, "codecrafter.W001"),
        ({"HTTPS": False}, "codecrafter.W002"),
        ({"ALLOWED_HOSTS": ["*"]}, "codecrafter.W003"),
        ({"PUBLIC_URL": ""}, "codecrafter.E010"),
        ({"PUBLIC_URL": "code.example.org"}, "codecrafter.E010"),
        ({"PUBLIC_URL": "https://code.example.org/path"}, "codecrafter.E010"),
        ({"PUBLIC_URL": "https://other.example.org"}, "codecrafter.E010"),
        ({"PUBLIC_URL": "http://code.example.org"}, "codecrafter.E010"),
    ],
)
def test_each_unsafe_setting_is_named(
    settings: Settings, tmp_path: Path, values: dict[str, Any], expected: str
) -> None:
    assert found(settings, PRODUCTION | {"DATA_DIR": tmp_path} | values) == [expected]


@pytest.mark.parametrize(
    "values",
    [
        {"REDIS_URL": "redis://redis:6379/0"},
        {"REDIS_URL": "redis://redis:6379/0", "CELERY_BROKER_URL": "amqp://rabbitmq//", "EMBEDDED": False},
    ],
)
def test_several_processes_on_sqlite_are_refused_at_home_too(settings: Settings, values: dict[str, Any]) -> None:
    sqlite = {"DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3"}}}
    assert found(settings, HOME | sqlite | values) == ["codecrafter.E006"]


def test_demo_people_are_refused_where_others_can_reach_them(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "demo_login.json").write_text("{}")
    assert found(settings, PRODUCTION | {"DATA_DIR": tmp_path}) == ["codecrafter.E009"]
