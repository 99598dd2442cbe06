"""While PostgreSQL hangs or is gone, people are told so and wait for nothing; when it is back, everything goes on."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from tests.live import LiveServer, Person
from tests.services import servers
from tests.services.fixtures import START_SECONDS, started

# More than there would be time for if each waited for the pool or for the database.
COUNT = 60


@contextlib.contextmanager
def stopped(postmaster: psutil.Process) -> Iterator[None]:
    """Every process of the database is there and does nothing."""
    processes = [postmaster, *postmaster.children(recursive=True)]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


def until(status: int, alice: Person) -> None:
    """Ask until this is the answer. Whatever comes before is no failure of ours."""
    deadline = time.monotonic() + 60
    while (answer := alice.http.get("/api/sessions")).status_code != status:
        assert answer.status_code in (200, 503), answer.text
        assert time.monotonic() < deadline
        time.sleep(0.05)


def all_are_refused(alice: Person) -> None:
    until(503, alice)
    for _ in range(COUNT):
        for answer in (alice.http.get("/api/sessions"), alice.http.post("/api/sessions", json={"title": "Lost"})):
            assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert int(answer.headers["Retry-After"]) > 0
    page = httpx.get(f"{alice.server.url}/login")
    assert page.status_code == 503 and "The database is not responding" in page.text
    assert page.headers["Content-Type"].startswith("text/html") and page.headers["Cache-Control"] == "no-store"
    assert httpx.get(f"{alice.server.url}/health").status_code == 200
    assert httpx.get(f"{alice.server.url}/health/ready", timeout=60).status_code == 503


@pytest.mark.timeout(START_SECONDS)
def test_requests_are_refused_at_once_while_the_database_hangs_or_is_gone(tmp_path):
    with contextlib.ExitStack() as stack:
        database_url = stack.enter_context(contextlib.contextmanager(started)(servers.postgres()))
        live = stack.enter_context(LiveServer(tmp_path / "data", {"DATABASE_URL": database_url}))
        alice = live.person("alice")
        with psycopg.connect(database_url) as connection:
            (folder,) = connection.execute("SHOW data_directory").fetchone() or ("",)
        postmaster = psutil.Process(int((Path(folder) / "postmaster.pid").read_text().split()[0]))
        with stopped(postmaster):
            all_are_refused(alice)
        until(200, alice)
        assert [alice.http.get("/api/sessions").status_code for _ in range(COUNT)] == [200] * COUNT
        postmaster.send_signal(signal.SIGINT)
        all_are_refused(alice)
