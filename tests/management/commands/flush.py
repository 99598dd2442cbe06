"""Django's flush, which empties the tables after a test with transactions of its own, the audit trail too.

The rows that Django makes after migrations stay: to make them again takes ten times as long as the rest.
"""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management.color import no_style
from django.core.management.commands import flush
from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Iterator

_guard = import_module("activity.migrations.0003_audit_trail_is_append_only")
MADE_AFTER_MIGRATIONS = {model._meta.db_table for model in (ContentType, Permission, Group, Group.permissions.through)}


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
        connection = connections[options["database"]]
        tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False))
        emptied = connection.ops.sql_flush(no_style(), sorted(tables - MADE_AFTER_MIGRATIONS))
        with unguarded_audit_trail(options["database"]):
            connection.ops.execute_sql_flush(emptied)
