"""What the tests of the live part share. Properties are judged by outcome; how long an example takes is not asked."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.live import LiveServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

settings.register_profile("realtime", deadline=None)
settings.load_profile("realtime")

LIMITS = {
    "RATE_LIMITS": "on",
    **dict.fromkeys(("RATE_ANONYMOUS", "RATE_USER", "RATE_LOGIN_ADDRESS", "RATE_REGISTER"), "1000000/60"),
    "SOCKET_UPDATES_PER_SECOND": "40",
    "SOCKET_UPDATES_BURST": "20",
    "SOCKET_TEXTS_PER_SECOND": "40",
    "SOCKET_FRAMES_PER_SECOND": "100",
    "SOCKET_FIRST_FRAME_SECONDS": "1",
    "SOCKET_MAX_PER_USER_AND_ROOM": "3",
    "SOCKET_MAX_PER_USER": "4",
    "ROOM_MAX_WRITERS": "4",
    "ROOM_MAX_SOCKETS": "5",
    "SOCKET_MAX_BYTES": "200000",
    "TEXT_MAX_BYTES": "100000",
    "SOCKET_GRACE_SECONDS": "0.2",
}


@pytest.fixture(scope="package")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with the limits of sockets on, and small."""
    folder = tmp_path_factory.mktemp("strict") / "data"
    (folder / "static").mkdir(parents=True)
    with LiveServer(folder, LIMITS) as live:
        yield live


@contextmanager
def pair(folder: Path, settings: dict[str, str]) -> Iterator[tuple[LiveServer, LiveServer]]:
    with ExitStack() as stack:
        for name in ("one", "other"):
            # No pages are asked for here, and collecting their files takes seconds.
            (folder / name / "static").mkdir(parents=True)
        one, other = (stack.enter_context(LiveServer(folder / name, settings)) for name in ("one", "other"))
        yield one, other


@pytest.fixture(scope="package")
def database_url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture(scope="package")
def with_redis(
    tmp_path_factory: pytest.TempPathFactory, database_url: str, redis_url: str
) -> Iterator[tuple[LiveServer, LiveServer]]:
    # A tick that never comes in a test: what arrives came over Redis.
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "ROOM_TICK_SECONDS": "600"}
    with pair(tmp_path_factory.mktemp("redis"), environment) as servers:
        yield servers


@pytest.fixture(scope="package")
def without_redis(
    tmp_path_factory: pytest.TempPathFactory, database_url: str
) -> Iterator[tuple[LiveServer, LiveServer]]:
    environment = {"DATABASE_URL": database_url, "ROOM_TICK_SECONDS": "0.3"}
    with pair(tmp_path_factory.mktemp("alone"), environment) as servers:
        yield servers
