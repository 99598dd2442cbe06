"""System checks for settings that must not reach production. Each names the variable and what to set it to.

Checks tagged `database` query the server; they run with `manage.py check --database default` and with migrate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections
from django.http.request import validate_host

from accounts import demo
from execution.sandbox.choose import NAMES as SANDBOX_BACKEND_NAMES
from web.client import serves_this_machine_only

if TYPE_CHECKING:
    from collections.abc import Sequence

SECRET_MIN_CHARS = 32


def _is_production() -> bool:
    return not settings.DEBUG and not serves_this_machine_only()


@register(Tags.security)
def check_hosts(**kwargs: Any) -> list[CheckMessage]:
    if not settings.DEBUG and not settings.ALLOWED_HOSTS:
        return [
            Error(
                "ALLOWED_HOSTS is empty, so every request would be refused.",
                hint="Set ALLOWED_HOSTS to the names people use, such as ALLOWED_HOSTS=code.example.org.",
                id="codecrafter.E001",
            )
        ]
    return []


@register(Tags.security)
def check_secrets(**kwargs: Any) -> list[CheckMessage]:
    if not _is_production():
        return []
    found: list[CheckMessage] = []
    jwt_key = str(settings.SIMPLE_JWT["SIGNING_KEY"])
    for number, name, secret in ((2, "SECRET_KEY", settings.SECRET_KEY), (3, "JWT_SIGNING_KEY", jwt_key)):
        if len(secret) < SECRET_MIN_CHARS:
            found.append(
                Error(
                    f"{name} has {len(secret)} characters; fewer than {SECRET_MIN_CHARS} can be guessed.",
                    hint=f"Set {name} to the output of: python3 -c 'import secrets; print(secrets.token_urlsafe(50))'",
                    id=f"codecrafter.E00{number}",
                )
            )
    if jwt_key == settings.SECRET_KEY:
        found.append(
            Error(
                "JWT_SIGNING_KEY equals SECRET_KEY, so one leak would forge both tokens and cookies.",
                hint="Give JWT_SIGNING_KEY a value of its own, or leave it unset: one is made in DATA_DIR.",
                id="codecrafter.E004",
            )
        )
    return found


@register()
def check_sandbox(**kwargs: Any) -> list[CheckMessage]:
    if settings.SANDBOX_BACKEND not in SANDBOX_BACKEND_NAMES:
        return [
            Error(
                f"SANDBOX_BACKEND is {settings.SANDBOX_BACKEND!r}, which is not a sandbox backend.",
                hint=f"Set SANDBOX_BACKEND to one of: {', '.join(SANDBOX_BACKEND_NAMES)}.",
                id="codecrafter.E005",
            )
        ]
    return []


@register()
def check_processes(**kwargs: Any) -> list[CheckMessage]:
    """Several processes need PostgreSQL and Redis: SQLite has one writer, and memory belongs to one process."""
    found: list[CheckMessage] = []
    is_sqlite = "sqlite" in settings.DATABASES["default"]["ENGINE"]
    several = ["REDIS_URL"] if settings.REDIS_URL else []
    several += [] if settings.EMBEDDED else ["CELERY_BROKER_URL"]
    if several and is_sqlite:
        found.append(
            Error(
                f"{' and '.join(several)} let several processes work together, but the database is SQLite.",
                hint="Set DATABASE_URL to a PostgreSQL database, such as postgres://user:password@host/codecrafter, "
                f"or unset {' and '.join(several)} to run as one process.",
                id="codecrafter.E006",
            )
        )
    if not settings.EMBEDDED and not settings.REDIS_URL:
        found.append(
            Error(
                "CELERY_BROKER_URL is set, but without REDIS_URL workers cannot send output to open pages.",
                hint="Set REDIS_URL, such as redis://host:6379/0.",
                id="codecrafter.E007",
            )
        )
    return found


@register(Tags.security)
def check_rate_limits(**kwargs: Any) -> list[CheckMessage]:
    if _is_production() and not settings.RATE_LIMITS:
        return [
            Warning(
                "RATE_LIMITS is off, so passwords can be guessed as fast as the server answers.",
                hint="Unset RATE_LIMITS, or set it to on.",
                id="codecrafter.W001",
            )
        ]
    return []


@register(Tags.security)
def check_https(**kwargs: Any) -> list[CheckMessage]:
    if _is_production() and not settings.HTTPS:
        return [
            Warning(
                "HTTPS is off, so cookies travel in the clear.",
                hint="Put a proxy with a certificate in front, and set HTTPS=on and TRUSTED_PROXIES=1.",
                id="codecrafter.W002",
            )
        ]
    return []


@register(Tags.security)
def check_any_host(**kwargs: Any) -> list[CheckMessage]:
    if _is_production() and "*" in settings.ALLOWED_HOSTS:
        return [
            Warning(
                "ALLOWED_HOSTS allows every host, so any domain that points to this address is accepted as this site.",
                hint="Set ALLOWED_HOSTS to the names people use, such as ALLOWED_HOSTS=code.example.org.",
                id="codecrafter.W003",
            )
        ]
    return []


@register(Tags.security)
def check_public_url(**kwargs: Any) -> list[CheckMessage]:
    """Links in mails start with it, so it must lead to this installation."""
    if not _is_production() or not settings.ALLOWED_HOSTS:
        return []
    url = urlsplit(settings.PUBLIC_URL)
    if not settings.PUBLIC_URL:
        fault = "PUBLIC_URL is unset, and ALLOWED_HOSTS does not begin with a host name to derive it from."
    elif url.scheme not in ("http", "https") or not url.hostname or url.path or url.query or url.fragment:
        fault = f"PUBLIC_URL is {settings.PUBLIC_URL!r}, which is not a scheme and a host name."
    elif not validate_host(url.hostname, settings.ALLOWED_HOSTS):
        fault = f"PUBLIC_URL leads to {url.hostname}, which ALLOWED_HOSTS does not name."
    elif settings.HTTPS and url.scheme != "https":
        fault = "HTTPS is on, but PUBLIC_URL begins with http:."
    else:
        return []
    hint = "Set PUBLIC_URL to the address that people type, such as PUBLIC_URL=https://code.example.org."
    return [Error(fault, hint=hint, id="codecrafter.E010")]


@register(Tags.security)
def check_demo_people(**kwargs: Any) -> list[CheckMessage]:
    kept = settings.DATA_DIR / demo.FILE_NAME
    if not serves_this_machine_only() and kept.is_file():
        return [
            Error(
                "Others can reach this installation (according to HOST, ALLOWED_HOSTS, TRUSTED_PROXIES or HTTPS), but "
                "DATA_DIR has demo users, whose password everybody could have read.",
                hint="Set DATA_DIR (and DATABASE_URL) to a place of their own, or start once with HOST=127.0.0.1 and "
                f"without the other three, delete {' and '.join(demo.USERNAMES)} in the admin, and delete {kept}.",
                id="codecrafter.E009",
            )
        ]
    return []


@register(Tags.database)
def check_durability(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """COMMIT must wait for the disk: what the page reports as saved must be durable."""
    found: list[CheckMessage] = []
    for alias in databases or ():
        connection = connections[alias]
        if connection.vendor != "postgresql":
            continue
        with connection.cursor() as cursor:
            cursor.execute("SHOW synchronous_commit")
            level = cursor.fetchone()[0]
        if level not in ("on", "remote_apply"):
            found.append(
                Error(
                    f"synchronous_commit of the database is {level}: a crash could lose changes that the page "
                    "reported as saved.",
                    hint="Set synchronous_commit = on in postgresql.conf, or for this database: "
                    "ALTER DATABASE codecrafter SET synchronous_commit = on;",
                    id="codecrafter.E008",
                )
            )
    return found
