"""What is kept of what a program prints, and how it reaches a listener that may be slow."""

import threading
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Literal, Protocol

StreamName = Literal["stdout", "stderr", "compile"]
QUEUE_ENTRIES = 2048
SMALL_BYTES = 4096


class Listener(Protocol):
    """Told what happens in a run, in order, by one thread of its own."""

    def started(self) -> None:
        """The first program of the run (the compiler, where there is one) has started."""

    def output(self, stream: StreamName, data: bytes) -> None:
        """`data` was printed. What an output limit removes is never passed on."""


class Collected:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.streams: dict[StreamName, bytearray] = defaultdict(bytearray)

    @property
    def stdout(self) -> bytes:
        return bytes(self.streams.get("stdout", b""))

    @property
    def stderr(self) -> bytes:
        return bytes(self.streams.get("stderr", b""))

    def started(self) -> None:
        """Nothing is kept of that."""

    def hurry(self) -> None:
        """As of a Delivery, in whose place it stands for a test case: nothing waits here."""

    def output(self, stream: StreamName, data: bytes) -> None:
        self.streams[stream] += data


class OutputCut:
    """Keeps the first three quarters and the last quarter of `limit_bytes`, over all streams together.

    `add` gives back what may be passed on at once. Later bytes wait in the tail, because a flood may still push them
    out; `release` frees them when the program is quiet or has ended.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._head_left = limit_bytes - limit_bytes // 4
        self._tail: deque[tuple[StreamName, bytes]] = deque()
        self._tail_bytes = 0
        self._passed_bytes = 0
        self.total_bytes = 0
        self.truncated = False

    @property
    def is_over(self) -> bool:
        return self.total_bytes > self._limit

    @property
    def has_waiting(self) -> bool:
        return bool(self._tail)

    def add(self, stream: StreamName, data: bytes) -> bytes:
        self.total_bytes += len(data)
        now = data[: self._head_left] if not self._tail else b""
        self._head_left -= len(now)
        self._passed_bytes += len(now)
        rest = data[len(now) :]
        if rest:
            self._tail_bytes += len(rest)
            # Single bytes are joined, or the tail would hold a quarter of a million objects.
            if self._tail and self._tail[-1][0] == stream and len(self._tail[-1][1]) < SMALL_BYTES:
                rest = self._tail.pop()[1] + rest
            self._tail.append((stream, rest))
            self._drop_oldest()
        return now

    def _drop_oldest(self) -> None:
        excess = self._tail_bytes - (self._limit - self._passed_bytes)
        while excess > 0:
            self.truncated = True
            stream, oldest = self._tail.popleft()
            kept = oldest[excess:]
            self._tail_bytes -= len(oldest) - len(kept)
            excess -= len(oldest) - len(kept)
            if kept:
                self._tail.appendleft((stream, kept))

    def release(self) -> list[tuple[StreamName, bytes]]:
        """The waiting tail; what is released counts as passed on, and the room for a later tail shrinks by it."""
        released = list(self._tail)
        self._tail.clear()
        self._passed_bytes += self._tail_bytes
        self._tail_bytes = 0
        return released


class Delivery:
    """Carries output to the listener on a thread of its own, so that a slow one never holds up the clock.

    It holds at most what the output limits let through; many small pieces are merged.
    """

    def __init__(self, listener: Listener, on_failure: Callable[[], None]) -> None:
        self._listener = listener
        self._on_failure = on_failure
        self._entries: deque[tuple[StreamName, bytearray] | None] = deque()
        self._ready = threading.Condition()
        self._ended = False
        self.failure: BaseException | None = None
        self._thread: threading.Thread | None = None

    def hurry(self) -> None:
        """Deliver what waits, from now on at once; what a short run said is delivered by `finish`, without a thread."""
        if self._entries and self._thread is None:
            self._thread = threading.Thread(target=self._deliver, name="sandbox-output", daemon=True)
            self._thread.start()

    def started(self) -> None:
        with self._ready:
            self._entries.append(None)
            self._ready.notify()

    def output(self, stream: StreamName, data: bytes) -> None:
        if not data:
            return
        with self._ready:
            entry = self._mergeable(stream)
            if entry is not None:
                entry += data
            else:
                self._entries.append((stream, bytearray(data)))
            self._ready.notify()

    def _mergeable(self, stream: StreamName) -> bytearray | None:
        """The entry new bytes of `stream` join: the last one; once the queue is long, the last one of that stream."""
        reach = 1 if len(self._entries) < QUEUE_ENTRIES else 8
        for back in range(1, min(reach, len(self._entries)) + 1):
            entry = self._entries[-back]
            if entry is None:
                return None
            if entry[0] == stream:
                return entry[1]
        return None

    def finish(self) -> None:
        """Deliver what waits, or wait until all is delivered; raises what the listener raised."""
        with self._ready:
            self._ended = True
            self._ready.notify()
        if self._thread is None:
            self._deliver()
        else:
            self._thread.join()
        if self.failure is not None:
            raise self.failure

    def _deliver(self) -> None:
        while True:
            with self._ready:
                while not self._entries and not self._ended:
                    self._ready.wait()
                if not self._entries:
                    return
                entry = self._entries.popleft()
            try:
                if entry is None:
                    self._listener.started()
                else:
                    self._listener.output(entry[0], bytes(entry[1]))
            except Exception as error:
                self.failure = error
                self._on_failure()
                return
