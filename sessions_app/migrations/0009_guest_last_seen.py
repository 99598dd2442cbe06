import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sessions_app', '0008_reason_of_each_measure'),
    ]

    operations = [
        migrations.AddField(
            model_name='guestpass',
            name='seen_at',
            field=models.DateTimeField(default=django.utils.timezone.now, editable=False),
        ),
    ]
