from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("execution", "0010_when_a_worker_had_tried_its_languages")]

    operations = [
        migrations.AddField(
            model_name="run", name="waits_for_input", field=models.BooleanField(db_default=False, default=False, editable=False)
        ),
    ]
