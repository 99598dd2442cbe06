"""Who is in one room, in this process and in others, and the hue of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from realtime.room.hues import Hues
from sessions_app import messages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from realtime.connection.connection import Connection
    from realtime.room.cursors import Cursors
    from realtime.room.doorbell import Doorbell
    from realtime.room.fan_out import FanOut

SILENCE_SECONDS = 30


@dataclass(slots=True)
class _RemotePeople:
    people: list[messages.Present]
    heard_at: float


class Presence:
    def __init__(
        self, connections: Mapping[str, Connection], fan_out: FanOut, cursors: Cursors, doorbell: Doorbell
    ) -> None:
        self._connections = connections
        self._fan_out = fan_out
        self._cursors = cursors
        self._doorbell = doorbell
        self._hues = Hues()
        # By process.
        self._remote: dict[str, _RemotePeople] = {}
        self._shown: list[messages.Present] = []

    def people(self) -> list[messages.Present]:
        people = {person["id"]: person for remote in self._remote.values() for person in remote.people}
        people |= {person["id"]: person for person in self._local()}
        return sorted(people.values(), key=lambda person: (person["username"].lower(), person["id"]))

    def person(self, user_id: str | None) -> messages.Person | None:
        """Somebody who is here."""
        for person in self.people():
            if person["id"] == user_id:
                return {"id": person["id"], "username": person["username"]}
        return None

    def give_hue(self, connection: Connection) -> None:
        """Give somebody who comes a hue that nobody present has."""
        present = [person["id"] for person in self.people()]
        connection.give_hue(self._hues.give(connection.user_id, connection.hue, present))

    def show(self, *, is_local: bool = True) -> None:
        """Tell everybody who is here, if that changed; with `is_local`, the other processes as well."""
        people = self.people()
        if people == self._shown:
            return
        self._shown = people
        self._fan_out.tell({"type": "presence", "people": people})
        if is_local:
            self._doorbell.ring(self.told())

    def told(self) -> dict[str, Any]:
        """What other processes are told of who is here."""
        people = self._local()
        return {"people": people, "hues": self._hues.claims(person["id"] for person in people)}

    def hear(self, process: str, people: list[messages.Present], hues: Mapping[str, Sequence[int]], now: float) -> None:
        """Take over who is in the room of another process."""
        if people:
            self._remote[process] = _RemotePeople(people, now)
        else:
            self._remote.pop(process, None)
        self.show(is_local=self._settle_hues(hues))

    def forget_silent(self, now: float) -> None:
        silent = [name for name, remote in self._remote.items() if now - remote.heard_at > SILENCE_SECONDS]
        for name in silent:
            del self._remote[name]
        if silent:
            self.show(is_local=False)

    def _local(self) -> list[messages.Present]:
        people: dict[str, messages.Present] = {}
        for connection in self._connections.values():
            identity = connection.identity
            person = people[connection.user_id] = messages.Present(
                id=connection.user_id,
                username=identity.username,
                hue=identity.hue,
                permission=connection.permission,
            )
            if identity.is_bot:
                person["is_bot"] = True
            if identity.is_guest:
                person["is_guest"] = True
        return list(people.values())

    def _settle_hues(self, told: Mapping[str, Sequence[int]]) -> bool:
        """Give way to people of another process who had a hue before. Whether anybody here has another one now."""
        mine = {connection.user_id for connection in self._connections.values()}
        self._hues.hear(told, mine)
        hues = self._hues.settle(mine, [person["id"] for person in self.people()])
        changed = [member for member in self._connections.values() if member.hue != hues[member.user_id]]
        for connection in changed:
            connection.give_hue(hues[connection.user_id])
            self._cursors.refresh(connection)
        return bool(changed)
