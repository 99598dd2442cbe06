"""The Celery application. Options are settings.CELERY_*; tasks live in each app's tasks.py."""

from __future__ import annotations

import os

from celery import Celery
from kombu import Exchange, Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "codecrafter.settings")

app = Celery("codecrafter")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

# Runs and upkeep wait in different queues, so that neither holds up the other. A message that is delivered again and
# again goes to the dead-letter queue; its run row is finished by the reaper (execution/upkeep.py).
_dead_letters = Exchange("dead_letters", type="direct")


def _queue(name: str) -> Queue:
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": 5,
        "x-dead-letter-exchange": _dead_letters.name,
        "x-dead-letter-routing-key": "dead_letters",
    }
    in_rabbitmq = app.conf.broker_url.startswith("amqp")
    return Queue(name, Exchange(name), routing_key=name, queue_arguments=arguments if in_rabbitmq else None)


app.conf.task_queues = [_queue("runs"), _queue("upkeep")]
app.conf.task_default_queue = "upkeep"
app.conf.task_default_exchange = "upkeep"
app.conf.task_default_routing_key = "upkeep"
app.conf.task_routes = {"execution.run_code": {"queue": "runs", "routing_key": "runs"}}
app.conf.broker_transport_options = (
    {"confirm_publish": True} if app.conf.broker_url.startswith("amqp") else {"polling_interval": 0.02}
)
