#!/usr/bin/env python3
"""Stands between the worker and the container engine and lets through only what running a sandbox takes.

Reaching an engine's socket is being root on its host, and a filter on paths alone does not change that: one `create`
with a bind mount is enough. So the body of every create is checked too, and every other call must name a container
that carries our label. One request per connection: what follows it on the same connection is never forwarded.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

LABEL_PREFIX = "codecrafter."
HEAD_MAX_BYTES = 32 * 1024
# A seccomp profile travels in the create body.
BODY_MAX_BYTES = 512 * 1024
READ_SECONDS = 30

VERSION = r"(?:/v\d+\.\d+)?"
CONTAINER = r"/containers/[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}"
# What may be asked without naming a container.
OPEN = re.compile(rf"(GET|HEAD) {VERSION}/(_ping|version|info|images/[a-zA-Z0-9][a-zA-Z0-9_./:@-]*/json)")
LIST = re.compile(rf"GET {VERSION}/(containers/json|events)")
CREATE = re.compile(rf"POST {VERSION}/containers/create")
OWN = re.compile(
    rf"GET {VERSION}{CONTAINER}/(json|stats)"
    rf"|POST {VERSION}{CONTAINER}/(start|attach|wait|kill|stop|resize)"
    rf"|DELETE {VERSION}{CONTAINER}"
)

log = logging.getLogger("engine_proxy")


class Refused(Exception):
    """Answered with 403 and this reason; nothing reaches the engine."""


@dataclass(frozen=True)
class Policy:
    """Which images and runtimes a sandbox may be made of."""

    images: tuple[str, ...]
    runtimes: tuple[str, ...]


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def upgrades(self) -> bool:
        return "upgrade" in self.headers.get("connection", "").lower()


# Settings of a container that only narrow what it may do, or are checked below. Any other must be empty.
NARROWING = {
    *("Memory", "MemorySwap", "MemorySwappiness", "MemoryReservation", "KernelMemory", "NanoCpus", "PidsLimit"),
    *("CpuPeriod", "CpuQuota", "CpuShares", "CpusetCpus", "Tmpfs", "Ulimits", "ShmSize", "Init", "AutoRemove"),
    *("NetworkMode", "ReadonlyRootfs", "CapDrop", "SecurityOpt", "LogConfig", "IpcMode", "CgroupnsMode", "Runtime"),
    *("ConsoleSize", "OomScoreAdj", "BlkioWeight", "MaskedPaths", "ReadonlyPaths"),
}
PLAIN = {
    *("Image", "Cmd", "Entrypoint", "Env", "WorkingDir", "User", "Labels", "Hostname", "Domainname", "HostConfig"),
    *("AttachStdin", "AttachStdout", "AttachStderr", "OpenStdin", "StdinOnce", "Tty", "NetworkDisabled", "StopSignal"),
    *("StopTimeout", "NetworkingConfig", "MacAddress", "OnBuild"),
}


def check_create(body: bytes, policy: Policy) -> None:
    """Raises Refused unless the container is a sandbox: no network, no mount, no privilege, bounded."""
    try:
        wanted = json.loads(body.decode(), object_pairs_hook=unambiguous)
        host = wanted["HostConfig"]
        labels = wanted.get("Labels") or {}
        require(isinstance(host, dict) and isinstance(labels, dict), "not a container")
    except (ValueError, KeyError, TypeError) as error:
        raise Refused("not a container") from error
    for name, value in wanted.items():
        require(name in PLAIN or not value, f"{name} is not for a sandbox")
    for name, value in host.items():
        require(name in NARROWING or is_empty(name, value), f"HostConfig.{name} is not for a sandbox")
    require(any(str(label).startswith(LABEL_PREFIX) for label in labels), f"it carries no {LABEL_PREFIX} label")
    require(is_image(wanted.get("Image"), policy), f"image {wanted.get('Image')!r} is not a sandbox image")
    require(bool(re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", str(wanted.get("User", "")))), "it would run as root")
    require(not any((wanted.get("NetworkingConfig") or {}).get("EndpointsConfig") or ()), "it joins a network")
    require(host.get("NetworkMode") == "none", "it has a network")
    require(host.get("ReadonlyRootfs") is True, "its root can be written")
    require("ALL" in (host.get("CapDrop") or ()), "it keeps capabilities")
    require(host.get("IpcMode", "") in ("", "none", "private"), "it shares memory with others")
    require(host.get("CgroupnsMode", "") in ("", "private"), "it sees the host's cgroups")
    require((host.get("Runtime") or "") in ("", *policy.runtimes), "its runtime is not one of ours")
    require(is_positive(host.get("Memory")), "its memory is not limited")
    require(is_positive(host.get("PidsLimit")), "its processes are not limited")
    options = [str(option) for option in host.get("SecurityOpt") or ()]
    require(bool({"no-new-privileges", "no-new-privileges:true"} & set(options)), "it may gain privileges")
    for option in options:
        is_profile = option.startswith("seccomp=") and option != "seccomp=unconfined"
        require(is_profile or option in ("no-new-privileges", "no-new-privileges:true"), f"option {option[:40]!r}")
    for paths in ("MaskedPaths", "ReadonlyPaths"):
        require(host.get(paths) is None or len(host[paths]) > 0, f"{paths} is emptied")


def unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The engine reads names without regard to case and merges those that come twice; here each comes once."""
    require(len({name.lower() for name, _ in pairs}) == len(pairs), "a name comes twice")
    require(all(name.isascii() for name, _ in pairs), "a name is not ASCII")
    return dict(pairs)


def require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Refused(otherwise)


def is_positive(value: object) -> bool:
    return isinstance(value, int) and value > 0


def is_empty(name: str, value: Any) -> bool:
    if name == "RestartPolicy":
        return not value or value.get("Name") in ("", "no", None)
    return not value


def is_image(image: object, policy: Policy) -> bool:
    """By name, with the name of a family of languages behind it, and any tag or digest."""
    return any(re.fullmatch(rf"{re.escape(known)}(-[a-z]+)?([:@].+)?", str(image)) for known in policy.images)


def check_list(target: str) -> None:
    """Other people's containers are not listed: a filter on our label is required."""
    try:
        filters = json.loads(parse_qs(urlsplit(target).query).get("filters", ["{}"])[0])
        labels = list(filters.get("label", ()))
    except (ValueError, AttributeError, TypeError) as error:
        raise Refused("unreadable filters") from error
    require(any(str(label).startswith(LABEL_PREFIX) for label in labels), f"list with a {LABEL_PREFIX} label filter")


class Proxy:
    def __init__(self, engine: str, policy: Policy) -> None:
        self.engine = engine
        self.policy = policy

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: one request, its answer, the end."""
        try:
            async with asyncio.timeout(READ_SECONDS):
                request = await read_request(reader)
            if request is None:
                return
            try:
                await self.check(request)
            except Refused as refusal:
                log.warning("refused %s %s: %s", request.method, request.path, refusal)
                writer.write(answer(403, str(refusal)))
                await writer.drain()
                return
            await self.forward(request, reader, writer)
        except Refused as refusal:
            writer.write(answer(400, str(refusal)))
        except TimeoutError:
            writer.write(answer(408, "no request"))
        except ConnectionError as error:
            log.info("connection lost: %s", error)
        except OSError as error:
            log.error("the engine does not answer: %s", error)
            writer.write(answer(502, "the engine does not answer"))
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def check(self, request: Request) -> None:
        asked = f"{request.method} {request.path}"
        if OPEN.fullmatch(asked):
            return
        if LIST.fullmatch(asked):
            return check_list(request.target)
        if CREATE.fullmatch(asked):
            return check_create(request.body, self.policy)
        if OWN.fullmatch(asked):
            container = request.path.split("/containers/", 1)[1].split("/", 1)[0]
            require(await self.is_ours(container), "not a sandbox of ours")
            return
        raise Refused(f"{asked} is not among the calls a sandbox takes")

    async def is_ours(self, container: str) -> bool:
        """Whether the container carries our label; one that is gone is let through, and the engine says 404."""
        reader, writer = await asyncio.open_unix_connection(self.engine)
        try:
            writer.write(f"GET /containers/{container}/json HTTP/1.0\r\nHost: engine\r\n\r\n".encode())
            await writer.drain()
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        if head.split(b" ", 2)[1:2] == [b"404"]:
            return True
        labels = (json.loads(body).get("Config") or {}).get("Labels") or {}
        return any(label.startswith(LABEL_PREFIX) for label in labels)

    async def forward(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine_reader, engine_writer = await asyncio.open_unix_connection(self.engine, limit=HEAD_MAX_BYTES)
        try:
            engine_writer.write(rewritten(request))
            await engine_writer.drain()
            head = await engine_reader.readuntil(b"\r\n\r\n")
            writer.write(head)
            # Only a real upgrade opens the way from client to engine; else a second request could follow unchecked.
            if head.split(b" ", 2)[1] == b"101":
                await both_ways((reader, engine_writer), (engine_reader, writer))
            else:
                await pipe(engine_reader, writer)
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("the engine hung up") from error
        finally:
            engine_writer.close()


def rewritten(request: Request) -> bytes:
    headers = {"Host": "engine", "Connection": "close"}
    if request.upgrades:
        headers.update({"Connection": "Upgrade", "Upgrade": "tcp"})
    if request.body or request.method == "POST":
        headers.update({"Content-Type": "application/json", "Content-Length": str(len(request.body))})
    lines = [f"{request.method} {request.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + request.body


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise Refused("half a request") from error
        return None
    except asyncio.LimitOverrunError as error:
        raise Refused("the head is too long") from error
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    parts = first.split(" ")
    require(len(parts) == 3 and parts[1].startswith("/") and parts[1].isprintable(), "not a request")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        require(bool(colon) and name.lower() not in headers and name == name.strip(), "not a header")
        headers[name.lower()] = value.strip()
    require("transfer-encoding" not in headers, "a body needs its length")
    length = headers.get("content-length", "0")
    require(length.isdecimal() and int(length) <= BODY_MAX_BYTES, "the body is too long")
    body = await reader.readexactly(int(length))
    return Request(parts[0], parts[1], headers, body)


def answer(status: int, message: str) -> bytes:
    body = json.dumps({"message": f"engine proxy: {message}"}).encode()
    head = f"HTTP/1.1 {status} Refused\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


async def both_ways(
    up: tuple[asyncio.StreamReader, asyncio.StreamWriter], down: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    """Until the engine has nothing more to say; the client's end of input is passed on and ends nothing."""
    sending = asyncio.create_task(pipe(*up))
    try:
        await pipe(*down)
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await sending


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(64 * 1024):
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    host, _, port = os.environ.get("LISTEN", "127.0.0.1:2375").rpartition(":")
    policy = Policy(
        images=tuple(os.environ.get("SANDBOX_IMAGES", "codecrafter/sandbox").split(",")),
        runtimes=tuple(filter(None, ["runc", os.environ.get("SANDBOX_RUNTIME", "")])),
    )
    proxy = Proxy(os.environ.get("ENGINE_SOCKET", "/var/run/docker.sock"), policy)
    server = await asyncio.start_server(proxy.serve, host, int(port), limit=HEAD_MAX_BYTES)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
