#!/usr/bin/env python3
"""A proxy between the worker and the container engine that allows sandboxes only.

Access to an engine's socket amounts to root on its host, so nothing that a client sends is passed on. Each call is
parsed and compared with the few that a sandbox needs, and the proxy writes a request of its own from what it parsed.
The engine's response is parsed and rewritten too. Only the streams of an attached sandbox pass through unchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import sys
import time
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

# When run by its path, it finds the description of a sandbox in the folder above.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from execution.sandbox import versions
from execution.sandbox.container import DEADLINE_LABEL, LABELS, Container, environment_of
from execution.sandbox.image_names import PREFIX, image_of
from execution.sandbox.job import default_compile_limits, default_run_limits
from languages import LANGUAGES
from languages.families import FAMILIES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

# The minor versions of the engine's API (1.x) that this file knows; Docker 20.10 speaks 1.41.
OLDEST_API, NEWEST_API = 41, 44
VERSION_SECONDS = 60
HEAD_MAX_BYTES = 16 * 1024
# The body of a create contains the seccomp profile.
BODY_MAX_BYTES = 128 * 1024
ANSWER_MAX_BYTES = 16 * 1024 * 1024
MESSAGE_MAX_CHARS = 500
READ_SECONDS = 10
ENGINE_SECONDS = 60
MAX_CONNECTIONS = 500
# No sandbox may last longer, whatever its deadline, unless a single run may.
LIFE_SECONDS = 2 * 3600
# Time for a sandbox to start, and to be removed after the longest run.
LIFE_MARGIN_SECONDS = 600

REQUEST_LINE = re.compile(r"([A-Z]{1,16}) (?:/v1\.([1-9][0-9]{0,2}))?/([!-~]*) HTTP/1\.[01]")
HEADER = re.compile(r"([A-Za-z0-9-]+):[ \t]*([\t -~]*)")
CONTAINER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
CONTAINER_ID = re.compile(r"[0-9a-f]{64}")
LABEL_FILTER = re.compile(rf"(?:{'|'.join(map(re.escape, sorted(LABELS)))})(?:=[ -~]{{1,200}})?")
LIST_DEFAULTS = {"limit": "-1", "size": "0", "trunc_cmd": "0"}
ATTACH = {"stdin": "1", "stdout": "1", "stderr": "1", "stream": "1"}
REMOVE = {"v": "True", "link": "False", "force": "True"}
STATE = ("Status", "Running", "OOMKilled", "ExitCode", "Error", "StartedAt", "FinishedAt")
UPGRADED = (
    b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
    b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
)

log = logging.getLogger("engine_proxy")


class Refused(Exception):
    """Ends the call with this status and reason."""

    def __init__(self, reason: str, status: int = HTTPStatus.FORBIDDEN) -> None:
        super().__init__(reason)
        self.status = int(status)


def require(holds: bool, otherwise: str, status: int = HTTPStatus.FORBIDDEN) -> None:
    if not holds:
        raise Refused(otherwise, status)


@dataclass(frozen=True)
class Policy:
    """What a sandbox may consist of, how large it may be, and how many there may be."""

    images: frozenset[str]
    runtimes: frozenset[str]
    environments: frozenset[tuple[str, ...]]
    most: Container
    count: int
    life_seconds: float

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Policy:
        """Derive the policy. Its ceilings are the most that a language's limits, or a request, can amount to."""
        prefixes = (environment.get("SANDBOX_IMAGES") or PREFIX).split(",")
        limits = [versions.LIMITS]
        for language in LANGUAGES.values():
            limits += [default_run_limits(language), default_compile_limits(language)]
        asked = int(environment.get("RUN_MAX_MEMORY_BYTES") or 0)
        longest_ms = max(int(environment.get(name) or 0) for name in ("RUN_MAX_WALL_MS", "RUN_MAX_INTERACTIVE_WALL_MS"))
        most = replace(
            versions.LIMITS,
            memory_bytes=max(asked, *(limit.memory_bytes for limit in limits)),
            cpus=max(limit.cpus for limit in limits),
            processes=max(limit.processes for limit in limits),
            disk_bytes=max(limit.disk_bytes for limit in limits),
        )
        return cls(
            images=frozenset(image_of(family, prefix) for prefix in prefixes for family in FAMILIES),
            runtimes=frozenset({"", environment.get("SANDBOX_RUNTIME", "")}),
            environments=frozenset(environment_of(key) for key in LANGUAGES),
            most=Container.of("", "", most, "", {}),
            count=int(environment.get("SANDBOX_MAX_COUNT") or 200),
            life_seconds=max(LIFE_SECONDS, longest_ms / 1000 + LIFE_MARGIN_SECONDS),
        )

    def read(self, body: bytes) -> Container:
        """Parse the body of a create, which must describe a sandbox within the ceilings. Raises Refused."""
        try:
            asked = Container.read(read_json(body))
            self.check(asked)
        except (ValueError, TypeError) as error:
            raise Refused(str(error)) from error
        return asked

    def check(self, asked: Container) -> None:
        require(asked.image in self.images, "the image is not a sandbox's")
        require(asked.runtime in self.runtimes, "the runtime is not SANDBOX_RUNTIME")
        require(asked.environment in self.environments, "Env is not a sandbox's")
        for name in ("memory_bytes", "cpu_quota_us", "pids", "disk_bytes", "scratch_bytes"):
            value, most = getattr(asked, name), getattr(self.most, name)
            require(type(value) is int and 0 < value <= most, f"{name} is not a number from 1 to {most}")
        require(asked.labels.keys() == LABELS, "Labels are not a sandbox's")
        for value in asked.labels.values():
            require(re.fullmatch(r"[ -~]{0,200}", value) is not None, "a label is too long, or not printable")
        deadline = asked.labels[DEADLINE_LABEL]
        require(re.fullmatch(r"[0-9]{1,12}", deadline) is not None, "the deadline is not a time")
        require(int(deadline) <= time.time() + self.life_seconds, "the deadline is too far away")


@dataclass(frozen=True)
class Call:
    """A parsed request. The API version in its path was checked and is left out."""

    method: str
    words: tuple[str, ...]
    query: Mapping[str, str]
    body: bytes
    upgrades: bool


async def read_call(reader: asyncio.StreamReader) -> Call | None:
    """Read one request; None if the client sends nothing. Refuses anything ambiguous."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        require(not error.partial, "incomplete request", HTTPStatus.BAD_REQUEST)
        return None
    except asyncio.LimitOverrunError as error:
        raise Refused("the head is too long", HTTPStatus.BAD_REQUEST) from error
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    asked = REQUEST_LINE.fullmatch(first)
    if asked is None:
        raise Refused("not a call that a sandbox takes", HTTPStatus.BAD_REQUEST)
    method, version, target = asked.groups()
    require(version is None or OLDEST_API <= int(version) <= NEWEST_API, f"API 1.{version} is not spoken here")
    headers = read_headers(lines)
    path, _, query = target.partition("?")
    return Call(
        method,
        tuple(path.split("/")),
        read_query(query),
        await read_body(reader, headers),
        headers.get("connection", "").lower() == "upgrade" and headers.get("upgrade", "").lower() == "tcp",
    )


def read_headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        header = HEADER.fullmatch(line)
        if header is None or header[1].lower() in headers:
            raise Refused("not a header", HTTPStatus.BAD_REQUEST)
        headers[header[1].lower()] = header[2].strip()
    return headers


async def read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    require("transfer-encoding" not in headers, "a body needs its length", HTTPStatus.BAD_REQUEST)
    length = headers.get("content-length", "0")
    is_bounded = re.fullmatch(r"[0-9]{1,7}", length) is not None and int(length) <= BODY_MAX_BYTES
    require(is_bounded, "the body is too long", HTTPStatus.BAD_REQUEST)
    try:
        return await reader.readexactly(int(length))
    except asyncio.IncompleteReadError as error:
        raise Refused("incomplete body", HTTPStatus.BAD_REQUEST) from error


def read_query(query: str) -> dict[str, str]:
    try:
        return once(parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict") if query else [])
    except ValueError as error:
        raise Refused("the query is not readable") from error


def read_json(text: bytes) -> Any:
    try:
        return json.loads(text.decode(), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise Refused("the JSON is not readable") from error


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    require(len(dict(pairs)) == len(pairs), "duplicate name")
    return dict(pairs)


@dataclass(frozen=True)
class Answer:
    """A response, from the engine or to the client. `value` is JSON, or a str that is sent as it is."""

    status: int
    value: Any

    def __bytes__(self) -> bytes:
        has_body = self.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
        is_text = isinstance(self.value, str)
        body = (self.value if is_text else json.dumps(self.value)).encode() if has_body else b""
        lines = [f"HTTP/1.1 {self.status} Answer", "Connection: close"]
        if has_body:
            kind = "text/plain" if is_text else "application/json"
            lines += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + body


class Engine:
    """The engine behind its socket. Paths are given without a version. Every failure raises Refused."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._version: dict[str, str] = {}
        self._asked_at = 0.0

    async def version(self) -> dict[str, str]:
        """Ask the engine what it is, and settle on the newest API version that both know."""
        if not self._version or time.monotonic() - self._asked_at > VERSION_SECONDS:
            told = (await self._exchange("GET", "/version")).value
            number = re.fullmatch(r"1\.([0-9]{1,3})", str(told.get("ApiVersion")))
            if number is None or int(number[1]) < OLDEST_API:
                raise Refused(f"the engine is older than API 1.{OLDEST_API}", HTTPStatus.BAD_GATEWAY)
            api = f"1.{min(int(number[1]), NEWEST_API)}"
            self._version = {"Version": str(told.get("Version")), "ApiVersion": api, "MinAPIVersion": api}
            self._asked_at = time.monotonic()
        return self._version

    async def ask(self, method: str, path: str, query: Mapping[str, str] | None = None, body: Any = None) -> Answer:
        """Send a request and return the response. Raises Refused if it is an error."""
        answer = await self._exchange(method, await self._target(path, query), body)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise Refused(f"the engine says: {answer.value.get('message')}", answer.status)
        return answer

    @contextlib.asynccontextmanager
    async def attached(self, container: str) -> AsyncIterator[Streams]:
        """Attach to a container, and return its streams once the engine has switched the connection over."""
        target = await self._target(f"/containers/{container}/attach", ATTACH)
        lines = [f"POST {target} HTTP/1.1", "Host: engine", "Connection: Upgrade", "Upgrade: tcp", "Content-Length: 0"]
        async with self._connection() as (reader, writer):
            writer.write("\r\n".join([*lines, "", ""]).encode())
            async with asyncio.timeout(ENGINE_SECONDS):
                status = read_status(await reader.readuntil(b"\r\n\r\n"))
            if status != HTTPStatus.SWITCHING_PROTOCOLS:
                raise Refused("the engine did not attach", status if status >= HTTPStatus.BAD_REQUEST else 502)
            yield reader, writer

    async def _target(self, path: str, query: Mapping[str, str] | None) -> str:
        return f"/v{(await self.version())['ApiVersion']}{path}" + (f"?{urlencode(query)}" if query else "")

    async def _exchange(self, method: str, target: str, body: Any = None) -> Answer:
        sent = b"" if body is None else json.dumps(body).encode()
        # With HTTP/1.0, the response is not chunked and ends with the connection.
        lines = [f"{method} {target} HTTP/1.0", "Host: engine", f"Content-Length: {len(sent)}"]
        if sent:
            lines.append("Content-Type: application/json")
        async with self._connection() as (reader, writer), asyncio.timeout(ENGINE_SECONDS):
            writer.write("\r\n".join([*lines, "", ""]).encode() + sent)
            received = bytearray()
            while chunk := await reader.read(64 * 1024):
                received += chunk
                require(len(received) <= ANSWER_MAX_BYTES, "the engine says too much", HTTPStatus.BAD_GATEWAY)
        head, _, content = bytes(received).partition(b"\r\n\r\n")
        return Answer(read_status(head), read_json(content) if content.startswith((b"{", b"[")) else {})

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Streams]:
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket, limit=HEAD_MAX_BYTES)
            with contextlib.closing(writer):
                yield reader, writer
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            log.error("the engine does not answer: %r", error)
            raise Refused("the engine does not answer", HTTPStatus.BAD_GATEWAY) from error


def sandboxes(*more: str) -> str:
    """Build the filter for objects that carry all labels of a sandbox, and these."""
    return json.dumps({"label": [*sorted(LABELS), *more]})


def read_status(head: bytes) -> int:
    found = re.match(rb"HTTP/1\.[01] ([1-5][0-9][0-9])\b", head)
    if found is None:
        raise Refused("the engine's answer is not HTTP", HTTPStatus.BAD_GATEWAY)
    return int(found[1])


class Proxy:
    def __init__(self, engine: Engine, policy: Policy) -> None:
        self.engine = engine
        self.policy = policy
        self._connections = 0
        self._creating = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection: one request, one response."""
        self._connections += 1
        try:
            if self._connections <= MAX_CONNECTIONS:
                await self._serve(reader, writer)
            else:
                log.warning("closed one connection of more than %d", MAX_CONNECTIONS)
        except OSError as error:
            log.info("a client is gone, or too slow: %r", error)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                async with asyncio.timeout(READ_SECONDS):
                    await writer.wait_closed()
            writer.transport.abort()
            self._connections -= 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                call = await read_call(reader)
            if call is None:
                return
            if call.method == "POST" and call.words[0] == "containers" and call.words[2:] == ("attach",):
                return await self._attach(call, reader, writer)
            answer = await self._answer(call)
        except Refused as refusal:
            # 404 is common: few installations build all images.
            level = logging.DEBUG if refusal.status == HTTPStatus.NOT_FOUND else logging.WARNING
            log.log(level, "refused: %s", ascii(str(refusal))[:MESSAGE_MAX_CHARS])
            answer = Answer(refusal.status, {"message": f"engine proxy: {str(refusal)[:MESSAGE_MAX_CHARS]}"})
        writer.write(bytes(answer))
        async with asyncio.timeout(READ_SECONDS):
            await writer.drain()

    async def _answer(self, call: Call) -> Answer:
        """Answer the calls that a sandbox needs, with exactly the query that docker-py sends. Refuse all others."""
        is_plain = not call.query and not call.body
        match (call.method, *call.words):
            case ("POST", "containers", "create") if not call.query:
                return await self._create(self.policy.read(call.body))
            case ("GET", "containers", "json") if not call.body:
                return await self._list(call.query)
            case ("GET", "_ping") if is_plain:
                await self.engine.ask("GET", "/_ping")
                return Answer(HTTPStatus.OK, "OK")
            case ("GET", "version") if is_plain:
                return Answer(HTTPStatus.OK, await self.engine.version())
            case ("GET", "info") if is_plain:
                return await self._info()
            case ("GET", "images", *name, "json") if is_plain:
                return await self._image("/".join(name))
            case ("GET", "containers", name, "json") if is_plain:
                return Answer(HTTPStatus.OK, await self._own(name))
            case ("POST", "containers", name, "start" | "kill" | "wait" as verb) if is_plain:
                answer = await self.engine.ask("POST", f"/containers/{(await self._own(name))['Id']}/{verb}")
                return Answer(answer.status, {"StatusCode": answer.value.get("StatusCode")})
            case ("DELETE", "containers", name) if call.query == REMOVE and not call.body:
                path = f"/containers/{(await self._own(name))['Id']}"
                return Answer((await self.engine.ask("DELETE", path, {"v": "1", "force": "1"})).status, {})
        raise Refused(f"{call.method} /{'/'.join(call.words)} is not among the calls that a sandbox takes")

    async def _create(self, asked: Container) -> Answer:
        self._creating += 1
        # The engine does not list containers that are still being created for other calls.
        ahead = self._creating
        try:
            query = {"all": "1", "filters": sandboxes()}
            there = len((await self.engine.ask("GET", "/containers/json", query)).value)
            is_room = there + ahead <= self.policy.count
            require(is_room, f"there are {there} sandboxes (SANDBOX_MAX_COUNT)", HTTPStatus.TOO_MANY_REQUESTS)
            made = await self.engine.ask("POST", "/containers/create", body=asked.create_body())
        finally:
            self._creating -= 1
        return Answer(made.status, {"Id": made.value["Id"], "Warnings": []})

    async def _list(self, asked: Mapping[str, str]) -> Answer:
        """List our sandboxes that match one more filter."""
        rest = dict(asked)
        filters, everything = read_json(rest.pop("filters", "{}").encode()), rest.pop("all", "0")
        require(rest.items() <= LIST_DEFAULTS.items() and everything in ("0", "1"), "not a list that a sandbox takes")
        wanted = filters.get("label") if isinstance(filters, dict) and len(filters) == 1 else None
        if not isinstance(wanted, list) or len(wanted) != 1 or not LABEL_FILTER.fullmatch(str(wanted[0])):
            raise Refused("list by one label of a sandbox")
        query = {"all": everything, "filters": sandboxes(str(wanted[0]))}
        found = await self.engine.ask("GET", "/containers/json", query)
        names = ("Id", "State", "Created", "Labels")
        return Answer(HTTPStatus.OK, [{name: one[name] for name in names} for one in found.value])

    async def _own(self, name: str) -> dict[str, Any]:
        """Find a sandbox by its name or the beginning of its id. Use the full id in the response for what follows,
        because the name may refer to another container by then."""
        require(CONTAINER.fullmatch(name) is not None, "not the name of a container")
        found = (await self.engine.ask("GET", f"/containers/{name}/json")).value
        labels = (found.get("Config") or {}).get("Labels") or {}
        is_ours = CONTAINER_ID.fullmatch(str(found.get("Id"))) is not None and labels.keys() >= LABELS
        require(is_ours, "not a sandbox of ours")
        state = {part: found["State"].get(part) for part in STATE}
        return {"Id": found["Id"], "Created": found["Created"], "State": state, "Config": {"Labels": labels}}

    async def _image(self, name: str) -> Answer:
        require(name in self.policy.images, "not an image of a sandbox")
        found = (await self.engine.ask("GET", f"/images/{name}/json")).value
        labels = (found.get("Config") or {}).get("Labels")
        return Answer(HTTPStatus.OK, {"Id": found["Id"], "Config": {"Labels": labels}})

    async def _info(self) -> Answer:
        found = (await self.engine.ask("GET", "/info")).value
        names = ("DefaultRuntime", "CgroupVersion", "CgroupDriver")
        runtimes: dict[str, Any] = {key: {} for key in found.get("Runtimes") or ()}
        return Answer(HTTPStatus.OK, {name: found.get(name) for name in names} | {"Runtimes": runtimes})

    async def _attach(self, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        require(call.query == ATTACH and not call.body and call.upgrades, "not how a sandbox is attached")
        container = (await self._own(call.words[1]))["Id"]
        async with self.engine.attached(container) as (engine_reader, engine_writer):
            writer.write(UPGRADED)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.policy.life_seconds):
                    await both_ways((reader, engine_writer), (engine_reader, writer))


async def both_ways(up: Streams, down: Streams) -> None:
    """Relay both ways until the engine closes. The client's end of input is passed on, but does not end the relay."""
    sending = asyncio.create_task(pipe(*up))
    try:
        await pipe(*down)
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Relay until one side closes or fails."""
    with contextlib.suppress(OSError):
        while chunk := await reader.read(64 * 1024):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    host, _, port = os.environ.get("LISTEN", "127.0.0.1:2375").rpartition(":")
    proxy = Proxy(Engine(os.environ.get("ENGINE_SOCKET", "/var/run/docker.sock")), Policy.of(os.environ))
    server = await asyncio.start_server(proxy.serve, host, int(port), limit=HEAD_MAX_BYTES)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
