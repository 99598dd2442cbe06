"""The slots of this worker: how many programs compute at once. A program that waits for input holds none."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Slots:
    """Thread safe. `person` is whom a run counts for (turns.py).

    Nothing keeps a program from computing again after it left its slot. So it is counted as if it held one, and the
    next run waits; but no person is counted for more than `share` in this way, so that there is room for others.
    """

    def __init__(self, count: int, share: int) -> None:
        self._count = count
        self._share = share
        self._taken: Counter[str] = Counter()
        self._beside: Counter[str] = Counter()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def one(self, person: str) -> Iterator[None]:
        """Hold a slot; wait for it first."""
        with self._changed:
            self._changed.wait_for(self._is_one_free)
            self._taken[person] += 1
        try:
            yield
        finally:
            self._change(self._taken, person, -1)

    def count_beside(self, person: str, change: int) -> None:
        """Tell that one more program of theirs computes without a slot (1), or one fewer (-1)."""
        self._change(self._beside, person, change)

    def _change(self, counter: Counter[str], person: str, by: int) -> None:
        with self._changed:
            counter[person] += by
            if not counter[person]:
                del counter[person]
            self._changed.notify_all()

    def _is_one_free(self) -> bool:
        held = sum(self._taken.values())
        for person, beside in self._beside.items():
            held += min(beside, max(0, self._share - self._taken[person]))
        return held < self._count
