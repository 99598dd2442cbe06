"""Session fixtures for the real servers, for any test.

A service that cannot run here skips its tests with the reason; with REQUIRE_SERVICES=1 it fails them.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from tests.services import servers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest.mark import ParameterSet

ROOT = Path(__file__).resolve().parent.parent.parent
ENGINES = {"bare_docker_engine", "docker_engine"}
SERVERS = {"redis_url", "rabbitmq_url", "postgres_url", "mongodb_url", "mongo_store_url", *ENGINES}
OWN_PROCESSES = {"server", "strict", "mortal", "hasty", "chromium_path"}
SANDBOXES = ROOT / "tests" / "execution"
# Installations, and processes that a test starts for itself.
SLOW = {
    ROOT / "tests" / "accounts" / "test_single_sign_on.py",
    ROOT / "tests" / "operations" / "test_connections.py",
    ROOT / "tests" / "operations" / "test_data_dir.py",
    ROOT / "tests" / "operations" / "test_database_away.py",
    ROOT / "tests" / "project" / "test_setup.py",
    ROOT / "tests" / "realtime" / "test_live_access.py",
    ROOT / "tests" / "realtime" / "test_unload_and_drain.py",
}
# pytest-timeout counts fixtures in, and a service's first test waits for its start, or for images to be built.
START_SECONDS = 1200
NO_GROUP = pytest.mark.xdist_group("")
# The light families, each tried in its image; the others take minutes and gigabytes.
BUILD_IMAGES = (sys.executable, "-m", "execution.images.build")


# Before pytest-xdist reads the marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Under xdist (--dist loadgroup) the tests that need an engine share a worker, and so do those that need another
    server, so that each starts once; other tests with processes share one by module, for the servers of their own.

    All of these are slow: `make test-unit` leaves them out, as it does tests that are marked because they take seconds.
    """
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        needed = "engine" if ENGINES & names else "services" if SERVERS & names else None
        if needed and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(START_SECONDS))
        if needed or OWN_PROCESSES & names or item.path.is_relative_to(SANDBOXES) or item.path in SLOW:
            item.add_marker(pytest.mark.slow)
            if item.get_closest_marker("xdist_group") is None:
                item.add_marker(pytest.mark.xdist_group(needed or item.path.stem))
        if item.get_closest_marker("xdist_group", NO_GROUP.mark).args == ("engine",):
            item.add_marker(pytest.mark.engine)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """pytest-xdist passes groups on in the tests' ids, by a name that is pytest's own: without them a second worker
    would wait for the first one's engine."""
    if getattr(session.config.option, "loadgroup", False):
        for item in session.items:
            if item.get_closest_marker("xdist_group") and "@" not in item.nodeid.rpartition("]")[2]:
                pytest.exit(f"{item.nodeid} is not in its group: this pytest-xdist does not go with this pytest", 4)


def with_server(value: str) -> ParameterSet:
    """A parameter for which a test or fixture asks for one of SERVERS by name, which nobody sees before it runs."""
    marks = [pytest.mark.slow, pytest.mark.timeout(START_SECONDS), pytest.mark.xdist_group("services")]
    return pytest.param(value, marks=marks)


# Before any fixture of the test.
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    servers.may_start = item.get_closest_marker("slow") is not None


def missing(reason: str) -> NoReturn:
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(f"REQUIRE_SERVICES=1, and {reason}", pytrace=False)
    pytest.skip(reason)


def started(server: contextlib.AbstractContextManager[str]) -> Iterator[str]:
    with contextlib.ExitStack() as stack:
        try:
            address = stack.enter_context(server)
        except servers.Unavailable as error:
            missing(str(error))
        yield address


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    yield from started(servers.redis())


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    yield from started(servers.rabbitmq())


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    yield from started(servers.postgres())


@pytest.fixture(scope="session")
def mongodb_url() -> Iterator[str]:
    yield from started(servers.mongodb())


@pytest.fixture(scope="session")
def bare_docker_engine() -> Iterator[str]:
    """An engine without our images, which take minutes to build the first time."""
    yield from started(servers.docker())


def image_environment(docker_host: str) -> dict[str, str]:
    """For BUILD_IMAGES."""
    return {**os.environ, "DOCKER_HOST": docker_host}


@pytest.fixture(scope="session")
def docker_engine(bare_docker_engine: str) -> str:
    """The DOCKER_HOST of an engine that has the sandbox images."""
    built = subprocess.run(
        BUILD_IMAGES,
        check=False,
        cwd=ROOT,
        env=image_environment(bare_docker_engine),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if built.returncode:
        missing(f"the sandbox images could not be built:\n{built.stdout[-4000:]}")
    return bare_docker_engine


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The browser for playwright's executable_path."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        with contextlib.suppress(servers.Unavailable):
            return servers.program(name)
    missing("chromium is not installed")
