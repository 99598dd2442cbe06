"""Random edits of several people through the server, made and compared by yjs's own test helper; and their undo."""

from __future__ import annotations

import asyncio
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.live import ROOT
from tests.realtime.test_stock_client import MODULES, _unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live import LiveServer


async def random_edits(server: LiveServer, folder: Path, rounds: int, *, undo: bool, seed: int = 1) -> dict[str, Any]:
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
    described = {"rooms": rooms, "people": agents, "rounds": rounds, "steps": 40, "undo": undo, "seed": seed}
    job.write_text(json.dumps(described))
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
    return lines[-1]


@pytest.mark.timeout(300)
async def test_random_edits_of_five_people_end_the_same_by_yjs_own_comparison(server, tmp_path):
    assert (await random_edits(server, tmp_path, 4, undo=False))["rounds"] == 4


@pytest.mark.timeout(300)
async def test_undo_never_removes_what_somebody_else_typed(server, tmp_path):
    assert (await random_edits(server, tmp_path, 4, undo=True, seed=1000))["undone"] > 10
