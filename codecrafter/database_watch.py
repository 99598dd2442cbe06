"""Ping PostgreSQL once a second, so that no request waits for a database that does not respond.

Otherwise requests would wait until the pool times out if the server is down, and indefinitely if it hangs.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

import psycopg
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection

from web.middleware import AsyncMiddleware
from web.problems import database_away_response

if TYPE_CHECKING:
    from django.db.backends.postgresql.base import DatabaseWrapper
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

logger = logging.getLogger(__name__)
ASK_SECONDS = 1.0
ANSWER_SECONDS = 2.0
# They report on the database, or do not need it.
ASKED_ANYWAY = ("/health", "/health/ready", "/metrics")


class DatabaseWatch:
    """Pings the database over its own connection. Started and stopped by asgi.py."""

    def __init__(self) -> None:
        self._connection: psycopg.AsyncConnection[Any] | None = None
        # Done once the database is unavailable; replaced when it is back.
        self.away: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        self._close()
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
            except Exception:
                logger.exception("the database check failed")
            await asyncio.sleep(ASK_SECONDS)

    async def _look(self) -> None:
        asked = asyncio.create_task(self._ask())
        # In two steps: if this loop itself was blocked, the response has arrived and is seen in the second one.
        for _ in range(2):
            await asyncio.wait({asked}, timeout=ANSWER_SECONDS / 2)
        if not asked.done():
            self._note_away()
        # Nothing else is sent to a database that hangs until it responds or the connection breaks.
        if not await asked:
            self._note_away()
        elif self.away.done():
            await self._note_back()

    async def _ask(self) -> bool:
        # A connection may break alone, such as in a proxy: a new one tells whether the database is there.
        return await self._answers() or await self._answers()

    async def _answers(self) -> bool:
        try:
            if self._connection is None:
                self._connection = await psycopg.AsyncConnection.connect(**_parameters(), autocommit=True)
            await self._connection.execute("SELECT 1")
        except (psycopg.Error, OSError):
            self._close()
            return False
        return True

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.pgconn.finish()
            self._connection = None

    def _note_away(self) -> None:
        if not self.away.done():
            logger.error("the database is not responding; requests are rejected until it does")
            self.away.set_result(None)

    async def _note_back(self) -> None:
        # The pool's connections are broken, and it may be pausing for long before it opens new ones.
        await sync_to_async(cast("DatabaseWrapper", connection).close_pool, thread_sensitive=False)()
        logger.warning("the database is responding again")
        self.away = asyncio.get_running_loop().create_future()


# The watch of this server process; None in tests, in commands and on SQLite.
watch: DatabaseWatch | None = None


def _parameters() -> dict[str, Any]:
    """Return Django's connection parameters that psycopg accepts."""
    given = connection.get_connection_params()
    return {name: given[name] for name in given.keys() - {"cursor_factory", "context", "prepare_threshold"}}


class RefuseWhileAway(AsyncMiddleware):
    """Middleware. Answers 503 at once while the database is unavailable, also to requests already waiting for it.

    It must come before everything that Django runs in the request's thread, which hangs with the database.
    """

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if watch is None or request.path in ASKED_ANYWAY or request.path.startswith(settings.STATIC_URL):
            return await self.get_response(request)
        away = watch.away
        if away.done():
            return _refusal(request)
        answer: asyncio.Future[Any] = asyncio.ensure_future(self.get_response(request))
        try:
            await asyncio.wait({answer, away}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Its thread hangs in the database and is abandoned; the task must not be.
            if not answer.done():
                answer.cancel()
        return answer.result() if answer.done() else _refusal(request)


def _refusal(request: HttpRequest) -> HttpResponseBase:
    response = database_away_response(request)
    # Django would log each request; the watch logs once.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response
