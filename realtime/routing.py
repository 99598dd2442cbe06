"""Where sockets go. The last pattern takes every other path, to be refused after accept: clients retry a bare 403."""

from django.urls import re_path

from realtime.consumers import SessionConsumer

websocket_urlpatterns = [
    re_path(r"^ws/sessions/(?P<session_id>[0-9a-fA-F-]{32,36})/?$", SessionConsumer.as_asgi()),
    re_path(r"^", SessionConsumer.as_asgi()),
]
