from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('execution', '0005_tell_nothing_of_earlier_hidden_cases'),
    ]

    operations = [
        migrations.AddField(
            model_name='run',
            name='counted_as',
            field=models.CharField(blank=True, default='', editable=False, max_length=100),
        ),
    ]
