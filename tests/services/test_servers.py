"""The servers that other tests rest on really are what they claim to be, and leave nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pymongo
import pytest
import redis
from kombu import Connection, Exchange, Queue

from tests.services import fixtures, servers

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


def test_redis_answers(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.ping()


def test_rabbitmq_delivers_from_a_quorum_queue(rabbitmq_url: str) -> None:
    queue = Queue("proof", Exchange("proof"), routing_key="proof", queue_arguments={"x-queue-type": "quorum"})
    with Connection(rabbitmq_url) as connection:
        connection.Producer().publish({"n": 1}, exchange=queue.exchange, routing_key="proof", declare=[queue])
        with connection.SimpleQueue(queue) as simple:
            message = simple.get(timeout=30)
            message.ack()
    assert message.payload == {"n": 1}


def test_postgres_answers_and_waits_for_the_disk(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)


def test_mongodb_keeps_a_document(mongodb_url: str) -> None:
    with pymongo.MongoClient[dict[str, object]](mongodb_url) as client:
        collection = client.get_default_database()["proof"]
        collection.insert_one({"n": 1})
        found = collection.find_one({"n": 1})
    assert found is not None


def test_docker_engine_answers(bare_docker_engine: str) -> None:
    asked = ["docker", "--host", bare_docker_engine, "version", "--format", "{{json .Server}}"]
    assert json.loads(subprocess.run(asked, capture_output=True, check=True).stdout)["Os"] == "linux"


def processes_naming(text: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command and int(path.parent.name) != os.getpid():
            found.append(command)
    return found


@pytest.mark.parametrize("server", [servers.redis, servers.rabbitmq, servers.postgres, servers.mongodb])
def test_a_server_is_gone_with_its_folder_after_a_failure(
    server: Callable[[], AbstractContextManager[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[Path] = []
    make = tempfile.mkdtemp

    def remembered(**options: str) -> str:
        folders.append(Path(make(**options)))
        return str(folders[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", remembered)
    try:
        with pytest.raises(ZeroDivisionError), server():
            raise ZeroDivisionError
    except servers.Unavailable as error:
        fixtures.missing(str(error))
    assert folders
    for directory in folders:
        assert not directory.exists()
        assert processes_naming(str(directory)) == []


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(servers.Unavailable, match="no-such-server is not installed"):
        servers.program("no-such-server")
