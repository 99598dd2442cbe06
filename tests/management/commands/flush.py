"""Django's flush, which empties the tables after a test with transactions of its own, the audit trail too."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from django.core.management.commands import flush
from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Iterator

_guard = import_module("activity.migrations.0003_audit_trail_is_append_only")


@contextmanager
def unguarded_audit_trail(database: str = "default") -> Iterator[None]:
    """What somebody can do who holds the database's own keys."""
    connection = connections[database]

    def execute(sql: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql)

    editor = SimpleNamespace(connection=connection, execute=execute)
    _guard.backward(None, editor)
    try:
        yield
    finally:
        _guard.forward(None, editor)


class Command(flush.Command):
    def handle(self, **options: Any) -> None:
        with unguarded_audit_trail(options["database"]):
            super().handle(**options)
