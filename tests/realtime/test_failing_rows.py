"""One session whose rows the database refuses is that session's trouble alone."""

from __future__ import annotations

import asyncio
import sqlite3
import time
import uuid

import pytest

from tests.live import LiveServer
from tests.realtime.page import Page, page

REASONS = {"a constraint": "RAISE(ABORT, 'poison')", "the database's own size": "zeroblob(2000000000)"}


async def seconds_for(one: Page, edits: int) -> float:
    started = time.monotonic()
    for _ in range(edits):
        await one.type("x")
        await one.saved()
    return time.monotonic() - started


@pytest.mark.parametrize("reason", REASONS.values(), ids=REASONS.keys())
async def test_session_that_cannot_be_saved_slows_no_other(server: LiveServer, reason: str):
    alice = server.person("alice")
    poisoned, healthy = (alice.new_session(content="x\n")["id"] for _ in range(2))
    database = sqlite3.connect(server.data_dir / "codecrafter.sqlite3", timeout=20)
    (table,) = database.execute("SELECT name FROM sqlite_master WHERE name LIKE 'sessions_app_update'").fetchone()
    async with page(alice, poisoned) as sick, page(alice, healthy) as well:
        alone = await seconds_for(well, 10)
        trigger = f"poison_{uuid.uuid4().hex}"
        database.execute(
            f"CREATE TRIGGER {trigger} BEFORE INSERT ON {table} "
            f"WHEN hex(NEW.document_id) = hex('{uuid.UUID(poisoned).hex}') BEGIN SELECT {reason}; END"
        )
        database.commit()
        try:
            # Until the waits between the attempts have grown.
            for _ in range(20):
                await sick.type("y")
                await asyncio.sleep(0.2)
            assert sick.acked < sick.sent
            assert await seconds_for(well, 10) < 20 * max(alone, 0.5)
            assert sick.acked < sick.sent
        finally:
            database.execute(f"DROP TRIGGER {trigger}")
            database.commit()
            database.close()
        await sick.saved()
        assert alice.text(poisoned) == sick.text
