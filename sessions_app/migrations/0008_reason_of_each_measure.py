from django.db import migrations, models
from django.db.models import F


def copy(apps, schema_editor):
    sessions = apps.get_model('sessions_app', 'CodeSession').objects
    sessions.exclude(locked_at=None).update(lock_reason=F('moderation_reason'))
    sessions.filter(locked_at=None).exclude(frozen_at=None).update(freeze_reason=F('moderation_reason'))
    sessions.filter(closed_at=None).update(moderation_reason='')


def put_back(apps, schema_editor):
    sessions = apps.get_model('sessions_app', 'CodeSession').objects.filter(closed_at=None)
    sessions.exclude(freeze_reason='').update(moderation_reason=F('freeze_reason'))
    sessions.exclude(lock_reason='').update(moderation_reason=F('lock_reason'))


class Migration(migrations.Migration):

    dependencies = [
        ('sessions_app', '0007_guest_passes'),
    ]

    operations = [
        migrations.AddField(
            model_name='codesession',
            name='lock_reason',
            field=models.CharField(blank=True, default='', editable=False, max_length=500),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='codesession',
            name='freeze_reason',
            field=models.CharField(blank=True, default='', editable=False, max_length=500),
            preserve_default=False,
        ),
        migrations.RunPython(copy, put_back),
        migrations.RenameField(
            model_name='codesession',
            old_name='moderation_reason',
            new_name='close_reason',
        ),
    ]
