from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('execution', '0007_count_active_runs_for_their_people'),
    ]

    operations = [
        migrations.AddField(
            model_name='worker',
            name='slots',
            field=models.PositiveSmallIntegerField(default=0),
        ),
    ]
