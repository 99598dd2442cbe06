"""The ASGI application: HTTP to Django behind the body limit, sockets to realtime, and the lifespan of the parts."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "codecrafter.settings")
# Django must be ready before the modules below read its models.
_django = get_asgi_application()

from asgiref.sync import sync_to_async  # noqa: E402
from django.conf import settings  # noqa: E402
from django.db import connection  # noqa: E402

from accounts.socket_auth import SocketAuth  # noqa: E402
from codecrafter import database_watch  # noqa: E402
from codecrafter.celery import app, upkeep_app  # noqa: E402
from codecrafter.database_watch import DatabaseWatch  # noqa: E402
from codecrafter.housekeeping import Housekeeper  # noqa: E402
from codecrafter.worker import EmbeddedWorker  # noqa: E402
from realtime.routing import websocket_urlpatterns  # noqa: E402
from web.body_limit import BodyLimit  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def _embedded_parts() -> list[Any]:
    """Create the worker and the periodic work. Call it in a thread: Celery closes database connections meanwhile."""
    return [EmbeddedWorker(app, upkeep_app, settings.WORKER_CONCURRENCY), Housekeeper()]


async def lifespan(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Start and stop the parts of the process (ASGI lifespan): if embedded, also the worker and periodic work."""
    parts: list[Any] = []
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            if settings.EMBEDDED:
                parts = await sync_to_async(_embedded_parts, thread_sensitive=False)()
                for part in parts:
                    await sync_to_async(part.start, thread_sensitive=False)()
            if connection.vendor == "postgresql":
                database_watch.watch = DatabaseWatch()
            await send({"type": "lifespan.startup.complete"})
        else:
            if database_watch.watch is not None:
                await database_watch.watch.stop()
            for part in parts:
                try:
                    await sync_to_async(part.stop, thread_sensitive=False)()
                except Exception:
                    # The others are stopped and the process ends, even if the database is unavailable.
                    logger.exception("a part of the server did not stop in order")
            await send({"type": "lifespan.shutdown.complete"})
            return


logger = logging.getLogger(__name__)

application = ProtocolTypeRouter(
    {
        "http": BodyLimit(_django, settings.BODY_MAX_BYTES),
        "websocket": SocketAuth(URLRouter(websocket_urlpatterns)),
        "lifespan": lifespan,
    }
)
