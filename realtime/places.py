"""How many sockets a person may have open, what all of them may say together, and who stays outside for a while."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from django.conf import settings

from realtime import metrics
from realtime.connection.pace import SOCKETS_AT_ONCE, Pace
from realtime.wire import close_codes
from sessions_app.access import can_edit

if TYPE_CHECKING:
    from realtime.connection.connection import Connection
    from realtime.room.room import Room

# An update that breaks a replica has the document loaded again for everybody in the room. The first of a person is
# written down, and after so many the person stays outside until these seconds have passed.
BROKE_SECONDS = 60
BROKE_MAX = 3


class Full(Exception):
    """The room takes no more sockets, or no more that may edit."""


class Places:
    def __init__(self) -> None:
        # Of each person with sockets here, every one and its room.
        self._sockets: dict[str, dict[Connection, Room]] = {}
        self._paces: dict[str, Pace] = {}
        # When updates of each user broke a replica, lately.
        self._broke: dict[str, list[float]] = {}

    def take(self, room: Room, comes: Connection) -> None:
        """Count a socket that joins the room next. Raises Full.

        Of one person's sockets the quietest gives way: most likely its page is gone and TCP has not noticed.
        """
        mine = self._sockets.get(comes.user_id, {})
        if settings.RATE_LIMITS:
            self._require_place(room, comes, mine)
        self._sockets.setdefault(comes.user_id, {})[comes] = room

    def _require_place(self, room: Room, comes: Connection, mine: dict[Connection, Room]) -> None:
        self._forget_broken()
        if len(self._broke.get(comes.user_id, ())) >= BROKE_MAX:
            metrics.LIMITED.labels("broken").inc()
            raise Full("too many of your updates could not be merged")
        here = [socket for socket, its_room in mine.items() if its_room is room]
        if len(here) >= settings.SOCKET_MAX_PER_USER_AND_ROOM:
            self._give_way(here, "user_and_room")
        if len(mine) >= settings.SOCKET_MAX_PER_USER:
            self._give_way(list(mine), "user")
        if len(room.connections) >= settings.ROOM_MAX_SOCKETS:
            metrics.LIMITED.labels("room").inc()
            raise Full("the session is full")
        writers = sum(can_edit(member.permission) for member in room.connections.values())
        if can_edit(comes.permission) and writers >= settings.ROOM_MAX_WRITERS:
            metrics.LIMITED.labels("writers").inc()
            raise Full("too many people edit this session")

    def _give_way(self, sockets: list[Connection], limit: str) -> None:
        metrics.LIMITED.labels(limit).inc()
        quietest = min(sockets, key=lambda socket: socket.last_heard)
        room = self._sockets[quietest.user_id][quietest]
        room.expel(quietest, close_codes.TOO_MANY, "open too many times")

    def leave(self, leaves: Connection) -> None:
        if mine := self._sockets.get(leaves.user_id):
            mine.pop(leaves, None)
            if not mine:
                del self._sockets[leaves.user_id]

    def rooms_of(self, user_id: str) -> list[Room]:
        return list(self._sockets.get(user_id, {}).values())

    def pace_of(self, user_id: str) -> Pace:
        """What all sockets of a person spend from."""
        return self._paces.setdefault(user_id, Pace(sockets=SOCKETS_AT_ONCE))

    def forget_rested(self) -> None:
        self._paces = {user: pace for user, pace in self._paces.items() if user in self._sockets or not pace.is_rested}

    def note_broken(self, user_id: str) -> bool:
        """Note that an update of this person broke a replica, and close their sockets after BROKE_MAX. Returns whether
        it was the first one lately: the others are not written down, or they could fill the disk."""
        self._forget_broken()
        times = self._broke.setdefault(user_id, [])
        times.append(time.monotonic())
        if len(times) >= BROKE_MAX and settings.RATE_LIMITS:
            for socket, its_room in list(self._sockets.get(user_id, {}).items()):
                its_room.expel(socket, close_codes.TOO_MANY, "too many of your updates could not be merged")
        return len(times) == 1

    def _forget_broken(self) -> None:
        since = time.monotonic() - BROKE_SECONDS
        lately = {user: [moment for moment in times if moment > since] for user, times in self._broke.items()}
        self._broke = {user: times for user, times in lately.items() if times}
