"""Appends to the update log over a connection of the event loop's own, where the log is in PostgreSQL.

What one person types is a commit of its own, twenty times a second. Handing it to a thread and back and passing it
through cursors takes several times the processor time of asking libpq for it, which is what happens here (PostgreSQL
manual, "Asynchronous Command Processing"). psycopg connects; `psycopg.pq` is its documented wrapper of libpq.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from django.db import connection as django_connection
from psycopg.pq import ExecStatus

from sessions_app.document import update_log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from psycopg.pq.abc import PGconn, PGresult

    from sessions_app.document.update_log import Appended, Entry

# Longer than any lock on a document is held, and than a connection takes to be given up (settings.DATABASES).
ANSWER_SECONDS = 30


class LogWriter:
    def __init__(self) -> None:
        self.connection: psycopg.AsyncConnection[Any] | None = None
        self._loop = asyncio.get_running_loop()
        self._prepared: dict[str, bytes] = {}
        self._answer: asyncio.Future[PGresult] | None = None
        self._result: PGresult | None = None
        self._has_more_to_send = False

    async def append(self, entries: Mapping[UUID, Sequence[Entry]]) -> dict[UUID, Appended]:
        """Append like update_log.append(), for one caller at a time.

        Raises psycopg.Error, or TimeoutError after ANSWER_SECONDS: the entries may be written or not.
        """
        statement, values = update_log.append_statement(entries)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                rows = await self._append(statement, values)
        except BaseException:
            self.close()
            raise
        return update_log.appended(
            (UUID(_value(rows, row, 0)), int(_value(rows, row, 1)), int(_value(rows, row, 2)))
            for row in range(rows.ntuples)
        )

    async def _append(self, statement: str, values: list[Any]) -> PGresult:
        pgconn = (self.connection or await self._connect()).pgconn
        if (name := self._prepared.get(statement)) is None:
            name = str(len(self._prepared)).encode()
            await self._ask(lambda: pgconn.send_prepare(name, _numbered(statement)), ExecStatus.COMMAND_OK)
            self._prepared[statement] = name
        given = [value if isinstance(value, bytes) else _as_text(value) for value in values]
        # In binary what is bytes: a paste of a megabyte would take ten milliseconds to write out.
        formats = [int(isinstance(value, bytes)) for value in values]
        return await self._ask(lambda: pgconn.send_query_prepared(name, given, formats), ExecStatus.TUPLES_OK)

    def close(self) -> None:
        connection, self.connection = self.connection, None
        self._prepared.clear()
        self._has_more_to_send = False
        if connection is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            connection.pgconn.finish()
        self._fail(psycopg.OperationalError("the connection was closed"))

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        """Connect with the parameters that Django has for its own connections."""
        parameters = django_connection.get_connection_params()
        for name in ("cursor_factory", "context", "prepare_threshold"):
            parameters.pop(name, None)
        self.connection = await psycopg.AsyncConnection.connect(**parameters, autocommit=True)
        self.connection.pgconn.nonblocking = 1
        # Kept, because libpq does not name the socket of a connection that broke.
        self._socket = self.connection.fileno()
        self._loop.add_reader(self._socket, self._go_on)
        return self.connection

    async def _ask(self, send: Callable[[], None], expected: ExecStatus) -> PGresult:
        assert self._answer is None
        answer = self._answer = self._loop.create_future()
        self._result = None
        send()
        self._send_rest()
        result = await answer
        if result.status != expected:
            raise psycopg.DatabaseError(result.get_error_message())
        return result

    def _go_on(self) -> None:
        """Go on when the socket has something to read or, while something waits to be sent, space."""
        try:
            # uvloop reports a socket with an error once and never again. What the socket holds comes before the error,
            # which the second read finds.
            for _ in range(2):
                self._read()
        except psycopg.Error as error:
            self._fail(error)
            self.close()

    def _read(self) -> None:
        assert self.connection is not None
        pgconn: PGconn = self.connection.pgconn
        pgconn.consume_input()
        self._send_rest()
        while not pgconn.is_busy():
            if (result := pgconn.get_result()) is None:
                if self._result is not None:
                    self._settle(self._result)
                return
            self._result = result

    def _settle(self, result: PGresult) -> None:
        answer, self._answer, self._result = self._answer, None, None
        if answer is not None and not answer.done():
            answer.set_result(result)

    def _fail(self, error: psycopg.Error) -> None:
        answer, self._answer, self._result = self._answer, None, None
        if answer is not None and not answer.done():
            answer.set_exception(error)

    def _send_rest(self) -> None:
        assert self.connection is not None
        has_more = bool(self.connection.pgconn.flush())
        if has_more != self._has_more_to_send:
            self._has_more_to_send = has_more
            if has_more:
                self._loop.add_writer(self._socket, self._go_on)
            else:
                self._loop.remove_writer(self._socket)


def _numbered(statement: str) -> bytes:
    """Write the placeholders as libpq does: $1 and so on."""
    first, *others = statement.split("%s")
    return (first + "".join(f"${number}{part}" for number, part in enumerate(others, 1))).encode()


def _as_text(value: Any) -> bytes | None:
    """Write a value as PostgreSQL reads it; in the arrays here only bytes need an escape."""
    if value is None:
        return None
    if isinstance(value, list):
        return b"{" + b",".join(_as_element(element) for element in value) + b"}"
    return str(value).encode()


def _as_element(value: Any) -> bytes:
    if isinstance(value, bytes):
        return b'"\\\\x' + value.hex().encode() + b'"'
    return b"NULL" if value is None else str(value).encode()


def _value(rows: PGresult, row: int, column: int) -> str:
    value = rows.get_value(row, column)
    assert value is not None
    return bytes(value).decode()
