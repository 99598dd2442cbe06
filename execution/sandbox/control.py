"""What other threads may tell a run while it goes on, and what they may know of it."""

import contextlib
import os
import threading

MAX_WAITING_INPUT_BYTES = 1024 * 1024


class Control:
    """Cancel a run or type into it, from any thread, before or while it runs; after its end the calls do nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._input = bytearray()
        self._input_closed = False
        self._cancelled = False
        # What the program has used so far, by the supervisor; None until it starts.
        self.cpu_ms: int | None = None
        self._wake_fd = -1

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            self._wake()

    def send_input(self, data: bytes) -> bool:
        """Queue bytes for an interactive program; False when its input is closed or too much is waiting already."""
        with self._lock:
            if self._input_closed or len(self._input) + len(data) > MAX_WAITING_INPUT_BYTES:
                return False
            self._input += data
            self._wake()
            return True

    def close_input(self) -> None:
        with self._lock:
            self._input_closed = True
            self._wake()

    @property
    def is_cancelled(self) -> bool:
        with self._lock:
            return self._cancelled

    def take_input(self) -> tuple[bytes, bool]:
        """For the supervisor: what was typed since the last call, and whether that was all."""
        with self._lock:
            data = bytes(self._input)
            self._input.clear()
            return data, self._input_closed

    def attach(self, wake_fd: int) -> None:
        """For the supervisor: a non-blocking eventfd that is added to on every call; -1 ends that."""
        with self._lock:
            self._wake_fd = wake_fd

    def _wake(self) -> None:
        if self._wake_fd >= 0:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_write(self._wake_fd, 1)
