"""Takes a large update slice by slice, so that the event loop has as much time for others in between.

An update that was begun goes on to its end also when its socket ends, or may only read from then on: half of it is no
text that anybody wrote.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from realtime.wire import close_codes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from realtime.connection.connection import Connection, Frame
    from realtime.room.gate import Gate

    # Returns False when the rest of the frame is not to be taken.
    TakeSlice = Callable[[Connection, Frame, bytes], bool]
    Finish = Callable[[Connection, Frame], None]
    Expel = Callable[[Connection, int, str], None]

logger = logging.getLogger(__name__)


class LargeUpdates:
    def __init__(self, gate: Gate, expel: Expel) -> None:
        self._gate = gate
        self._expel = expel
        # With the person whose update each takes.
        self._tasks: dict[asyncio.Task[None], str] = {}

    def __len__(self) -> int:
        """How many are being taken."""
        return len(self._tasks)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def finished(self) -> None:
        """Wait until those that were begun are taken to their end."""
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    async def wait_for_own(self, user_id: str) -> None:
        """Wait until no update of this person is being taken: sockets that end would leave any number of them."""
        while own := {task for task, other_id in self._tasks.items() if other_id == user_id}:
            await asyncio.wait(own)

    async def take(
        self, connection: Connection, frame: Frame, slices: Sequence[bytes], take: TakeSlice, finish: Finish
    ) -> None:
        task = asyncio.get_running_loop().create_task(self._take(connection, frame, slices, take, finish))
        self._tasks[task] = connection.user_id
        task.add_done_callback(self._tasks.pop)
        await asyncio.shield(task)

    async def _take(
        self, connection: Connection, frame: Frame, slices: Sequence[bytes], take: TakeSlice, finish: Finish
    ) -> None:
        loop = asyncio.get_running_loop()
        try:
            for part in slices:
                started = loop.time()
                if not take(connection, frame, part):
                    return
                await asyncio.sleep(loop.time() - started)
                if not self._gate.is_whole and not await self._gate.is_whole_in_time():
                    logger.error("a large update of user %s was cut short: its document is away", connection.user_id)
                    self._expel(connection, close_codes.TRY_AGAIN, "the document cannot be read now")
                    return
            finish(connection, frame)
        except Exception:
            logger.exception("a large update of user %s failed", connection.user_id)
            self._expel(connection, close_codes.FAILED, "internal error")
