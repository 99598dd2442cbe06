"""Random edits of several people through the server, made and compared by yjs's own test helper; and their undo."""

from __future__ import annotations

import asyncio
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.live import ROOT
from tests.realtime.page import page
from tests.realtime.test_stock_client import MODULES, _unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live import LiveServer


async def random_edits(
    server: LiveServer, folder: Path, rounds: int, *, undo: bool = False, emoji: bool = False, seed: int = 1
) -> dict[str, Any]:
    """Five people in `rounds` rounds of random edits. Raises AssertionError with the seed that failed."""
    node = shutil.which("node")
    if node is None or not MODULES.is_dir():
        _unavailable("Node or frontend/node_modules is absent")
    people = [server.person(name) for name in ("alice", "bob", "carol", "dave", "erin")]
    rooms = []
    # A room is used again, so that newcomers also meet what others left; not for ever, or its text grows.
    for _ in range(max(1, rounds // 10)):
        session_id = people[0].new_session(content="")["id"]
        for other in people[1:]:
            people[0].let_in(session_id, other)
        rooms.append(session_id)
    job = folder / "job.json"
    agents = [{"server": f"{server.ws_url}/ws/sessions", "token": person.access} for person in people]
    described = {"rooms": rooms, "people": agents, "rounds": rounds, "steps": 40}
    job.write_text(json.dumps(described | {"undo": undo, "emoji": emoji, "seed": seed}))
    script = ROOT / "tests" / "realtime" / "random_edits.mjs"
    process = await asyncio.create_subprocess_exec(
        str(node),
        *("--experimental-websocket", "--no-warnings"),
        str(script),
        str(job),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    lines = [json.loads(line) for line in out.decode().splitlines() if line.startswith("{")]
    assert lines and lines[-1]["at"] == "end", (lines[-1:], err.decode()[-2000:])
    for session_id, text in lines[-1]["ends"].items():
        assert people[0].text(session_id) == text
        # Also to somebody who comes now.
        async with page(people[0], session_id) as newcomer:
            assert newcomer.text == text
    return lines[-1]


@pytest.mark.timeout(300)
async def test_random_edits_of_five_people_end_the_same_by_yjs_own_comparison(server, tmp_path):
    assert (await random_edits(server, tmp_path, 4, undo=False))["rounds"] == 4


@pytest.mark.timeout(300)
async def test_characters_that_are_cut_in_two_end_nobodys_socket_and_leave_all_with_one_text(server, tmp_path):
    """A text area replaces one emoji by another by code units, and stock Yjs passes that on."""
    assert (await random_edits(server, tmp_path, 4, emoji=True, seed=2000))["rounds"] == 4


@pytest.mark.timeout(300)
async def test_undo_never_removes_what_somebody_else_typed(server, tmp_path):
    assert (await random_edits(server, tmp_path, 4, undo=True, seed=1000))["undone"] > 10
