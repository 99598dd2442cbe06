"""Every database call of the live part, in threads of its own: Channels' shared thread would make all typing wait for
the slowest page.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import IntegrityError, connection

from accounts.models import User, able
from sessions_app import actions
from sessions_app.access import access_to
from sessions_app.document import opening, quarantine, update_log
from sessions_app.document.errors import Broken, Malformed
from sessions_app.document.update_log import Appended, Entry, Loaded
from sessions_app.errors import SessionNotFound
from sessions_app.models import CodeSession
from sessions_app.moderation import restriction_on

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from sessions_app import messages
    from sessions_app.document.opening import Opened

T = TypeVar("T")


class Database:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # One thread writes, so that commits never queue behind loads; its connection stays open.
        self._writer = ThreadPoolExecutor(1, "room-commit")
        self._readers = ThreadPoolExecutor(4, "room-read")

    async def read(self, function: Callable[..., T], *args: Any) -> T:
        return await self._loop.run_in_executor(self._readers, _closing, function, args)

    async def write(self, function: Callable[..., T], *args: Any) -> T:
        return await self._loop.run_in_executor(self._writer, _closing_on_error, function, args)

    def close(self) -> None:
        self._writer.submit(connection.close)
        self._writer.shutdown(wait=True)
        self._readers.shutdown(wait=True)


def _closing(function: Callable[..., T], args: tuple[Any, ...]) -> T:
    try:
        return function(*args)
    finally:
        connection.close()


def _closing_on_error(function: Callable[..., T], args: tuple[Any, ...]) -> T:
    try:
        return function(*args)
    except BaseException:
        connection.close()
        raise


def load_and_open(session_id: UUID) -> tuple[Loaded, Opened]:
    """Load a document and open it, which takes a second for a long one."""
    loaded = update_log.load(session_id)
    try:
        return loaded, opening.opened(loaded.parts)
    except (Malformed, Broken) as error:
        loaded = quarantine.load_mended(session_id, error)
        return loaded, opening.opened(loaded.parts)


def append(entries: dict[UUID, list[Entry]]) -> dict[UUID, Appended]:
    """Add rows to the log, also those of people whose accounts were deleted meanwhile: the text stays."""
    try:
        return update_log.append(entries)
    except IntegrityError:
        authors = {entry.user_id for group in entries.values() for entry in group if entry.user_id}
        known = set(User.objects.filter(pk__in=authors).values_list("pk", flat=True))
        return update_log.append(
            {
                session_id: [Entry(e.payload, e.user_id if e.user_id in known else None, e.origin) for e in group]
                for session_id, group in entries.items()
            }
        )


def about(session_id: UUID) -> messages.About:
    """What the document itself does not say: title and language. Raises SessionNotFound."""
    found = CodeSession.objects.active().filter(pk=session_id).values("title", "language").first()
    if found is None:
        raise SessionNotFound
    return {"title": found["title"], "language": found["language"]}


def access(user: User, session_id: UUID) -> tuple[str, str]:
    """What a socket of this person may do, and what it is told of a lock or of full storage. Raises SessionNotFound."""
    found = access_to(user, session_id)
    return found.live_permission, restriction_on(found.session)


def say(user_id: str, session_id: UUID, text: str, ref: str | None) -> messages.Chat:
    """Store a chat message, which every process is told of. Raises DomainError."""
    user = User.objects.filter(able(), pk=user_id).first()
    if user is None:
        raise SessionNotFound
    return actions.chat_event(actions.say(user, session_id, text, ref), user, ref)
