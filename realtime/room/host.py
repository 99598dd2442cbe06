"""What the parts of a room ask of what is around them: the process (realtime/registry.py answers), and the room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from realtime.connection.connection import Connection
    from sessions_app.document.opening import Limits, Sliced


class Host(Protocol):
    @property
    def process(self) -> str:
        """The name of the process among those that share the channel layer."""

    @property
    def is_alone(self) -> bool:
        """Whether no other process can hear this one."""

    @property
    def is_degraded(self) -> bool:
        """Whether the channel layer is silent."""

    def commit_soon(self) -> None: ...

    def repair_soon(self, cause: str) -> None:
        """Read what the log has beyond the room's head."""

    def rebuild_soon(self) -> None:
        """Load the document again."""

    def check_soon(self) -> None:
        """Ask the access table again for the room's sockets."""

    def broke(self, user_id: str, update: bytes, error: Exception) -> None:
        """Keep an update that broke the replica."""

    def left(self, connection: Connection) -> None: ...

    async def slice(self, update: bytes) -> Sliced:
        """Read a long update in a thread. Raises Malformed."""

    async def try_out(self, document: bytes, sliced: Sliced, limits: Limits) -> Sliced:
        """Check in a thread whether a text that the update makes is short enough. Raises TooLarge or Malformed."""


class Members(Protocol):
    """What edits ask of the room that they are made in."""

    session_id: UUID
    connections: dict[str, Connection]

    def expel(self, connection: Connection, code: int, reason: str) -> None: ...


class TextListener(Protocol):
    """Is told how the entry file's text changes."""

    def note(self, deltas: Iterable[list[dict[str, Any]]], text_bytes: int, user_id: str | None) -> None: ...

    def follow(self) -> None: ...
