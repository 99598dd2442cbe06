"""What the tests of the live part share. Properties are judged by outcome; how long an example takes is not asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.live import LiveServer

if TYPE_CHECKING:
    from collections.abc import Iterator

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
