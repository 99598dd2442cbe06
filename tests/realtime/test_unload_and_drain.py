"""A room leaves memory, and a server ends, only with everything in the log; and while the database is away."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sqlite3
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from realtime.wire.protocol import encode_update
from tests.live import LiveServer, Person
from tests.realtime.page import close_code, page
from tests.realtime.test_plain_text import HOSTILE

if TYPE_CHECKING:
    from collections.abc import Iterator

UNSAVED = 20_000


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """Rooms leave it at once, it keeps little that is not saved, and it is seen to drain."""
    folder = tmp_path_factory.mktemp("forgetful") / "data"
    (folder / "static").mkdir(parents=True)
    settings = {
        "ROOM_TICK_SECONDS": "0.2",
        "ROOM_IDLE_SECONDS": "0.2",
        "ROOM_UNSAVED_MAX_BYTES": str(UNSAVED),
        "COMPACT_TAIL_ROWS": "20",
        "DRAIN_SECONDS": "3",
    }
    with LiveServer(folder, settings) as live:
        yield live


@pytest.fixture(scope="module")
def alice(forgetful: LiveServer) -> Person:
    return forgetful.person("alice")


def metric(server: LiveServer, name: str) -> float:
    body = httpx.get(f"{server.url}/metrics", timeout=60).text
    return sum(float(line.split()[-1]) for line in body.splitlines() if line.split("{")[0].split(" ")[0] == name)


async def until(condition: Any, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.1)


@contextlib.contextmanager
def database(server: LiveServer) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(server.data_dir / "codecrafter.sqlite3", timeout=60)) as opened:
        yield opened


def rows(server: LiveServer, query: str, session_id: str) -> list[Any]:
    with database(server) as opened:
        return opened.execute(query, [uuid.UUID(session_id).hex]).fetchall()


async def test_room_that_cannot_be_saved_stays_when_everybody_has_left(forgetful, alice):
    session_id = alice.new_session(content="")["id"]
    with database(forgetful) as opened:
        opened.execute(
            "CREATE TRIGGER refuses BEFORE INSERT ON sessions_app_update "
            f"WHEN NEW.document_id = '{uuid.UUID(session_id).hex}' BEGIN SELECT json('{{'); END"
        )
        opened.commit()
        failures = metric(forgetful, "realtime_commit_failures_total")
        async with page(alice, session_id) as one:
            await one.type("only here")
            await until(lambda: metric(forgetful, "realtime_commit_failures_total") > failures)
            assert one.acked < one.sent
        # Longer than an idle room stays, by the tick's own count of attempts.
        await until(lambda: metric(forgetful, "realtime_commit_failures_total") > failures + 3)
        assert metric(forgetful, "realtime_rooms") == 1
        opened.execute("DROP TRIGGER refuses")
        opened.commit()
    await until(lambda: alice.text(session_id) == "only here")
    await until(lambda: metric(forgetful, "realtime_rooms") == 0)


async def test_worker_compacts_the_log_of_a_room_that_left(forgetful, alice):
    session_id = alice.new_session(content="")["id"]
    async with page(alice, session_id) as one:
        for number in range(5):
            await one.type(f"{number} ")
            await one.saved()
    snapshot = "SELECT seq FROM sessions_app_snapshot WHERE document_id = ?"
    await until(lambda: rows(forgetful, snapshot, session_id) == [(6,)])
    steps = "SELECT first_seq, last_seq FROM sessions_app_segment WHERE document_id = ? ORDER BY last_seq"
    assert rows(forgetful, steps, session_id) == [(1, 1), (2, 6)]
    async with page(alice, session_id) as one:
        assert one.text == "0 1 2 3 4 "
        await one.type("5 ")
        await one.saved()
    assert alice.text(session_id) == "0 1 2 3 4 5 "


async def test_update_that_breaks_a_replica_is_kept_and_told_and_fills_nothing(forgetful, alice):
    bob = forgetful.person("bob")
    session_id = alice.new_session(content="print(1)\n")["id"]
    alice.let_in(session_id, bob)
    logged = len(forgetful.log())
    async with page(alice, session_id) as one:
        for _ in range(6):
            async with page(bob, session_id) as writer:
                await writer.socket.send(encode_update(HOSTILE["value"]))
                await writer.until(lambda writer=writer: writer.said("refused"))
                with pytest.raises(ConnectionClosed):
                    await asyncio.wait_for(writer.socket.wait_closed(), 60)
                    await writer.socket.recv()
                assert writer.socket.close_code == 4400
        await one.type("# whole\n", at=0)
        await one.saved()
        await until(lambda: rows(forgetful, "SELECT 1 FROM sessions_app_quarantined WHERE document_id = ?", session_id))
    kept = "SELECT user_id, payload, seq FROM sessions_app_quarantined WHERE document_id = ?"
    assert rows(forgetful, kept, session_id) == [(uuid.UUID(bob.id).hex, HOSTILE["value"], None)]
    assert alice.text(session_id) == "# whole\nprint(1)\n"
    log = forgetful.log()[logged:]
    assert log.count("broke the replica") == 1
    assert "Traceback" not in log


async def test_room_that_cannot_save_takes_no_more_after_a_while_and_says_so(forgetful, alice):
    session_id = alice.new_session(content="")["id"]
    async with page(alice, session_id) as one:
        with database(forgetful) as lock:
            lock.isolation_level = None
            lock.execute("BEGIN EXCLUSIVE")
            for _ in range(5):
                await one.type("x" * (UNSAVED // 2))
            await one.until(lambda: one.said("error"))
            assert one.said("error")[0]["code"] == "not_saving"
            assert one.acked < one.sent
            lock.execute("ROLLBACK")
        await one.saved()
    assert alice.text(session_id) == "x" * (UNSAVED // 2) * 5


async def test_server_that_is_told_to_stop_says_so_takes_nobody_new_and_saves(forgetful, alice):
    session_id = alice.new_session(content="")["id"]
    async with page(alice, session_id) as one:
        stopping = asyncio.create_task(asyncio.to_thread(forgetful.stop))
        try:
            async with httpx.AsyncClient(timeout=60) as client:
                while not (ready := await client.get(f"{forgetful.url}/health/ready")).json()["draining"]:
                    pass
            assert ready.status_code == 503
            # People who are there go on, and nobody new comes in.
            await one.type("to the end")
            await one.saved()
            assert await close_code(alice, alice.socket_url(session_id)) == 1012
            await one.socket.wait_closed()
            assert one.socket.close_code == 1012
        finally:
            assert await stopping == 0
    await asyncio.to_thread(forgetful.start)
    assert alice.text(session_id) == "to the end"


class Cable:
    """A way to PostgreSQL that can be cut: everything on it ends, and nothing new gets through."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._ends: list[socket.socket] = []
        self.is_cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self.is_cut = True
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._ends.clear()

    def mend(self) -> None:
        self.is_cut = False

    def close(self) -> None:
        self.cut()
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                if self.is_cut:
                    near.close()
                    continue
                far = socket.create_connection(self._target)
                self._ends += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


async def test_postgresql_may_go_and_come_back_while_people_type(postgres_url, tmp_path):
    """And when it is away at the very end, the process ends all the same and says what is not saved."""
    where, _, name = postgres_url.rpartition("/")
    user, _, port = where.rpartition(":")
    cable = Cable(int(port))
    (tmp_path / "data" / "static").mkdir(parents=True)
    settings = {"DATABASE_URL": f"{user}:{cable.port}/{name}", "ROOM_TICK_SECONDS": "0.5"}
    try:
        with LiveServer(tmp_path / "data", settings) as live:
            alice, bob = live.person("alice"), live.person("bob")
            session_id = alice.new_session(content="")["id"]
            alice.let_in(session_id, bob)
            async with page(alice, session_id) as one, page(bob, session_id) as other:
                await one.type("before ")
                await one.saved()
                cable.cut()
                acked = one.acked
                for number in range(20):
                    await one.type(f"{number} ")
                await other.type("too ", at=0)
                await other.until(lambda: "19 " in other.text)
                await one.until(lambda: one.text == other.text)
                await until(lambda: "could not be committed" in live.log())
                assert one.acked == acked
                cable.mend()
                await one.saved()
                await other.saved()
                assert one.text == other.text
                text = one.text
                # Calls are refused until the server has seen that the database answers again.
                await until(lambda: alice.http.get(f"/api/sessions/{session_id}").json().get("content") == text)
                cable.cut()
                await one.type("never saved")
                started = time.monotonic()
                code = await asyncio.to_thread(live.stop)
                assert code == 0, (code, time.monotonic() - started)
                await one.socket.wait_closed()
                assert one.socket.close_code == 1012
                assert one.acked < one.sent
            assert "1 changes of 1 sessions unsaved" in live.log()
            assert session_id in live.log().rpartition("unsaved")[2]
    finally:
        cable.close()
