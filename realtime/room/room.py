"""One live document in this process: who is in it, and the parts that it is made of.

edits.py is the way of an edit; fan_out.py, cursors.py and presence.py tell the sockets; neighbours.py knows the other
processes. Everything here runs on one event loop.
"""

from __future__ import annotations

import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from django.conf import settings

from realtime import metrics
from realtime.room.cursors import Cursors
from realtime.room.doorbell import Doorbell
from realtime.room.edits import Edits
from realtime.room.gate import Gate
from realtime.room.neighbours import Neighbours
from realtime.room.plain_clients import PlainClients
from realtime.room.presence import Presence
from realtime.wire import protocol
from sessions_app.limits import CHAT_MAX_CHARACTERS

if TYPE_CHECKING:
    from uuid import UUID

    from realtime.connection.connection import Connection
    from realtime.room.host import Host
    from sessions_app import messages
    from sessions_app.document.opening import Opened
    from sessions_app.document.update_log import Loaded

# Ids of chat messages that are remembered as shown.
SHOWN_CHAT_MAX = 200


class Room:
    def __init__(self, host: Host, session_id: UUID, loaded: Loaded, opened: Opened) -> None:
        self.session_id = session_id
        self.epoch = loaded.epoch
        self.connections: dict[str, Connection] = {}
        self.idle_since = time.monotonic()
        self._host = host
        self.gate = Gate()
        self.doorbell = Doorbell(host, session_id, loaded.epoch)
        self.edits = Edits(self, host, self.gate, self.doorbell, loaded, opened)
        self._fan_out = self.edits.fan_out
        self.cursors = Cursors(self.connections, self._fan_out, self.doorbell)
        self.presence = Presence(self.connections, self._fan_out, self.cursors, self.doorbell)
        self.neighbours = Neighbours(host, self.doorbell, self.edits, self.cursors, self.presence)
        self._plain: PlainClients | None = None
        self._shown_chat: deque[str] = deque(maxlen=SHOWN_CHAT_MAX)
        self._committed_before = 0

    @property
    def plain(self) -> PlainClients:
        if self._plain is None:
            self._plain = PlainClients(self.session_id, self.gate, self.edits, self.cursors, self.presence)
            self.edits.listener = self.cursors.listener = self._plain
        return self._plain

    @property
    def is_idle(self) -> bool:
        """Whether nobody is here and everything is saved."""
        return not self.connections and self.edits.is_settled

    def close(self) -> None:
        """Free the replica on this thread and break the references that keep it."""
        self.cursors.close()
        self.edits.close()
        for connection in list(self.connections.values()):
            self._forget(connection)

    # Sockets

    def join(self, connection: Connection, measure: str) -> None:
        """`measure` is what a moderator's lock or freeze means here; empty without one."""
        self.presence.give_hue(connection)
        connection.outbox.catch_up = partial(self._catch_up, connection)
        self.connections[connection.id] = connection
        self._fan_out.add(connection.outbox)
        metrics.CONNECTIONS.inc()
        metrics.BY_PERMISSION.labels(connection.permission).inc()
        connection.tell(self._hello(connection, measure))
        connection.tell({"type": "presence", "people": self.presence.people()})
        self.cursors.greet(connection)
        self.presence.show()

    def _hello(self, connection: Connection, measure: str) -> messages.Hello:
        return {
            "type": "hello",
            "connection_id": connection.id,
            "user": {"id": connection.user_id, "username": connection.identity.username, "hue": connection.hue},
            "permission": connection.permission,
            "measure": measure,
            "epoch": str(self.epoch),
            "head": self.edits.head,
            "is_degraded": self._host.is_degraded,
            "limits": {
                "frame_bytes": settings.SOCKET_MAX_BYTES,
                "text_bytes": settings.TEXT_MAX_BYTES,
                "updates_per_second": settings.SOCKET_UPDATES_PER_SECOND,
                "chat_characters": CHAT_MAX_CHARACTERS,
            },
        }

    async def _catch_up(self, connection: Connection, state: bytes | None) -> list[bytes]:
        """The table of cursors, after the text since `state` when one is given."""
        await self.gate.wait_until_whole()
        frames = [] if state is None else [protocol.encode_update(self.edits.replica.diff(state))]
        return frames + self.cursors.shown_to(connection)

    def leave(self, connection: Connection, *, comes_back: bool = True) -> None:
        if connection.id not in self.connections:
            return
        self._forget(connection)
        self.idle_since = time.monotonic()
        if self._plain is not None:
            self._plain.leave(connection)
        self.cursors.leave(connection, comes_back=comes_back)
        self.presence.show()

    def _forget(self, connection: Connection) -> None:
        del self.connections[connection.id]
        self._fan_out.remove(connection.outbox)
        self.edits.forget(connection)
        metrics.CONNECTIONS.dec()
        metrics.BY_PERMISSION.labels(connection.permission).dec()
        self._host.left(connection)

    def expel(self, connection: Connection, code: int, reason: str) -> None:
        """Close a socket from here: it hears nothing more, and nothing more of it is taken."""
        self.leave(connection, comes_back=False)
        connection.outbox.close(code, reason)

    def expel_all(self, code: int, reason: str) -> None:
        for connection in list(self.connections.values()):
            self.expel(connection, code, reason)

    def set_permission(self, connection: Connection, permission: str) -> None:
        if permission == connection.permission:
            return
        metrics.BY_PERMISSION.labels(connection.permission).dec()
        metrics.BY_PERMISSION.labels(permission).inc()
        connection.permission = permission
        connection.tell({"type": "access", "permission": permission})
        self.cursors.refresh(connection)
        self.presence.show()
        # What was held of somebody who may not edit any more is refused.
        self.edits.held.retry_soon()

    def rename(self, connection: Connection, username: str) -> None:
        if username == connection.identity.username:
            return
        connection.rename(username)
        self.cursors.refresh(connection)
        self.presence.show()

    # Events and other processes

    def hear(self, message: dict[str, Any]) -> None:
        """A message of the channel layer: an event for the page, a changed permission, or the doorbell."""
        kind = message.get("type")
        if kind == "room.event":
            self.show_event(message["event"])
        elif kind == "room.check":
            self._host.check_soon()
        elif kind == "room.bell":
            self.neighbours.hear(message)

    def show_event(self, event: dict[str, Any] | messages.Chat) -> None:
        """Pass an event on to every socket; a chat message once, however often it is heard."""
        if event["type"] == "chat":
            if event["id"] in self._shown_chat:
                return
            self._shown_chat.append(event["id"])
        if self._plain is not None:
            self._plain.hear(event)
        self._fan_out.tell(event, may_be_lost=event["type"] == "run.output")

    def tell_degraded(self, is_degraded: bool) -> None:
        self._fan_out.tell({"type": "degraded", "is_degraded": is_degraded})

    # What comes with the clock

    def tick(self, now: float) -> None:
        """Ask for what is missing, keep in touch with other processes, and end what nobody needs any more."""
        self.edits.ask_again()
        self.neighbours.tick(now)
        if self._plain is not None and self._plain.is_over(now):
            self._plain = self.edits.listener = self.cursors.listener = None
            self.edits.replica.watch(is_watched=False)

    def keep_alive(self, now: float, interval: float) -> None:
        """Renew cursors, and say something to sockets that were told nothing for most of the interval."""
        self.cursors.renew(now, interval)
        self._fan_out.keep_alive(now - interval * 3 / 4)

    def was_edited(self) -> bool:
        """Whether anything was committed since the last time this was asked."""
        before, self._committed_before = self._committed_before, self.edits.unsaved.committed
        return self._committed_before > before
