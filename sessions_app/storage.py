"""Enforce the storage quotas QUOTA_SESSIONS and QUOTA_BYTES.

A bot's sessions count as its owner's. Bytes are those of the update log (texts, history and snapshots) and of the chat.
Archived sessions count until they are deleted. With SQLite, the free space of the disk, and of the one for temporary
files, is checked too.
"""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings
from django.core.cache import caches
from django.db import connection
from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Length

from accounts.models import User
from accounts.privacy import Quota
from sessions_app.errors import DiskLow, StorageFull, TooManySessions
from sessions_app.models import ChatMessage, CodeSession

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from django.db.models import QuerySet

# How long a process caches the result for an owner, which is needed for every request and regularly in rooms.
KNOWN_SECONDS = 5


class Usage(NamedTuple):
    sessions: int
    bytes: int


def meter(user: User) -> list[Quota]:
    usage = usage_of(user.bot_of_id or user.pk)
    return [
        Quota("sessions", "Sessions, archived ones too", usage.sessions, settings.QUOTA_SESSIONS),
        Quota("session_bytes", "Texts, their history and chats", usage.bytes, settings.QUOTA_BYTES, is_bytes=True),
    ]


def usage_of(person_id: UUID) -> Usage:
    owned = CodeSession.objects.filter(Q(owner=person_id) | Q(owner__bot_of=person_id)).order_by()
    found = owned.aggregate(sessions=Count("pk"), bytes=_OF_THE_LOG)
    return Usage(found["sessions"], found["bytes"] + _chat_bytes(owned))


def bytes_of(session_ids: Collection[UUID]) -> int:
    sessions = CodeSession.objects.filter(pk__in=session_ids).order_by()
    size: int = sessions.aggregate(size=_OF_THE_LOG)["size"]
    return size + _chat_bytes(sessions)


_OF_THE_LOG = Sum(F("document__tail_bytes") + F("document__history_bytes"), default=0)


def _chat_bytes(sessions: QuerySet[CodeSession]) -> int:
    said = ChatMessage.objects.filter(session__in=sessions).order_by()
    size: int = said.aggregate(size=Sum(Length("text"), default=0))["size"]
    return size


def require_room_for(owner: User, new_bytes: int, *, sessions: int = 1) -> None:
    """Raise TooManySessions, StorageFull or DiskLow unless this user has room for these sessions and bytes.

    Call it in the transaction that creates them: it locks the user's row, so that concurrent requests cannot both fit.
    """
    require_disk()
    person_id = owner.bot_of_id or owner.pk
    if not (settings.QUOTA_SESSIONS or settings.QUOTA_BYTES):
        return
    User.objects.select_for_update().get(pk=person_id)
    usage = usage_of(person_id)
    if 0 < settings.QUOTA_SESSIONS < usage.sessions + sessions:
        raise TooManySessions(f"You have reached the limit of {settings.QUOTA_SESSIONS} sessions. {HOW_TO_MAKE_ROOM}")
    if 0 < settings.QUOTA_BYTES < usage.bytes + new_bytes:
        raise StorageFull(
            f"This needs {_mib(new_bytes)}, but you have {_mib(max(0, settings.QUOTA_BYTES - usage.bytes))} of "
            f"{_mib(settings.QUOTA_BYTES)} left. {HOW_TO_MAKE_ROOM}"
        )


HOW_TO_MAKE_ROOM = "To make room, archive a session that you do not need, then delete it from the archived sessions."


def refusal_of(owner_id: UUID) -> type[StorageFull] | None:
    """Return why nothing can be added to this owner's sessions, or None. The answer may be KNOWN_SECONDS old."""
    if not _has_disk():
        return DiskLow
    if not settings.QUOTA_BYTES:
        return None
    known = caches["answers"]
    key = f"storage:{owner_id}"
    if (is_full := known.get(key)) is None:
        bot_of = User.objects.filter(pk=owner_id).values_list("bot_of_id", flat=True).first()
        is_full = usage_of(bot_of or owner_id).bytes >= settings.QUOTA_BYTES
        known.set(key, is_full, KNOWN_SECONDS)
    return StorageFull if is_full else None


def require_disk() -> None:
    """Raise DiskLow if the database's disk is nearly full."""
    if not _has_disk():
        raise DiskLow


def _has_disk() -> bool:
    if connection.vendor != "sqlite" or not settings.DISK_RESERVE_BYTES:
        return True
    data, temporary = os.statvfs(settings.DATA_DIR), os.statvfs(tempfile.gettempdir())
    if data.f_bavail * data.f_frsize <= settings.DISK_RESERVE_BYTES:
        return False
    # A separate file system for temporary files may be smaller than the reserve.
    return temporary.f_bavail > min(settings.DISK_RESERVE_BYTES // temporary.f_frsize, temporary.f_blocks // 10)


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MB"
