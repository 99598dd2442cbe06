"""Gives each person in one room a hue: no two present people share one while there are enough, and each keeps theirs.

Every process gives hues to its own people and tells the others since when they have them; the older claim holds.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from accounts.models import HUES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence


# Claims of people who left, or were heard of elsewhere: the oldest beyond so many are forgotten.
KEPT_CLAIMS_MAX = 500


class _Claim(NamedTuple):
    since: int
    hue: int


class Hues:
    def __init__(self) -> None:
        # Also of people who left: they get theirs again if it is free.
        self._claims: dict[str, _Claim] = {}

    def give(self, user_id: str, own: int, present: Collection[str]) -> int:
        """Give somebody who comes a hue: the one they have here already, the one that they had, or a free one."""
        if user_id not in self._claims or user_id not in present:
            self._choose(user_id, own, present)
        return self._claims[user_id].hue

    def _choose(self, user_id: str, own: int, present: Collection[str]) -> None:
        taken = {self._claims[other].hue for other in present if other != user_id and other in self._claims}
        had = self._claims.get(user_id)
        preferred = own if had is None else had.hue
        hue = next((hue for hue in (preferred, own, *range(HUES)) if hue not in taken), preferred)
        if had is None or had.hue != hue:
            self._claims[user_id] = _Claim(time.time_ns() // 1_000_000, hue)
            self._forget_oldest({user_id, *present})

    def claims(self, user_ids: Iterable[str]) -> dict[str, Sequence[int]]:
        """Return the claims that other processes are told."""
        return {user_id: self._claims[user_id] for user_id in user_ids if user_id in self._claims}

    def hear(self, claims: Mapping[str, Sequence[int]], mine: Collection[str]) -> None:
        """Take over what another process gave its people. For somebody who is at both, the older claim holds."""
        for user_id, (since, hue) in claims.items():
            claim = _Claim(since, hue)
            if user_id not in mine or claim < self._claims[user_id]:
                self._claims[user_id] = claim

    def settle(self, mine: Collection[str], present: Collection[str]) -> dict[str, int]:
        """Return the hues of this process' people; those who came later give way to somebody who had theirs before."""
        for user_id in sorted(mine, key=self._rank):
            others = [other for other in present if other in self._claims and self._rank(other) < self._rank(user_id)]
            hue = self._claims[user_id].hue
            if any(self._claims[other].hue == hue for other in others):
                self._choose(user_id, hue, present)
        self._forget_oldest({*mine, *present})
        return {user_id: self._claims[user_id].hue for user_id in mine}

    def _forget_oldest(self, present: set[str]) -> None:
        if len(self._claims) > KEPT_CLAIMS_MAX + len(present):
            absent = sorted(self._claims.keys() - present, key=self._rank)
            for user_id in absent[: len(absent) - KEPT_CLAIMS_MAX]:
                del self._claims[user_id]

    def _rank(self, user_id: str) -> tuple[int, str]:
        return self._claims[user_id].since, user_id
