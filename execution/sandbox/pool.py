"""Sandboxes that wait for their job: started ahead of it, taken once, destroyed and replaced behind the run.

A Pool is a Backend in front of another. What of a sandbox cannot change after its start (image, memory, cpus,
processes, disk) is its shape; a run takes a parked sandbox of its shape, or starts one when there is none.
"""

import atexit
import contextlib
import logging
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace

from execution.sandbox import protocol
from execution.sandbox.backends import Backend, Handle
from execution.sandbox.errors import FULL, SandboxFault
from execution.sandbox.limits import Limits
from execution.sandbox.protocol import Kind

logger = logging.getLogger(__name__)

PARKED = "parked"
READY_SECONDS = 30.0
MAX_AGE_SECONDS = 1_800.0
# The longest run a parked sandbox may be given; its deadline label was written before its job was known.
LONGEST_WALL_MS = 3_600_000
# Starting a sandbox takes more processor time than a short program, so it waits until the program has ended, or until
# the supervisor says that it takes long, or this.
REPLACE_AFTER_SECONDS = 0.25
# So that these threads do not hold up the one that has a result to pass on.
DESTROY_AFTER_SECONDS = 0.02
# How often a shape that never ran out gives up one sandbox, and after how long without use it has none.
COOL_SECONDS = 60.0
FORGET_SECONDS = 900.0
REAP_SECONDS = 60.0
MAX_PAUSE_SECONDS = 60.0
THREADS = 4


class Pool:
    """Thread safe. `minimum` to `maximum` sandboxes are parked for each shape in use, `total` at most altogether.

    A shape parks more when it ran out, and fewer when it never does. `close` destroys everything that is parked; it is
    called when the interpreter ends, too.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        minimum: int = 1,
        maximum: int = 4,
        total: int | None = None,
        max_age_seconds: float = MAX_AGE_SECONDS,
    ) -> None:
        if not 0 <= minimum <= maximum or maximum < 1:
            raise ValueError("minimum must be from 0 to maximum, and maximum at least 1")
        self._backend = backend
        self._minimum = minimum
        self._maximum = maximum
        self._total = total if total is not None else 4 * maximum
        self._max_age = max_age_seconds
        self._shelves: dict[Hashable, _Shelf] = {}
        self._doomed: deque[tuple[float, Handle]] = deque()
        self._destroying = 0
        self._reap_at = time.monotonic() + REAP_SECONDS
        self._is_closed = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"sandbox-pool-{number}", daemon=True) for number in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()
        atexit.register(self.close)

    @property
    def name(self) -> str:
        return self._backend.name

    def open(self, limits: Limits, label: str, language: str = "") -> Handle:
        shape = self._backend.shape(limits, language)
        while True:
            with self._changed:
                if self._is_closed:
                    raise SandboxFault("pool_closed", "Start the worker again.", label)
                shelf = self._shelf(shape, limits, language)
                now = time.monotonic()
                shelf.used_at = now
                # Nobody is woken for that now, beside the thread that has a job to send; see `_Taken`.
                shelf.replace_at = now + REPLACE_AFTER_SECONDS
                if limits.wall_ms > LONGEST_WALL_MS:
                    break
                if not shelf.parked:
                    shelf.wanted = min(max(shelf.wanted + 1, self._minimum), self._maximum)
                    shelf.least = 0
                    self._changed.notify()
                    break
                parked = shelf.parked.popleft()
                shelf.least = min(shelf.least, len(shelf.parked))
            if parked.is_well():
                return _Taken(parked.handle, self, shelf, parked=True)
            self._doom(parked.handle, shelf)
        return _Taken(self._open_new(limits, label, language), self, shelf, parked=False)

    def _open_new(self, limits: Limits, label: str, language: str) -> Handle:
        """Start a sandbox. Where no more may exist, one that is parked for other runs makes room."""
        while True:
            try:
                return self._backend.open(limits, label, language)
            except SandboxFault as fault:
                if fault.code != FULL or not self._give_one_up():
                    raise

    def _give_one_up(self) -> bool:
        with self._changed:
            stocked = [shelf for shelf in self._shelves.values() if shelf.parked]
            if not stocked:
                return False
            oldest = min(stocked, key=lambda shelf: (shelf.is_expected, shelf.used_at))
            oldest.wanted = len(oldest.parked) - 1
            handle = oldest.parked.popleft().handle
        handle.close()
        return True

    def expect(self, limits: Limits, language: str = "") -> None:
        """Keep `minimum` of this shape parked from now on, used or not."""
        with self._changed:
            shelf = self._shelf(self._backend.shape(limits, language), limits, language)
            shelf.is_expected = True
            shelf.wanted = max(shelf.wanted, self._minimum)
            self._changed.notify_all()

    def shape(self, limits: Limits, language: str = "") -> Hashable:
        return self._backend.shape(limits, language)

    def toolset(self, language: str = "") -> str:
        return self._backend.toolset(language)

    def failures(self) -> dict[str, str] | None:
        return self._backend.failures()

    def describe(self) -> str:
        return f"{self._backend.describe()}, {self._minimum} to {self._maximum} parked for each kind of sandbox"

    def reap(self) -> int:
        return self._backend.reap()

    def parked(self) -> int:
        """How many wait now."""
        with self._changed:
            return sum(len(shelf.parked) for shelf in self._shelves.values())

    def settle(self, seconds: float) -> bool:
        """Wait until all that is wanted is parked and all that is used is destroyed; False when time runs out."""
        with self._changed:
            return self._changed.wait_for(self._is_settled, seconds)

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            for shelf in self._shelves.values():
                self._doomed.extend((0.0, parked.handle) for parked in shelf.parked)
                shelf.parked.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(READY_SECONDS)
        atexit.unregister(self.close)
        self._backend.close()

    def _shelf(self, shape: Hashable, limits: Limits, language: str) -> "_Shelf":
        shelf = self._shelves.get(shape)
        if shelf is None:
            shelf = self._shelves[shape] = _Shelf(replace(limits, wall_ms=self._parked_wall_ms()), language)
        return shelf

    def _parked_wall_ms(self) -> int:
        return round(self._max_age * 1000) + LONGEST_WALL_MS

    def _is_settled(self) -> bool:
        idle = not self._doomed and not self._destroying
        return idle and all(len(shelf.parked) >= shelf.wanted and not shelf.making for shelf in self._shelves.values())

    def _doom(self, handle: Handle, shelf: "_Shelf") -> None:
        """Destroy a sandbox behind the caller's back, and let its place be taken."""
        with self._changed:
            if not self._is_closed:
                self._doomed.append((time.monotonic() + DESTROY_AFTER_SECONDS, handle))
                shelf.replace_at = min(shelf.replace_at, time.monotonic() + DESTROY_AFTER_SECONDS)
                self._changed.notify()
                return
        handle.close()

    def _replace_now(self, shelf: "_Shelf") -> None:
        with self._changed:
            shelf.replace_at = min(shelf.replace_at, time.monotonic())
            self._changed.notify()

    # The threads behind

    def _work(self) -> None:
        while True:
            with self._changed:
                task = self._next_task()
                while task is None:
                    if self._is_closed:
                        return
                    self._changed.wait(self._pause())
                    task = self._next_task()
            try:
                task()
            except SandboxFault as fault:
                logger.warning("a sandbox could not be parked: %s", fault)
            except Exception:
                logger.exception("the pool of sandboxes")

    def _next_task(self) -> Callable[[], object] | None:
        """What to do now; called with the lock held."""
        now = time.monotonic()
        if not self._is_closed:
            self._adapt(now)
            for shelf in self._shelves.values():
                if shelf.is_short(now) and self._make_room(shelf):
                    shelf.making += 1
                    return lambda: self._park(shelf)
        if self._doomed and (self._is_closed or now >= self._doomed[0][0]):
            _due, handle = self._doomed.popleft()
            self._destroying += 1
            return lambda: self._destroy(handle)
        if not self._is_closed and now >= self._reap_at:
            self._reap_at = now + REAP_SECONDS
            return self._backend.reap
        return None

    def _pause(self) -> float:
        now = time.monotonic()
        due = [self._reap_at]
        if self._doomed:
            due.append(self._doomed[0][0])
        for shelf in self._shelves.values():
            due.append(shelf.cool_at)
            if len(shelf.parked) + shelf.making < shelf.wanted and shelf.replace_at > now:
                due.append(shelf.replace_at)
            if shelf.parked:
                due.append(shelf.parked[0].made_at + self._max_age)
        return min(max(min(due) - now, 0.0) + 0.001, MAX_PAUSE_SECONDS)

    def _adapt(self, now: float) -> None:
        for shape, shelf in list(self._shelves.items()):
            if now >= shelf.cool_at:
                shelf.cool_at = now + COOL_SECONDS
                is_in_use = shelf.is_expected or now - shelf.used_at < FORGET_SECONDS
                floor = self._minimum if is_in_use else 0
                if shelf.least > 0 or not is_in_use:
                    shelf.wanted = max(shelf.wanted - 1, floor)
                shelf.least = len(shelf.parked)
            while shelf.parked and (len(shelf.parked) > shelf.wanted or now - shelf.parked[0].made_at > self._max_age):
                self._doomed.append((0.0, shelf.parked.popleft().handle))
            if not (shelf.wanted or shelf.parked or shelf.making or now - shelf.used_at < FORGET_SECONDS):
                del self._shelves[shape]

    def _make_room(self, wanting: "_Shelf") -> bool:
        """Whether one more may be parked; the shape that was not used for longest gives one up.

        An expected shape keeps its minimum: otherwise one person's odd limits would make everybody else start cold.
        """
        if sum(len(shelf.parked) + shelf.making for shelf in self._shelves.values()) < self._total:
            return True
        idle = [
            shelf
            for shelf in self._shelves.values()
            if len(shelf.parked) > (self._minimum if shelf.is_expected else 0) and shelf.used_at < wanting.used_at
        ]
        if not idle:
            return False
        oldest = min(idle, key=lambda shelf: shelf.used_at)
        oldest.wanted = len(oldest.parked) - 1
        self._doomed.append((0.0, oldest.parked.popleft().handle))
        return True

    def _park(self, shelf: "_Shelf") -> None:
        handle = None
        try:
            handle = self._backend.open(shelf.limits, PARKED, shelf.language)
            await_ready(handle)
        except BaseException:
            if handle is not None:
                handle.close()
            with self._changed:
                shelf.making -= 1
                shelf.failures += 1
                shelf.replace_at = time.monotonic() + min(2.0**shelf.failures, MAX_PAUSE_SECONDS)
                self._changed.notify_all()
            raise
        with self._changed:
            shelf.making -= 1
            shelf.failures = 0
            self._changed.notify_all()
            if not self._is_closed:
                shelf.parked.append(_Parked(handle, time.monotonic()))
                return
        handle.close()

    def _destroy(self, handle: Handle) -> None:
        try:
            handle.close()
        finally:
            with self._changed:
                self._destroying -= 1
                self._changed.notify_all()


@dataclass(frozen=True)
class _Parked:
    handle: Handle
    made_at: float

    def is_well(self) -> bool:
        """A parked agent is silent; anything to read, the end of its stream above all, means that it died."""
        poll = select.poll()
        poll.register(self.handle.read_fileno(), select.POLLIN)
        return not poll.poll(0)


@dataclass
class _Shelf:
    """The sandboxes of one shape. `least` is the smallest number that was parked since the last cooling."""

    limits: Limits
    language: str
    parked: deque[_Parked] = field(default_factory=deque)
    making: int = 0
    wanted: int = 0
    least: int = 0
    failures: int = 0
    is_expected: bool = False
    replace_at: float = 0.0
    used_at: float = field(default_factory=time.monotonic)
    cool_at: float = field(default_factory=lambda: time.monotonic() + COOL_SECONDS)

    def is_short(self, now: float) -> bool:
        return len(self.parked) + self.making < self.wanted and now >= self.replace_at


class _Taken:
    """See backends.Handle. Its sandbox belongs to one job; `close` leaves the destroying to the pool's threads."""

    def __init__(self, handle: Handle, pool: Pool, shelf: _Shelf, *, parked: bool) -> None:
        self.handle = handle
        self.parked = parked
        self._pool = pool
        self._shelf = shelf
        self._is_closed = False
        self.read_fileno = handle.read_fileno
        self.write_fileno = handle.write_fileno
        self.receive = handle.receive
        self.send = handle.send
        self.usage = handle.usage
        self.kill = handle.kill
        self.death = handle.death

    def takes_long(self) -> None:
        self._pool._replace_now(self._shelf)

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._pool._doom(self.handle, self._shelf)


def await_ready(handle: Handle) -> None:
    """Return when the agent is there; raises SandboxFault when it is not within READY_SECONDS."""
    poll = select.poll()
    poll.register(handle.read_fileno(), select.POLLIN)
    deadline = time.monotonic() + READY_SECONDS
    frames = protocol.FrameReader()
    while (left := deadline - time.monotonic()) > 0:
        poll.poll(left * 1000)
        data = handle.receive()
        if data is None:
            _memory, words = handle.death()
            raise SandboxFault("sandbox_died", "Run `make doctor`.", words or "the agent ended before it was ready")
        with contextlib.suppress(protocol.ProtocolError):
            for kind, payload in frames.feed(data):
                if (kind, payload) == (Kind.READY, bytes([protocol.VERSION])):
                    return
                raise SandboxFault("broken_frames", "Run `make images`, so that agent and server match.", kind.name)
    raise SandboxFault("sandbox_slow", "Look at the host's load, then `make doctor`.", "no agent in a parked sandbox")
