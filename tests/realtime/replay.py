"""A trace of several people, by stock providers at two server processes, while something is done to the servers."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sessions_app.document.opening import Limits
from sessions_app.document.replica import Replica
from tests.live import ROOT
from tests.realtime.page import page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.live import Person

LIMITS = Limits(1 << 30, 1 << 30)


@dataclass
class Ended:
    text: str
    acknowledged: int
    update: bytes


async def replay(
    people: Sequence[Person],
    session_id: str,
    raw: dict[str, Any],
    *,
    limit: int | None = None,
    pace_ms: int = 20,
    disturb: Callable[[float], Awaitable[None]] | None = None,
) -> Ended:
    """Type the trace, each agent as one of `people`; `disturb(share)` is called while it runs, with what is typed."""
    node = shutil.which("node")
    assert node is not None
    with tempfile.TemporaryDirectory(prefix="cc-trace-") as folder:
        job, kept = Path(folder) / "job.json", Path(folder) / "acknowledged"
        agents = [{"server": f"{one.server.ws_url}/ws/sessions", "token": one.access} for one in people]
        described = {"agents": agents, "room": session_id, "txns": raw["txns"][:limit], "pace": pace_ms}
        job.write_text(json.dumps({**described, "acknowledged": str(kept)}))
        process = await asyncio.create_subprocess_exec(
            node,
            "--experimental-websocket",
            "--no-warnings",
            str(ROOT / "tests" / "realtime" / "trace_client.mjs"),
            str(job),
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 26,
        )
        assert process.stdout is not None
        disturbing: list[asyncio.Task[None]] = []
        try:
            async for line in process.stdout:
                said = json.loads(line)
                assert said["at"] != "refused", said
                if said["at"] == "step" and disturb is not None and (not disturbing or disturbing[-1].done()):
                    disturbing.append(asyncio.ensure_future(disturb(said["number"] / said["of"])))
                    # What cannot be done to the servers ends the wait for what would come of it.
                    disturbing[-1].add_done_callback(lambda task: process.kill() if task.exception() else None)
                if said["at"] == "end":
                    return Ended(said["text"], said["acknowledged"], kept.read_bytes())
            raise AssertionError("the trace client ended early")
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await asyncio.gather(*disturbing)


async def require_all_of(ended: Ended, person: Person, session_id: str) -> None:
    """The log holds every acknowledged edit, and its text is the end. Ask a process that has just started."""
    assert ended.acknowledged
    async with page(person, session_id) as fresh:
        assert fresh.text == ended.text
        replica = Replica(fresh.doc.get_update(), LIMITS)
    assert not replica.has_news(ended.update)
    replica.close()
    assert person.text(session_id) == ended.text
