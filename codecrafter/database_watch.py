"""Asks PostgreSQL once a second whether it answers, so that no request waits for one that does not.

A server that is gone would be waited for as long as the pool has patience, and one that hangs, without end.
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
# They say how the database is, or need none.
ASKED_ANYWAY = ("/health", "/health/ready", "/metrics")


class DatabaseWatch:
    """A part of the server, over a connection of its own (asgi.py starts and stops it)."""

    def __init__(self) -> None:
        self._connection: psycopg.AsyncConnection[Any] | None = None
        # Done once the database is away; another one when it is back.
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
                logger.exception("the database could not be asked whether it answers")
            await asyncio.sleep(ASK_SECONDS)

    async def _look(self) -> None:
        asked = asyncio.create_task(self._ask())
        # In two parts: when this very loop was held up, the answer has come meanwhile and is seen in the second.
        for _ in range(2):
            await asyncio.wait({asked}, timeout=ANSWER_SECONDS / 2)
        if not asked.done():
            self._note_away()
        # One that hangs is asked nothing else until it goes on or its connection breaks.
        if not await asked:
            self._note_away()
        elif self.away.done():
            await self._note_back()

    async def _ask(self) -> bool:
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
            logger.error("the database does not answer; requests are refused until it does")
            self.away.set_result(None)

    async def _note_back(self) -> None:
        # The pool's connections are broken, and it may be in a long pause before it makes others.
        await sync_to_async(cast("DatabaseWrapper", connection).close_pool, thread_sensitive=False)()
        logger.warning("the database answers again")
        self.away = asyncio.get_running_loop().create_future()


# Of this process's server; None in tests, in commands and on SQLite.
watch: DatabaseWatch | None = None


def _parameters() -> dict[str, Any]:
    """Those of Django's own connections that are psycopg's."""
    given = connection.get_connection_params()
    return {name: given[name] for name in given.keys() - {"cursor_factory", "context", "prepare_threshold"}}


class RefuseWhileAway(AsyncMiddleware):
    """Middleware: 503 at once while the database is away, also for requests that were waiting for it.

    It stands before all that Django runs in the request's one thread, which hangs while the database does.
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
            # Its thread hangs in the database and is left behind; the task must not be.
            if not answer.done():
                answer.cancel()
        return answer.result() if answer.done() else _refusal(request)


def _refusal(request: HttpRequest) -> HttpResponseBase:
    response = database_away_response(request)
    # Django would log each; the watch says it once.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response
