"""The database itself refuses to change or remove entries. (SQLite drops triggers when it rebuilds a table: a migration
that changes this one must run `forward` again; `manage.py verify_audit` says when they are gone.)"""

from django.db import migrations

TABLE = "activity_auditentry"
WORDS = "the audit trail is append-only"


def forward(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        for change in ("update", "delete"):
            schema_editor.execute(
                f"CREATE TRIGGER audit_no_{change} BEFORE {change} ON {TABLE} BEGIN SELECT RAISE(ABORT, '{WORDS}'); END"
            )
    elif schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{WORDS}' USING ERRCODE = 'restrict_violation'; END $$"
        )
        schema_editor.execute(
            f"CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON {TABLE} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_audit_change()"
        )
        schema_editor.execute(
            f"CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON {TABLE} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()"
        )


def backward(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        for change in ("update", "delete"):
            schema_editor.execute(f"DROP TRIGGER IF EXISTS audit_no_{change}")
    elif schema_editor.connection.vendor == "postgresql":
        for name in ("change", "truncate"):
            schema_editor.execute(f"DROP TRIGGER IF EXISTS audit_no_{name} ON {TABLE}")
        schema_editor.execute("DROP FUNCTION IF EXISTS refuse_audit_change()")


class Migration(migrations.Migration):
    dependencies = [("activity", "0002_audit_trail")]
    operations = [migrations.RunPython(forward, backward)]
