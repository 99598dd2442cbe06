from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('execution', '0002_test_cases_and_self_tests'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='availablelanguage',
            options={'verbose_name': 'language', 'permissions': [('switch_availablelanguage', 'Can switch language on and off, and test it')]},
        ),
        migrations.AddField(
            model_name='availablelanguage',
            name='switched_off_at',
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name='availablelanguage',
            name='switched_off_reason',
            field=models.CharField(blank=True, editable=False, max_length=500),
        ),
    ]
