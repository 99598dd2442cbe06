"""What deploy/engine_proxy.py writes to the engine, byte for byte, before an engine that answers from a script."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from deploy import engine_proxy
from execution.sandbox.container import DEADLINE_LABEL, JOB_LABEL, LABELS, OWNER_LABEL, Container
from execution.sandbox.image_names import image_of
from execution.sandbox.limits import RUN
from tests.services import servers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

OURS = "a" * 64
IMAGE = image_of("core")
DEADLINE = str(int(time.time()) + 600)
OUR_LABELS = {JOB_LABEL: "1", DEADLINE_LABEL: DEADLINE, OWNER_LABEL: "boot:1:1"}
SANDBOX = Container.of(IMAGE, "", RUN, "python", OUR_LABELS).create_body()
INSPECTED = {
    "Id": OURS,
    "Created": "2020-01-01T00:00:00Z",
    "Path": "python3",
    "State": {"Status": "running", "Running": True, "Pid": 17},
    "Config": {"Labels": {**OUR_LABELS, "codecrafter.recipe": "1"}, "Env": ["PASSWORD=x"]},
    "HostConfig": {"Binds": None},
}
VERSION = {"Version": "20.10.24", "ApiVersion": "1.41", "Os": "linux", "KernelVersion": "6"}
ATTACH = "stdin=1&stdout=1&stderr=1&stream=1"
UPGRADE = "Connection: Upgrade\r\nUpgrade: tcp\r\n"
FILTER = '{"label":["codecrafter.job"]}'.replace('"', "%22")


class Engine:
    """Answers every request from a table, by its request line without the version, and keeps what it was sent."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, object]] = {
            "GET /version": (200, VERSION),
            "GET /containers/json": (200, []),
            f"GET /containers/{OURS}/json": (200, INSPECTED),
            f"POST /containers/{OURS}/wait": (200, {"StatusCode": 0, "Error": None}),
            f"POST /containers/{OURS}/start": (204, None),
            f"POST /containers/{OURS}/kill": (204, None),
            f"POST /containers/{OURS}/attach": (101, None),
            f"DELETE /containers/{OURS}": (204, None),
            "POST /containers/create": (201, {"Id": OURS, "Warnings": ["x"]}),
            f"GET /images/{IMAGE}/json": (200, {"Id": "sha256:1", "Config": {"Labels": {}, "Env": ["A=b"]}}),
        }
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.after: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            self.bodies.append(await reader.readexactly(int(lines.get("Content-Length", 0))))
            method, target, _ = head.split("\r\n")[0].split(" ")
            path = target.partition("?")[0]
            version, _, rest = path[1:].partition("/")
            asked = f"{method} {'/' + rest if version.startswith('v1.') else path}"
            status, value = self.answers.get(asked, (404, {"message": "No such thing"}))
            body = b"" if value is None else json.dumps(value).encode()
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n\r\n".encode() + body)
            if status == 101:
                writer.write(b"hello")
                self.after.append(await reader.read())

    @property
    def asked(self) -> list[str]:
        """The request lines, without the question what the engine is."""
        lines = [head.split("\r\n")[0] for head in self.heads]
        return [line for line in lines if line != "GET /version HTTP/1.0"]


class Before:
    """A proxy in front of a scripted engine."""

    def __init__(self, engine: Engine, port: int) -> None:
        self.engine = engine
        self.port = port

    async def say(self, sent: bytes, *, ends: bool = False) -> tuple[int, bytes]:
        """The status and the rest of what comes back until the end; with `ends` the client stops sending."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        with contextlib.closing(writer):
            writer.write(sent)
            if ends:
                writer.write_eof()
            received = b""
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(20):
                    received = await reader.read(-1)
        head, _, body = received.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]) if head else 0, body

    async def ask(self, line: str, headers: str = "", body: bytes = b"") -> tuple[int, Any]:
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        status, said = await self.say(f"{line} HTTP/1.1\r\nHost: x\r\n{headers}{length}\r\n".encode() + body)
        return status, json.loads(said) if said.startswith((b"{", b"[")) else said


@contextlib.asynccontextmanager
async def before(environment: Mapping[str, str] | None = None) -> AsyncIterator[Before]:
    engine = Engine()
    with servers.folder() as folder:
        scripted = await asyncio.start_unix_server(engine.serve, folder / "s")
        made = engine_proxy.Proxy(engine_proxy.Engine(str(folder / "s")), engine_proxy.Policy.of(environment or {}))
        server = await asyncio.start_server(made.serve, "127.0.0.1", 0, limit=engine_proxy.HEAD_MAX_BYTES)
        async with scripted, server:
            yield Before(engine, server.sockets[0].getsockname()[1])


@pytest.fixture
async def proxy() -> AsyncIterator[Before]:
    async with before() as made:
        yield made


RESOLVED = f"GET /v1.41/containers/{OURS}/json HTTP/1.0"
LISTED = "GET /v1.41/containers/json?all={}&filters={} HTTP/1.0"


def filters(*more: str) -> str:
    return urlencode({"": json.dumps({"label": [*sorted(LABELS), *more]})})[1:]


@pytest.mark.parametrize(
    ("line", "headers", "written"),
    [
        ("GET /_ping", "", ["GET /v1.41/_ping HTTP/1.0"]),
        ("GET /v1.43/version", "", []),
        ("GET /info", "", ["GET /v1.41/info HTTP/1.0"]),
        (f"GET /v1.42/images/{IMAGE}/json", "", [f"GET /v1.41/images/{IMAGE}/json HTTP/1.0"]),
        (f"GET /containers/{OURS}/json", "", [RESOLVED]),
        (f"POST /v1.44/containers/{OURS}/start", "", [RESOLVED, f"POST /v1.41/containers/{OURS}/start HTTP/1.0"]),
        (f"POST /containers/{OURS}/kill", "", [RESOLVED, f"POST /v1.41/containers/{OURS}/kill HTTP/1.0"]),
        (f"POST /containers/{OURS}/wait", "", [RESOLVED, f"POST /v1.41/containers/{OURS}/wait HTTP/1.0"]),
        (
            f"DELETE /containers/{OURS}?link=False&v=True&force=True",
            "",
            [RESOLVED, f"DELETE /v1.41/containers/{OURS}?v=1&force=1 HTTP/1.0"],
        ),
        (
            f"GET /containers/json?limit=-1&all=1&size=0&trunc_cmd=0&filters={FILTER}",
            "",
            [LISTED.format(1, filters("codecrafter.job"))],
        ),
        (f"GET /containers/json?filters={FILTER}", "", [LISTED.format(0, filters("codecrafter.job"))]),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
async def test_the_engine_is_asked_in_the_proxys_own_words(
    proxy: Before, line: str, headers: str, written: list[str]
) -> None:
    await proxy.ask(line, "X-Registry-Auth: e30=\r\nX-Forwarded-For: 1.1.1.1\r\nUser-Agent: evil\r\n" + headers)
    assert proxy.engine.asked == written
    for head in proxy.engine.heads:
        assert {line.split(":")[0] for line in head.split("\r\n")[1:] if line} == {"Host", "Content-Length"}
    assert set(proxy.engine.bodies) == {b""}


async def test_a_create_is_written_anew(proxy: Before) -> None:
    spaced = json.dumps(SANDBOX | {"Domainname": None}, indent=4, sort_keys=True).encode()
    assert await proxy.ask("POST /containers/create", body=spaced) == (201, {"Id": OURS, "Warnings": []})
    assert proxy.engine.asked == [LISTED.format(1, filters()), "POST /v1.41/containers/create HTTP/1.0"]
    assert json.loads(proxy.engine.bodies[-1]) == SANDBOX
    assert b"\n" not in proxy.engine.bodies[-1]


async def test_what_is_attached_goes_through_and_only_that(proxy: Before) -> None:
    head = f"POST /containers/{OURS}/attach?{ATTACH} HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\n".encode()
    status, said = await proxy.say(head + b"GET /volumes HTTP/1.1\r\n\r\n", ends=True)
    assert (status, said) == (101, b"hello")
    assert proxy.engine.asked == [RESOLVED, f"POST /v1.41/containers/{OURS}/attach?{ATTACH} HTTP/1.1"]
    assert proxy.engine.after == [b"GET /volumes HTTP/1.1\r\n\r\n"]


@pytest.mark.parametrize("status", [200, 204, 304, 400, 404, 500])
async def test_bytes_behind_a_request_stay_here_unless_the_engine_attached(proxy: Before, status: int) -> None:
    proxy.engine.answers[f"POST /containers/{OURS}/attach"] = (status, None)
    head = f"POST /containers/{OURS}/attach?{ATTACH} HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\n".encode()
    told, _ = await proxy.say(head + b"POST /volumes/prune HTTP/1.1\r\n\r\n")
    assert told == (status if status >= 400 else 502)
    assert len(proxy.engine.asked) == 2
    assert not proxy.engine.after


@pytest.mark.parametrize(
    "line",
    [
        "GET /_ping",
        "GET /version",
        "GET /containers/json?filters=" + FILTER,
        f"GET /containers/{OURS}/json",
        f"POST /containers/{OURS}/start",
        f"POST /containers/{OURS}/kill",
        f"POST /containers/{OURS}/wait",
        f"POST /containers/{OURS}/attach?{ATTACH}",
        f"DELETE /containers/{OURS}?v=True&link=False&force=True",
    ],
)
async def test_no_call_but_create_takes_a_body(proxy: Before, line: str) -> None:
    for body in (b"{}", b'{"Privileged":true}', b" "):
        assert (await proxy.ask(line, UPGRADE, body))[0] == 403
    assert proxy.engine.asked == []


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /containers/create HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /containers/create HTTP/1.1\r\nTransfer-Encoding:\tchunked\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /containers/create HTTP/1.1\r\nContent-Length: 2\r\ncontent-length: 2\r\n\r\n{}",
        b"GET /_ping HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
        b"GET /_ping HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nContent-Length: +2\r\n\r\n{}",
        b"GET /_ping HTTP/1.1\r\nContent-Length: 2, 2\r\n\r\n{}",
        b"GET /_ping HTTP/1.1\r\nContent-Length: 0x2\r\n\r\n{}",
        b"GET /_ping HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nContent-Length:\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nContent-Length : 2\r\n\r\n{}",
        b"GET /_ping HTTP/1.1\r\nHost: a\r\n Content-Length: 2\r\n\r\n{}",
        b"GET /_ping HTTP/1.1\r\nHost: a\nContent-Length: 2\r\n\r\n{}",
        b"GET /_ping HTTP/1.1\r\nHost: a\rContent-Length: 2\r\n\r\n{}",
        b"GET /_ping HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: \xc4\xb2\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\n: x\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET  /_ping HTTP/1.1\r\n\r\n",
        b"GET\t/_ping HTTP/1.1\r\n\r\n",
        b"GET /_ping HTTP/1.1 \r\n\r\n",
        b"GET /_ping HTTP/2.0\r\n\r\n",
        b"GET /_ping\r\n\r\n",
        b"get /_ping HTTP/1.1\r\n\r\n",
        b"GET http://engine/_ping HTTP/1.1\r\n\r\n",
        b"GET _ping HTTP/1.1\r\n\r\n",
        b"GET /_ping\xc3\xa9 HTTP/1.1\r\n\r\n",
        b"GET /_ping\x00 HTTP/1.1\r\n\r\n",
        b"\r\n\r\nGET /_ping HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=lambda sent: repr(sent[:70]),
)
async def test_a_request_that_could_be_read_in_two_ways_is_refused(proxy: Before, sent: bytes) -> None:
    assert (await proxy.say(sent))[0] in (400, 403)
    assert proxy.engine.heads == []


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /_ping HTTP/1.1\r\n",
        b"POST /containers/create HTTP/1.1\r\nContent-Length: 5\r\n\r\n{}",
        b"GET /_ping HTTP/1.1\r\nLong: " + b"x" * 100_000,
        b"",
    ],
    ids=["half a head", "half a body", "a long head", "nothing"],
)
async def test_half_a_request_never_reaches_the_engine(proxy: Before, sent: bytes) -> None:
    assert (await proxy.say(sent, ends=True))[0] in (0, 400)
    assert proxy.engine.heads == []


@pytest.mark.parametrize("name", [OURS[:12], "called-so", OURS])
async def test_what_is_done_to_a_name_is_done_to_the_id_it_had(proxy: Before, name: str) -> None:
    proxy.engine.answers[f"GET /containers/{name}/json"] = (200, INSPECTED)
    for verb in ("start", "kill", "wait"):
        await proxy.ask(f"POST /containers/{name}/{verb}")
        assert proxy.engine.asked[-1] == f"POST /v1.41/containers/{OURS}/{verb} HTTP/1.0"
    await proxy.ask(f"DELETE /containers/{name}?v=True&link=False&force=True")
    assert proxy.engine.asked[-1].startswith(f"DELETE /v1.41/containers/{OURS}?")
    await proxy.say(f"POST /containers/{name}/attach?{ATTACH} HTTP/1.1\r\n{UPGRADE}\r\n".encode(), ends=True)
    assert proxy.engine.asked[-1].startswith(f"POST /v1.41/containers/{OURS}/attach?")


@pytest.mark.parametrize(
    "found",
    [
        (404, {"message": "No such container"}),
        (200, INSPECTED | {"Config": {"Labels": {"codecrafter.recipe": "1", "codecrafter.agent": "1"}}}),
        (200, INSPECTED | {"Config": {"Labels": {JOB_LABEL: "1", DEADLINE_LABEL: DEADLINE}}}),
        (200, INSPECTED | {"Config": {"Labels": None}}),
        (200, INSPECTED | {"Config": {"Labels": {name.upper(): "1" for name in LABELS}}}),
        (200, INSPECTED | {"Id": OURS[:12]}),
        (200, INSPECTED | {"Id": f"{OURS}/../{OURS}"}),
        (200, {}),
        (500, {"message": "broken"}),
        (301, None),
    ],
    ids=[
        "absent",
        "of an image alone",
        "without an owner",
        "without labels",
        "labels in capitals",
        "a short id",
        "a path for an id",
        "nothing",
        "a failure",
        "a redirect",
    ],
)
async def test_nothing_follows_a_look_up_that_finds_no_sandbox(proxy: Before, found: tuple[int, object]) -> None:
    proxy.engine.answers["GET /containers/name/json"] = found
    for verb in ("start", "kill", "wait", f"attach?{ATTACH}"):
        status, _ = await proxy.ask(f"POST /containers/name/{verb}", UPGRADE)
        assert status == (found[0] if found[0] >= 400 else 403)
    await proxy.ask("DELETE /containers/name?v=True&link=False&force=True")
    assert set(proxy.engine.asked) == {"GET /v1.41/containers/name/json HTTP/1.0"}


@pytest.mark.parametrize(("spoken", "written"), [("1.41", "v1.41"), ("1.43", "v1.43"), ("1.52", "v1.44")])
async def test_one_version_is_spoken_whatever_the_client_says(proxy: Before, spoken: str, written: str) -> None:
    proxy.engine.answers["GET /version"] = (200, VERSION | {"ApiVersion": spoken})
    assert (await proxy.ask("GET /version"))[1]["ApiVersion"] == written[1:]
    for version in ("", "/v1.41", "/v1.44"):
        await proxy.ask(f"GET {version}/_ping")
        assert proxy.engine.asked[-1] == f"GET /{written}/_ping HTTP/1.0"
    asked = len(proxy.engine.heads)
    for version in ("/v1.40", "/v1.23", "/v1.0", "/v1.45", "/v1.999", "/v1.041", "/v2.0", "/v1", "/V1.41", "/v1.41.1"):
        assert (await proxy.ask(f"GET {version}/_ping"))[0] == 403
    assert len(proxy.engine.heads) == asked


async def test_an_engine_that_is_too_old_is_not_used(proxy: Before) -> None:
    proxy.engine.answers["GET /version"] = (200, VERSION | {"ApiVersion": "1.40"})
    assert (await proxy.ask("GET /_ping"))[0] == 502
    assert proxy.engine.asked == []


async def test_what_an_operator_allows_can_be_asked_for() -> None:
    gigabytes = 8 * 1024**3
    wanted = Container.of(image_of("core", "mine:v2"), "runsc", RUN, "c", OUR_LABELS).create_body()
    wanted["HostConfig"] |= {"Memory": gigabytes, "MemorySwap": gigabytes}
    chosen = {"SANDBOX_IMAGES": "mine:v2", "SANDBOX_RUNTIME": "runsc", "RUN_MAX_MEMORY_BYTES": str(gigabytes)}
    for environment, status in ((chosen, 201), *((chosen | {name: ""}, 403) for name in chosen)):
        async with before(environment) as proxy:
            assert (await proxy.ask("POST /containers/create", body=json.dumps(wanted).encode()))[0] == status


@pytest.mark.parametrize("name", ["RUN_MAX_WALL_MS", "RUN_MAX_INTERACTIVE_WALL_MS"])
async def test_a_sandbox_may_last_as_long_as_the_longest_run(name: str) -> None:
    day = 24 * 3600
    deadline = str(int(time.time()) + day + 120)
    wanted = Container.of(IMAGE, "", RUN, "c", OUR_LABELS | {DEADLINE_LABEL: deadline}).create_body()
    for environment, status in (({name: str(day * 1000)}, 201), ({}, 403)):
        async with before(environment) as proxy:
            assert (await proxy.ask("POST /containers/create", body=json.dumps(wanted).encode()))[0] == status


async def test_no_answer_of_the_engine_goes_through_as_it_is(proxy: Before) -> None:
    assert await proxy.ask(f"GET /images/{IMAGE}/json") == (200, {"Id": "sha256:1", "Config": {"Labels": {}}})
    status, told = await proxy.ask(f"GET /containers/{OURS}/json")
    assert (status, told["State"]["Status"]) == (200, "running")
    assert "PASSWORD" not in json.dumps(told) and "Pid" not in told["State"]
    assert await proxy.ask(f"POST /containers/{OURS}/start") == (204, b"")
    assert await proxy.ask(f"POST /containers/{OURS}/wait") == (200, {"StatusCode": 0})


async def test_silent_clients_keep_nobody_out(proxy: Before, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_proxy, "READ_SECONDS", 1)
    monkeypatch.setattr(engine_proxy, "MAX_CONNECTIONS", 20)
    silent = [await asyncio.open_connection("127.0.0.1", proxy.port) for _ in range(20)]
    assert (await proxy.ask("GET /version"))[0] == 0
    for reader, writer in silent:
        assert await reader.read() == b""
        writer.close()
    assert (await proxy.ask("GET /version"))[0] == 200


async def test_an_absent_engine_is_told() -> None:
    with servers.folder() as folder:
        proxy = engine_proxy.Proxy(engine_proxy.Engine(str(folder / "none")), engine_proxy.Policy.of({}))
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        async with server:
            status, said = await Before(Engine(), server.sockets[0].getsockname()[1]).ask("GET /_ping")
    assert (status, "does not answer" in said["message"]) == (502, True)
