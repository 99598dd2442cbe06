"""The other processes that have this session open: told who is here, heard for what was done there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime.room.cursors import Cursors
    from realtime.room.doorbell import Doorbell
    from realtime.room.edits import Edits
    from realtime.room.host import Host
    from realtime.room.presence import Presence

ANNOUNCE_SECONDS = 10


class Neighbours:
    def __init__(self, host: Host, doorbell: Doorbell, edits: Edits, cursors: Cursors, presence: Presence) -> None:
        self._host = host
        self._doorbell = doorbell
        self._edits = edits
        self._cursors = cursors
        self._presence = presence
        self._announced_at = 0.0

    def announce(self, *, asks: bool = False) -> None:
        """Tell the other processes who is here; with `asks`, have them tell the same."""
        self._announced_at = time.monotonic()
        message: dict[str, Any] = {**self._presence.told(), "asks": asks, "head": self._edits.head}
        if frames := self._cursors.vouch(self._announced_at):
            message["awareness"] = frames
        self._doorbell.ring(message, to_strangers=True)

    def tick(self, now: float) -> None:
        """Announce who is here when that is due, and forget the processes that fell silent, with their people."""
        if now - self._announced_at > ANNOUNCE_SECONDS:
            self.announce()
        self._doorbell.forget_silent(now)
        self._cursors.expire(now)
        self._presence.forget_silent(now)

    def hear(self, message: dict[str, Any]) -> None:
        """Take a bell: rows of the log, cursors, people, or a question who is here."""
        if not self._doorbell.is_for_us(message):
            return
        now = time.monotonic()
        process = str(message.get("process", ""))
        is_new = self._doorbell.note_heard(process, now)
        if message.get("head", 0) > self._edits.head:
            self._host.repair_soon("gap")
        if "last" in message and message["last"] > self._edits.head:
            is_next = message["first"] == self._edits.head + 1
            if is_next and message["updates"] is not None and self._edits.is_whole:
                self._edits.absorb(message["updates"], message["last"], message.get("users", ()))
            else:
                self._host.repair_soon("gap")
        for frame in message.get("awareness", ()):
            self._cursors.take_remote(process, frame, now)
        if "people" in message:
            self._presence.hear(process, message["people"], message.get("hues", {}), now)
        if message.get("asks") or is_new:
            self.announce()
