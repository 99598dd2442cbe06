from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('activity', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('number', models.PositiveBigIntegerField(primary_key=True, serialize=False)),
                ('timestamp', models.DateTimeField(db_index=True)),
                ('action', models.CharField(db_index=True, max_length=60)),
                ('actor_id', models.UUIDField(db_index=True, null=True)),
                ('target_type', models.CharField(max_length=20)),
                ('target_id', models.CharField(db_index=True, max_length=64)),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('metadata', models.JSONField(default=dict)),
                ('request_id', models.CharField(blank=True, max_length=64)),
                ('previous_hash', models.CharField(max_length=64, unique=True)),
                ('hash', models.CharField(max_length=64)),
            ],
            options={
                'verbose_name_plural': 'audit trail',
                'ordering': ['-number'],
            },
        ),
    ]
