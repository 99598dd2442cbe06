from django.db import migrations
from django.db.models import OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce, Length


def count(apps, schema_editor):
    """What compaction will keep up to date from now on."""
    def total(name):
        rows = apps.get_model('sessions_app', name).objects.filter(document=OuterRef('pk')).order_by()
        return Coalesce(Subquery(rows.values('document').annotate(size=Sum(Length('payload'))).values('size')), 0)

    documents = apps.get_model('sessions_app', 'Document').objects.filter(snapshot_seq__gt=0)
    documents.update(history_bytes=total('Segment') + total('Snapshot'))


class Migration(migrations.Migration):

    dependencies = [
        ('sessions_app', '0010_history_bytes'),
    ]

    operations = [
        # Going back, the column itself goes.
        migrations.RunPython(count, migrations.RunPython.noop),
    ]
