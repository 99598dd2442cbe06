"""The thread beside a run that tells the room what is printed, as it is printed.

It is not the one that stores the output (companion.py): a commit may take a second on a busy disk, and nobody should
see a line later because an earlier one is being stored.
"""

from __future__ import annotations

import threading
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from execution import events
from execution.models import Stream

if TYPE_CHECKING:
    from uuid import UUID

ANNOUNCE_SECONDS = 0.03
# The largest message and row of output, and how often the streams may take turns in what is announced at once.
PIECE_BYTES = 64 * 1024
TURNS_MAX = 64


class Announcer(threading.Thread):
    def __init__(self, session_id: UUID, run_id: UUID) -> None:
        super().__init__(name=f"announcer-{run_id}", daemon=True)
        self._session_id = session_id
        self._run_id = run_id
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._heard: list[tuple[str, bytes]] = []
        self._offsets: dict[str, int] = dict.fromkeys(Stream.values, 0)

    def take(self, stream: str, data: bytes) -> None:
        """Announce `data` soon. Never waits; called by one thread."""
        with self._lock:
            self._heard.append((stream, data))
        self._wake.set()
        if self.ident is None:
            self.start()

    def close(self) -> None:
        """Announce what is left. Nothing is announced afterwards."""
        self._closed.set()
        self._wake.set()
        if self.is_alive():
            self.join()
        self._announce()

    def run(self) -> None:
        while not self._closed.is_set():
            self._wake.wait()
            self._wake.clear()
            self._announce()
            # The first piece goes out at once; what follows is gathered, so that a chatty program costs few messages.
            self._closed.wait(ANNOUNCE_SECONDS)

    def _announce(self) -> None:
        with self._lock:
            heard, self._heard = self._heard, []
        for stream, data in _merged(heard):
            events.announce_output(self._session_id, self._run_id, stream, self._offsets[stream], data)
            self._offsets[stream] += len(data)


def _merged(heard: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Neighbours of one stream as one piece of at most PIECE_BYTES.

    The order of the streams is kept, unless they take turns so often that it would cost a message for every few bytes.
    """
    if len(heard) > TURNS_MAX:
        heard = sorted(heard, key=itemgetter(0))
    joined = ((stream, b"".join(data for _, data in group)) for stream, group in groupby(heard, key=itemgetter(0)))
    return [(stream, piece) for stream, data in joined for _, piece in pieces(data)]


def pieces(data: bytes) -> list[tuple[int, bytes]]:
    """Where each piece of at most PIECE_BYTES starts, and the piece."""
    return [(start, data[start : start + PIECE_BYTES]) for start in range(0, len(data), PIECE_BYTES)]
