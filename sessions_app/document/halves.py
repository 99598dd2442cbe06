"""Track the positions of the second halves of characters outside the BMP. Pure."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# The size of one place.
HALF_BYTES = 4
# Such characters in UTF-8.
OUTSIDE_BMP = re.compile(rb"[\xf0-\xf4][\x80-\xbf]{3}")


class Halves:
    """Where the second halves of a document's characters outside the BMP are: four bytes each, as such a character has
    in UTF-8."""

    def __init__(self) -> None:
        # Client -> clocks, growing.
        self._clocks: dict[int, array[int]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, place: tuple[int, int]) -> bool:
        client, clock = place
        clocks = self._clocks.get(client)
        return clocks is not None and (at := bisect_left(clocks, clock)) < len(clocks) and clocks[at] == clock

    def add(self, halves: Iterable[tuple[int, int]]) -> None:
        """Add halves. Those of one client must be in order, and after the ones that are here."""
        for client, clock in halves:
            self._clocks.setdefault(client, array("I")).append(clock)
            self._count += 1

    def discard(self, places: Iterable[tuple[int, int]]) -> None:
        for client, clock in places:
            if (client, clock) in self:
                del self._clocks[client][bisect_left(self._clocks[client], clock)]
                self._count -= 1

    def cut_off(self, ends: Mapping[int, int]) -> None:
        """Keep of each client what lies before its end."""
        for client, clocks in self._clocks.items():
            del clocks[bisect_left(clocks, ends.get(client, 0)) :]
        self._count = sum(map(len, self._clocks.values()))
