from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sessions_app', '0009_guest_last_seen'),
    ]

    operations = [
        migrations.AddField(
            model_name='document',
            name='history_bytes',
            field=models.BigIntegerField(default=0),
        ),
    ]
