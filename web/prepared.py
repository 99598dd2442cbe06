"""Compile the SQL of the hottest reads once: compiling a query takes Django ten times as long as running it.

    find = Prepared(lambda key: Thing.objects.filter(pk=key).values_list("id", "name"))
    find.first(key)

The queryset is built with placeholders, so nothing in it may depend on the values or on the time. PostgreSQL plans it
once per connection, like every statement that binding_cursor() sends.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model
from psycopg import Cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.db.models import QuerySet

M = TypeVar("M", bound=Model)


class Prepared:
    """A query by one or more UUIDs that returns rows like values_list()."""

    def __init__(self, build: Callable[..., QuerySet[Any, Any]]) -> None:
        self._build = build
        self._placeholders = [uuid.uuid4() for _ in range(build.__code__.co_argcount)]
        self._compiled: tuple[str, list[Any], dict[int, Any]] | None = None

    def first(self, *keys: uuid.UUID) -> tuple[Any, ...] | None:
        sql, params, converters = self._compiled or self._compile()
        connection = connections[DEFAULT_DB_ALIAS]
        given = {place: _adapted(connection, key) for place, key in zip(self._placeholders, keys, strict=True)}
        with binding_cursor(connection) as cursor:
            cursor.execute(sql, [given[value] if isinstance(value, uuid.UUID) else value for value in params])
            row = cursor.fetchone()
        return row and tuple(_converted(row, converters, connection))

    def _compile(self) -> tuple[str, list[Any], dict[int, Any]]:
        connection = connections[DEFAULT_DB_ALIAS]
        query = self._build(*self._placeholders)[:1].query
        compiler = query.get_compiler(connection=connection)
        sql, params = compiler.as_sql()
        by_adapted = {_adapted(connection, place): place for place in self._placeholders}
        columns = [selected[0] for selected in compiler.select[: compiler.col_count]]
        self._compiled = sql, [by_adapted.get(value, value) for value in params], compiler.get_converters(columns)
        return self._compiled


def binding_cursor(connection: Any) -> Any:
    """Return a cursor that, on PostgreSQL, sends values apart from the query, so that statements can be prepared."""
    if connection.vendor != "postgresql":
        return connection.cursor()
    connection.ensure_connection()
    make = connection.make_debug_cursor if connection.queries_logged else connection.make_cursor
    return make(Cursor(connection.connection))


def _adapted(connection: Any, key: uuid.UUID) -> Any:
    return key if connection.features.has_native_uuid_field else key.hex


def _converted(row: Sequence[Any], converters: dict[int, Any], connection: Any) -> list[Any]:
    values = list(row)
    for position, (steps, column) in converters.items():
        for step in steps:
            values[position] = step(values[position], column, connection)
    return values


class Columns(Generic[M]):
    """Names some or all columns for values_list(), and makes an instance of their values, with the others deferred."""

    def __init__(self, model: type[M], prefix: str = "", only: Sequence[str] = ()) -> None:
        self._model = model
        self._attributes = list(only) or [field.attname for field in model._meta.concrete_fields]
        self.names = [prefix + name for name in self._attributes]

    def __len__(self) -> int:
        return len(self.names)

    def instance(self, values: Sequence[Any]) -> M:
        return self._model.from_db(DEFAULT_DB_ALIAS, self._attributes, values)
