"""Rings the other processes that have this session open, over the channel layer.

The layer may lose what it likes: text is repaired from the log, people and cursors are told again (neighbours.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sessions_app import events
from sessions_app.document import update_log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from realtime.room.host import Host
    from sessions_app.document.update_log import Appended, Entry

# A process that has not been heard of for this long is forgotten.
SILENCE_SECONDS = 30


class Doorbell:
    def __init__(self, host: Host, session_id: UUID, epoch: UUID) -> None:
        self._host = host
        self._session_id = session_id
        self._epoch = epoch
        # When each other process that has this room open was last heard of.
        self._heard: dict[str, float] = {}

    @property
    def is_heard(self) -> bool:
        """Whether another process is known to have this room open."""
        return bool(self._heard) and not self._host.is_alone

    def is_for_us(self, message: dict[str, Any]) -> bool:
        """Whether a bell comes from elsewhere and is about this history of the document."""
        return message.get("process") != self._host.process and message.get("epoch") == self._epoch.hex

    def note_heard(self, process: str, now: float) -> bool:
        """Returns whether the process is new here: it may have missed what was committed before it was known."""
        if not process:
            return False
        is_new = process not in self._heard
        self._heard[process] = now
        return is_new

    def forget_silent(self, now: float) -> None:
        self._heard = {name: at for name, at in self._heard.items() if now - at <= SILENCE_SECONDS}

    def ring(self, message: dict[str, Any], *, to_strangers: bool = False) -> None:
        """Tell the other processes; nobody while none is known to have this room open.

        One that opens it reads the log and announces itself, and both then say how far they know the log to go.
        """
        if self.is_heard or (to_strangers and not self._host.is_alone):
            bell = {"process": self._host.process, "epoch": self._epoch.hex, **message}
            events.ring_document(self._session_id, bell)

    def ring_committed(self, appended: Appended, rows: Sequence[Entry]) -> None:
        if self.is_heard:
            self.ring(update_log.bell(self._epoch, appended.first_seq, appended.last_seq, rows, self._host.process))
