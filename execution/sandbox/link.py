"""The framed connection to the agent of a sandbox, and the sandbox that test cases share."""

import contextlib
import time
from collections import deque
from dataclasses import replace

from execution.sandbox import protocol
from execution.sandbox.backends import Backend, Handle
from execution.sandbox.context import RunContext, StepRequest
from execution.sandbox.limits import Limits
from execution.sandbox.protocol import Kind
from languages import ARTIFACT_FOLDER

# How much may wait in the agent for test cases that follow while one runs.
AHEAD_BYTES = 128 * 1024


class AgentLink:
    """A sandbox, what is on its way to its agent, and what the agent said that nobody has looked at."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.heard: deque[tuple[Kind, bytes]] = deque()
        # Sizes and ends (see `add`) of the requests that the agent has, or will have, behind the one that it works on.
        self.ahead: deque[tuple[int, int]] = deque()
        self.sent_bytes = 0
        self._added_bytes = 0
        self._frames = protocol.FrameReader()
        self._pieces: deque[memoryview] = deque()

    def add(self, *pieces: bytes) -> int:
        """What `sent_bytes` will be, at least, when all of this is sent."""
        self._added_bytes += sum(map(len, pieces))
        self._pieces.extend(map(memoryview, pieces))
        return self._added_bytes

    @property
    def is_full(self) -> bool:
        return bool(self._pieces)

    def flush(self) -> None:
        """Send what can be sent now. An agent that has gone is noticed by the next read, with what it last said."""
        if len(self._pieces) > 1 and sum(map(len, self._pieces)) <= AHEAD_BYTES:
            # A small job goes out in one write.
            joined = memoryview(b"".join(self._pieces))
            self._pieces.clear()
            self._pieces.append(joined)
        with contextlib.suppress(OSError):
            while self._pieces:
                sent = self.handle.send(self._pieces[0])
                self.sent_bytes += sent
                if sent < len(self._pieces[0]):
                    self._pieces[0] = self._pieces[0][sent:]
                    return
                self._pieces.popleft()

    def receive(self) -> bool:
        """Hear what there is; False when the agent is gone."""
        data = self.handle.receive()
        if data is None:
            return False
        self.heard.extend(self._frames.feed(data))
        return True


class SharedSandbox:
    """The sandbox that one submission's cases share as long as nothing goes wrong, and for `seconds` at most."""

    def __init__(self, backend: Backend, seconds: float = 0.0) -> None:
        self._backend = backend
        self._seconds = seconds
        self._until = 0.0
        self._link: AgentLink | None = None
        self._shape: object = None

    def take(self, limits: Limits, context: RunContext) -> tuple[AgentLink, bool]:
        """A sandbox, and whether a case was in it already."""
        shape = self._backend.shape(limits, context.job.language)
        link, self._link = self._link, None
        if link is not None and shape == self._shape and time.monotonic() + limits.wall_ms / 1000 < self._until:
            return link, True
        if link is not None:
            link.handle.close()
        self._shape = shape
        self._until = time.monotonic() + self._seconds
        # A backend may take away what outlives its wall clock, and this one is the clock of all cases together.
        lasting = replace(limits, wall_ms=max(limits.wall_ms, round(self._seconds * 1000)))
        return AgentLink(self._backend.open(lasting, context.label, context.job.language)), False

    def fits(self, limits: Limits, context: RunContext) -> bool:
        """Whether a case with these limits would be given the sandbox that was taken last."""
        return self._backend.shape(limits, context.job.language) == self._shape

    def give_back(self, link: AgentLink) -> None:
        self._link = link

    def close(self) -> None:
        if self._link is not None:
            self._link.handle.close()
            self._link = None


class ArtifactCollector(protocol.RecordSink):
    """Keeps the artifact in `files`; the reader has bounded it."""

    def __init__(self, files: dict[str, tuple[int, bytes]]) -> None:
        self._files = files
        self._path = ""
        self._mode = 0
        self._content = bytearray()

    def begin(self, path: str, mode: int, size: int) -> None:
        if not path.startswith(f"{ARTIFACT_FOLDER}/") or path in self._files:
            raise protocol.ProtocolError(f"artifact {path!r}")
        self._path, self._mode, self._content = path, mode, bytearray()

    def data(self, piece: bytes) -> None:
        self._content += piece

    def end(self) -> None:
        self._files[self._path] = (self._mode, bytes(self._content))


def frames_of(request: StepRequest, *, interactive: bool, is_reused: bool) -> list[bytes]:
    limits = request.step.limits
    frames = [
        protocol.json_frame(
            Kind.JOB,
            {
                "argv": list(request.step.argv),
                "environment": dict(request.step.environment),
                "interactive": interactive,
                "artifact": ARTIFACT_FOLDER if request.is_compile else None,
                "memory_bytes": limits.memory_bytes,
                "processes": limits.processes,
                "cpu_ms": limits.cpu_ms,
                "disk_bytes": limits.disk_bytes,
                "reset": is_reused,
                "keep": request.keep,
            },
        )
    ]
    for path, (mode, content) in request.files.items():
        frames.append(protocol.frame(Kind.FILES, protocol.record_header(path, mode, len(content))))
        frames += in_frames(Kind.FILES, content)
    frames.append(protocol.frame(Kind.START))
    frames += in_frames(Kind.STDIN, request.stdin)
    if not interactive:
        frames.append(protocol.frame(Kind.EOF))
    return frames


def in_frames(kind: Kind, data: bytes) -> list[bytes]:
    size = protocol.CHUNK_BYTES
    return [protocol.frame(kind, data[start : start + size]) for start in range(0, len(data), size)]
