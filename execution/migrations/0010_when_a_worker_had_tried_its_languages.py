from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('execution', '0009_runs_that_were_handed_back'),
    ]

    operations = [
        migrations.AddField(
            model_name='worker',
            name='tried_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
