"""Sandboxes by a Docker engine: one container per run, the agent its PID 1, frames over the attached streams."""

import contextlib
import json
import os
import ssl
import struct
import time
from collections.abc import Callable, Hashable
from datetime import datetime
from http import HTTPStatus
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from execution.sandbox import owners, protocol
from execution.sandbox.backends import is_python
from execution.sandbox.container import DEADLINE_LABEL, JOB_LABEL, OWNER_LABEL, Container
from execution.sandbox.errors import FULL, SandboxFault
from execution.sandbox.image_names import AGENT_LABEL, FAILURES_LABEL, agent_digest, image_of
from execution.sandbox.limits import Limits
from languages import LANGUAGES
from languages.families import FAMILIES

ENGINE_SECONDS = 30
IMAGE_SECONDS = 30
FIRST_LANGUAGE = "python"
STOPPED_SECONDS = 60
# A container outlives its limits only when its worker died; then it may be removed by anybody after this long.
DEADLINE_MARGIN_SECONDS = 120
STREAM_HEADER = struct.Struct(">BxxxI")
STDOUT = 1
LAST_WORDS_BYTES = 8192
ENGINE_ERRORS = (DockerException, requests.exceptions.RequestException, OSError)


def engine(seconds: int) -> Any:
    """A client of the engine that DOCKER_HOST names; raises SandboxFault unless it answers within `seconds`."""
    try:
        client = docker.from_env(version="auto", timeout=seconds)
        client.ping()
    except ENGINE_ERRORS as error:
        host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
        remedy = "Start a Docker engine, or set DOCKER_HOST to one."
        raise SandboxFault("engine_absent", remedy, f"{host}: {_root_cause(error)}") from error
    return client.api


class DockerBackend:
    """One image per family of languages; a missing image, or one with another agent, is a SandboxFault when needed.

    Raises SandboxFault from the start when no engine answers, or the first family's image is no good. `image` is what
    the images' names begin with, `runtime` an OCI runtime that the engine knows; empty, they are the usual ones.
    """

    name = "docker"

    def __init__(self, *, image: str = "", runtime: str = "", connect_seconds: int = ENGINE_SECONDS) -> None:
        self.prefix = image
        # Image -> its id and when that was asked.
        self._known: dict[str, tuple[str, float]] = {}
        self._runtime = runtime
        self._api = engine(connect_seconds)
        self._check_image(self.image(FIRST_LANGUAGE))
        # Containers that could not be removed when they were used, because the engine was away.
        self._lingering: list[str] = []
        self.reap()

    def open(self, limits: Limits, label: str, language: str = "") -> "DockerHandle":
        image = self.image(language)
        self._check_image(image)
        container = ""
        try:
            container = self._create(image, limits, label, language)
            params = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            attached = self._api.attach_socket(container, params=params)
            handle = DockerHandle(self._api, container, attached, self._remove)
            self._api.start(container)
        except ENGINE_ERRORS as error:
            if container:
                self._remove(container)
            if isinstance(error, APIError) and error.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                raise SandboxFault(FULL, "Wait, or raise SANDBOX_MAX_COUNT.", f"{label}: {error}") from error
            raise SandboxFault("engine_failed", "Run `make doctor`.", f"{label}: {error}") from error
        return handle

    def shape(self, limits: Limits, language: str = "") -> Hashable:
        sizes = limits.memory_bytes, limits.cpus, limits.processes, limits.disk_bytes
        return self.image(language), is_python(language), *sizes

    def toolset(self, language: str = "") -> str:
        return self._check_image(self.image(language))

    def image(self, language: str = "") -> str:
        """The image that programs in `language` run in."""
        return image_of(LANGUAGES[language or FIRST_LANGUAGE].family, self.prefix)

    def close(self) -> None:
        self._api.close()

    def failures(self) -> dict[str, str]:
        """Language key -> why its self-test failed when its image was made (execution/images/build.py)."""
        found: dict[str, str] = {}
        for image in {self.image(key) for key in LANGUAGES}:
            with contextlib.suppress(*ENGINE_ERRORS):
                labels = self._api.inspect_image(image)["Config"].get("Labels") or {}
                found |= json.loads(labels.get(FAILURES_LABEL, "{}"))
        return found

    def describe(self) -> str:
        version = self._api.version()
        runtime = f", runtime {self._runtime}" if self._runtime else ""
        built, absent = [], 0
        for family in FAMILIES:
            try:
                self._check_image(image_of(family, self.prefix))
                built.append(family)
            except SandboxFault:
                absent += 1
        more = f" ({absent} more by `make images-all`)" if absent else ""
        return f"Docker {version['Version']} (API {self._api.api_version}){runtime}, images: {', '.join(built)}{more}"

    def reap(self) -> int:
        """Remove containers that a dead worker left behind, and say how many. Any engine trouble leaves them.

        Theirs are those whose owner was a process of this machine that is gone, those past their deadline, and those
        that stopped, or never started, a while ago (their owner may be out of sight).
        """
        removed = 0
        lingering, self._lingering = self._lingering, []
        for container in lingering:
            removed += self._remove(container)
        with contextlib.suppress(*ENGINE_ERRORS):
            for container in self._api.containers(all=True, filters={"label": DEADLINE_LABEL}):
                labels = container.get("Labels", {})
                deadline = labels.get(DEADLINE_LABEL, "")
                if (
                    owners.is_gone(labels.get(OWNER_LABEL, ""))
                    or (deadline.isdigit() and int(deadline) < time.time())
                    or self._stopped_for(container) > STOPPED_SECONDS
                ):
                    removed += self._remove(container["Id"])
        return removed

    def _remove(self, container: str) -> bool:
        """Kill and remove it; whether it is gone. If not, `reap` tries again."""
        try:
            self._api.remove_container(container, force=True, v=True)
        except NotFound:
            return True
        except ENGINE_ERRORS:
            self._lingering.append(container)
            return False
        return True

    def count(self) -> int:
        """Sandboxes of this process that the engine knows, running or not."""
        own = f"{OWNER_LABEL}={owners.this_process()}"
        return len(self._api.containers(all=True, filters={"label": own}))

    def _stopped_for(self, container: dict[str, Any]) -> float:
        """Seconds; 0 for one that runs."""
        if container["State"] == "created":
            return time.time() - float(container["Created"])
        if container["State"] != "exited":
            return 0.0
        finished = self._api.inspect_container(container["Id"])["State"]["FinishedAt"]
        # Nanoseconds are more than fromisoformat takes.
        return time.time() - datetime.fromisoformat(f"{finished[:19]}+00:00").timestamp()

    def _check_image(self, image: str) -> str:
        """The image's id, asked again after a while, so that a rebuilt image is noticed."""
        known, asked_at = self._known.get(image, ("", 0.0))
        if known and time.monotonic() - asked_at < IMAGE_SECONDS:
            return known
        try:
            found = self._api.inspect_image(image)
        except ImageNotFound as error:
            raise SandboxFault("image_absent", "Run `make images`.", f"{image} is not there") from error
        except ENGINE_ERRORS as error:
            raise SandboxFault("engine_failed", "Run `make doctor`.", str(error)) from error
        if (found["Config"].get("Labels") or {}).get(AGENT_LABEL) != agent_digest():
            raise SandboxFault("image_stale", "Run `make images`.", f"{image} carries another agent")
        self._known[image] = (str(found["Id"]), time.monotonic())
        return str(found["Id"])

    def _create(self, image: str, limits: Limits, label: str, language: str) -> str:
        deadline = int(time.time() + limits.wall_ms / 1000 + DEADLINE_MARGIN_SECONDS)
        labels = {JOB_LABEL: label, DEADLINE_LABEL: str(deadline), OWNER_LABEL: owners.this_process()}
        container = Container.of(image, self._runtime, limits, language, labels)
        created: dict[str, Any] = self._api.create_container_from_config(container.create_body())
        return str(created["Id"])


class DockerHandle:
    """See backends.Handle."""

    parked = False

    def __init__(self, api: Any, container: str, attached: Any, remove: Callable[[str], object]) -> None:
        self._api = api
        self.container = container
        # The response behind it must stay referenced: its end closes the connection.
        self._attached = attached
        self._socket: Any = getattr(attached, "_sock", attached)
        self._socket.setblocking(False)
        self._buffer = bytearray()
        self._last_words = bytearray()
        self._remove = remove
        self._closed = False

    def read_fileno(self) -> int:
        return self._socket.fileno()

    def write_fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> bytes | None:
        try:
            data = self._socket.recv(protocol.CHUNK_BYTES)
            # What TLS has decrypted already would not make the socket poll readable.
            while isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
                data += self._socket.recv(self._socket.pending())
        except (BlockingIOError, ssl.SSLWantReadError):
            return b""
        except OSError:
            return None
        if not data:
            return None
        self._buffer += data
        return self._demultiplex()

    def _demultiplex(self) -> bytes:
        """The engine sends both streams over one connection, each piece after eight bytes: stream, length."""
        stdout = bytearray()
        start = 0
        while len(self._buffer) - start >= STREAM_HEADER.size:
            stream, size = STREAM_HEADER.unpack_from(self._buffer, start)
            end = start + STREAM_HEADER.size + size
            if len(self._buffer) < end:
                break
            piece = self._buffer[start + STREAM_HEADER.size : end]
            if stream == STDOUT:
                stdout += piece
            elif len(self._last_words) < LAST_WORDS_BYTES:
                self._last_words += piece[:LAST_WORDS_BYTES]
            start = end
        del self._buffer[:start]
        return bytes(stdout)

    def send(self, data: memoryview) -> int:
        try:
            return self._socket.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError):
            return 0

    def takes_long(self) -> None:
        """Nothing was put off."""

    def usage(self) -> None:
        """Not known: the engine is asked for no statistics."""

    def kill(self) -> None:
        with contextlib.suppress(*ENGINE_ERRORS):
            self._api.kill(self.container)

    def death(self) -> tuple[bool | None, str]:
        words = self._last_words.decode("utf-8", "replace").strip()
        try:
            self._api.wait(self.container, timeout=5)
            state = self._api.inspect_container(self.container)["State"]
        except ENGINE_ERRORS as error:
            return False, f"{words} {error}".strip()
        # OOMKilled alone may mean some child; the agent is gone, so here it counts only with the agent's own SIGKILL.
        # The engine may have heard of the end before it heard of the reason.
        is_killed = state.get("ExitCode") == 137
        return (True if state.get("OOMKilled") else None) if is_killed else False, words or str(state.get("Error", ""))

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            self._attached.close()
        with contextlib.suppress(OSError):
            self._socket.close()
        self._remove(self.container)


def _root_cause(error: BaseException) -> str:
    """What the layers of HTTP wrapped, in the system's words where it has some."""
    seen: BaseException | None = error
    while seen is not None:
        wrapped = [part for part in getattr(seen, "args", ()) if isinstance(part, BaseException)]
        inner = seen.__cause__ or seen.__context__ or (wrapped[0] if wrapped else None)
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        seen = inner
    return str(error)
