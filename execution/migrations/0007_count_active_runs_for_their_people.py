from django.db import migrations


def count_for_people(apps, schema_editor):
    """Those that wait or run; the others are not counted any more."""
    Run = apps.get_model("execution", "Run")
    active = Run.objects.filter(status__in=("queued", "running"), counted_as="").exclude(user=None)
    for run in active.select_related("user").only("user__bot_of"):
        Run.objects.filter(pk=run.pk).update(counted_as=f"person:{run.user.bot_of_id or run.user.pk}")


class Migration(migrations.Migration):

    dependencies = [
        ('execution', '0006_whom_a_run_counts_for'),
    ]

    operations = [
        migrations.RunPython(count_for_people, migrations.RunPython.noop),
    ]
