"""The audit trail: nobody changes it unseen, whoever asks, and however many write at once."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from activity import audit
from activity.errors import AppendOnly
from activity.models import AuditEntry
from tests.live import ROOT
from tests.management.commands.flush import unguarded_audit_trail
from tests.services.fixtures import with_server

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django.fixtures import Settings

pytestmark = pytest.mark.django_db

ACTOR = uuid.UUID(int=1)


def write(count: int = 1, **fields: Any) -> list[AuditEntry]:
    given = {"actor_id": ACTOR, "target_type": "user", "target_id": uuid.UUID(int=2)} | fields
    return [audit.append("user.suspended", **given) for _ in range(count)]


def meddle(sql: str, *values: Any) -> None:
    with unguarded_audit_trail(), connection.cursor() as cursor:
        cursor.execute(sql, values)


@pytest.mark.parametrize("how", ["update", "bulk_update", "delete", "save", "delete_one", "raw_update", "raw_delete"])
def test_no_entry_is_changed_or_removed(how: str) -> None:
    (entry,) = write(reason="spam")
    rows, table = AuditEntry.objects.all(), AuditEntry._meta.db_table

    def raw(sql: str) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql)

    attempts = {
        "update": lambda: rows.update(reason=""),
        "bulk_update": lambda: rows.bulk_update([entry], ["reason"]),
        "delete": rows.delete,
        "save": entry.save,
        "delete_one": entry.delete,
        "raw_update": lambda: raw(f"UPDATE {table} SET reason = ''"),
        "raw_delete": lambda: raw(f"DELETE FROM {table}"),
    }
    with pytest.raises((AppendOnly, DatabaseError)):
        attempts[how]()
    assert AuditEntry.objects.get().reason == "spam"


def test_an_entry_keeps_who_did_what_to_whom_why_and_in_which_request() -> None:
    (entry,) = write(reason="x\x00\ud800" * 400, metadata={"until": None, "ratio": 0.1, "more": {"b": 1, "a": [2.5]}})
    stored = AuditEntry.objects.get()
    assert (stored.number, stored.actor_id, stored.target_type) == (1, ACTOR, "user")
    assert stored.target_id == str(uuid.UUID(int=2))
    assert len(stored.reason) == audit.REASON_MAX_CHARS and "\x00" not in stored.reason
    assert stored.metadata == {"until": None, "ratio": "0.1", "more": {"a": ["2.5"], "b": 1}}
    assert (stored.previous_hash, stored.hash) == (audit.FIRST_PREVIOUS, entry.hash)
    assert audit.verify() == audit.Verdict(1, entry.hash)


def test_what_is_rolled_back_leaves_no_entry_and_no_gap() -> None:
    write()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        write()
        raise ZeroDivisionError
    write()
    assert audit.verify().entries == 2


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("timestamp", "2020-01-01 00:00:00+00:00"),
        ("action", "user.lifted"),
        ("actor_id", uuid.UUID(int=9).hex),
        ("target_type", "run"),
        ("target_id", "x"),
        ("reason", "nothing"),
        ("metadata", '{"a":1}'),
        ("request_id", "other"),
        ("previous_hash", "1" * 64),
        ("hash", "1" * 64),
        ("number", 77),
    ],
)
def test_the_first_entry_that_was_changed_is_named(column: str, value: Any) -> None:
    write(5)
    meddle(f"UPDATE {AuditEntry._meta.db_table} SET {column} = %s WHERE number = 3", value)
    # An entry that got another number leaves its place empty.
    broken = 4 if column == "number" else 3
    assert audit.verify().broken == broken
    with pytest.raises(CommandError, match=rf"Entry {broken} is broken"):
        call_command("verify_audit")


def test_an_entry_that_was_removed_is_missed() -> None:
    write(5)
    meddle(f"DELETE FROM {AuditEntry._meta.db_table} WHERE number = 3")
    assert audit.verify().broken == 4


def test_an_entry_that_was_changed_with_its_hash_breaks_the_next() -> None:
    entries = write(3)
    entries[1].reason = "another"
    changed = audit.hash_of(entries[1])
    meddle(f"UPDATE {AuditEntry._meta.db_table} SET reason = 'another', hash = %s WHERE number = 2", changed)
    assert audit.verify().broken == 3


def test_an_end_that_was_cut_off_or_written_anew_is_found_by_what_was_noted_down() -> None:
    out = StringIO()
    write(3)
    call_command("verify_audit", stdout=out)
    noted = out.getvalue().rpartition(" ")[2].strip()
    write(1)
    call_command("verify_audit", expect=noted, stdout=out)
    meddle(f"DELETE FROM {AuditEntry._meta.db_table} WHERE number >= 3")
    call_command("verify_audit", stdout=out)
    with pytest.raises(CommandError, match="Entry 3 is broken: the trail ends before entry 3"):
        call_command("verify_audit", expect=noted)
    write(1, reason="another")
    with pytest.raises(CommandError, match="Entry 3 is broken: it is not the entry"):
        call_command("verify_audit", expect=noted)


def test_a_table_without_its_triggers_is_reported() -> None:
    write()
    with unguarded_audit_trail(), pytest.raises(CommandError, match="triggers are gone"):
        call_command("verify_audit")
    call_command("verify_audit", stdout=StringIO())


def test_many_looks_at_one_thing_are_one_entry() -> None:
    person = uuid.uuid4()
    for target in (1, 1, 2):
        audit.note_look(person, "session", uuid.UUID(int=target))
    assert AuditEntry.objects.count() == 2


def test_a_look_is_noted_while_the_cache_is_away(settings: Settings) -> None:
    away = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = settings.CACHES | {"default": away}
    audit.note_look(ACTOR, "session", uuid.UUID(int=1))
    assert AuditEntry.objects.count() == 1


WRITERS, EACH = 3, 30
WRITER = f"""
import threading, uuid, django
django.setup()
from django.db import connection, transaction
from activity import audit
def write(worker):
    for number in range({EACH}):
        try:
            with transaction.atomic():
                audit.append("tried", actor_id=None, target_type="user", target_id=uuid.uuid4())
                if number % 3 == 2:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    connection.close()
threads = [threading.Thread(target=write, args=(worker,)) for worker in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


@pytest.mark.parametrize("database", ["sqlite", with_server("postgres")])
@pytest.mark.slow
def test_parallel_writers_in_several_processes_keep_one_chain(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment |= {"DJANGO_SETTINGS_MODULE": "codecrafter.settings", "DATA_DIR": str(tmp_path)}
    if database == "postgres":
        environment["DATABASE_URL"] = request.getfixturevalue("postgres_url")

    def manage(*words: str) -> str:
        argv = [sys.executable, "manage.py", *words]
        return subprocess.run(argv, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout

    manage("migrate", "-v", "0")
    # Other tests write to the one PostgreSQL too.
    before = int(manage("verify_audit").split()[0]) if database == "postgres" else 0
    argv = [sys.executable, "-c", WRITER]
    writers = [subprocess.Popen(argv, cwd=ROOT, env=environment, stderr=subprocess.PIPE) for _ in range(WRITERS)]
    for writer in writers:
        _, said = writer.communicate()
        assert writer.returncode == 0, said
        assert b"Traceback" not in said, said
    assert int(manage("verify_audit").split()[0]) == before + WRITERS * 2 * EACH * 2 // 3
