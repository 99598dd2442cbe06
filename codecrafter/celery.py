"""The Celery application. Options are settings.CELERY_*; tasks live in each app's tasks.py."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import celeryd_after_setup, worker_ready, worker_shutdown, worker_shutting_down
from kombu import Exchange, Queue

from codecrafter.queues import RUNS, UPKEEP

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "codecrafter.settings")


def _application(name: str, **options: Any) -> Celery:
    made = Celery(name, **options)
    made.config_from_object("django.conf:settings", namespace="CELERY")
    made.autodiscover_tasks()
    return made


app = _application("codecrafter")
# A worker's queues belong to its application. The upkeep queue is served by a thread in each worker (worker.py).
upkeep_app = _application("codecrafter.upkeep", set_as_current=False)

_in_rabbitmq = app.conf.broker_url.startswith("amqp")
# RabbitMQ moves messages here after too many deliveries. The reaper ends the run.
_dead_letters = Exchange("dead_letters", type="direct")


def _queue(name: str) -> Queue:
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": 5,
        "x-dead-letter-exchange": _dead_letters.name,
        "x-dead-letter-routing-key": _dead_letters.name,
    }
    return Queue(name, Exchange(name), routing_key=name, queue_arguments=arguments if _in_rabbitmq else None)


for each in (app, upkeep_app):
    each.conf.task_queues = [_queue(RUNS), _queue(UPKEEP)]
    each.conf.task_routes = {
        name: {"queue": RUNS, "routing_key": RUNS} for name in ("execution.run_code", "execution.self_test")
    }
    # Polled often, because people wait for their runs.
    polling = {"polling_interval": 0.02 if each is app else 1.0}
    each.conf.broker_transport_options = {"confirm_publish": True} if _in_rabbitmq else polling


@app.on_after_finalize.connect
def _set_beat_schedule(sender: Celery, **kwargs: Any) -> None:
    from codecrafter.housekeeping import beat_schedule

    sender.conf.beat_schedule = beat_schedule()


@celeryd_after_setup.connect
def _prepare(sender: str, instance: Any, **kwargs: Any) -> None:
    from codecrafter.worker import make_room_for_connections

    instance.app.amqp.queues.deselect(UPKEEP)
    make_room_for_connections()


@worker_ready.connect
def _start_reporting(sender: Any, **kwargs: Any) -> None:
    """Start reporting in a separate worker process (the embedded worker does not send this signal)."""
    from codecrafter.metrics import serve_worker_metrics
    from codecrafter.worker import Reporter, UpkeepWorker

    with sender.app.connection_for_write() as connection:
        Queue(_dead_letters.name, _dead_letters, routing_key=_dead_letters.name, channel=connection).declare()
    serve_worker_metrics()
    UpkeepWorker(upkeep_app).start()
    reporter = Reporter()
    reporter.start()
    # The health check then need not wait for the silence of this worker to be noticed.
    worker_shutdown.connect(lambda **_: reporter.stop(), weak=False)


@worker_shutting_down.connect
def _give_runs_back(sender: Any, **kwargs: Any) -> None:
    """Return runs to the queue for other workers. Celery would wait for programs that may run for minutes."""
    from execution.runner import release_all

    release_all()
