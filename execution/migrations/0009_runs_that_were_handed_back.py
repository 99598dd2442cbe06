from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('execution', '0008_slots_of_workers'),
    ]

    operations = [
        migrations.AddField(
            model_name='run',
            name='handed_back',
            field=models.PositiveSmallIntegerField(default=0, editable=False),
        ),
    ]
