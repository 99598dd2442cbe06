"""Random edits and undo, a thousand rounds through a real server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.realtime.test_random_edits import random_edits

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(7200)
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "1000"))


async def test_a_thousand_rounds_of_random_edits(server, tmp_path: Path):
    """(d) yjs's own helper makes the people and compares their documents after each round."""
    done = await random_edits(server, tmp_path, ROUNDS, undo=False)
    print(f"\nproved: {done['rounds']} rounds of random edits by five people ended the same")


async def test_a_thousand_rounds_with_undo(server, tmp_path: Path):
    done = await random_edits(server, tmp_path, ROUNDS, undo=True, seed=50_000)
    print(f"\nproved: {done['undone']} undos in {done['rounds']} rounds removed nobody else's characters")


async def test_a_thousand_rounds_with_characters_cut_in_two(server, tmp_path: Path):
    done = await random_edits(server, tmp_path, ROUNDS, emoji=True, seed=100_000)
    print(f"\nproved: {done['rounds']} rounds of emoji typed and deleted by UTF-16 units left everybody with one text")
