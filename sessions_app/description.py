"""A session as JSON, for REST, the editor page, the export of a user's data, and the event of a change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from web.times import moment

if TYPE_CHECKING:
    from sessions_app.messages import SessionSettings
    from sessions_app.models import CodeSession


def settings_of(session: CodeSession) -> SessionSettings:
    """Return what can change while pages have the session open."""
    return {
        "title": session.title,
        "language": session.language,
        "is_public": session.is_public,
        "allows_guests": session.allows_guests,
        "version": session.version,
    }


def describe(session: CodeSession, permission: str) -> dict[str, Any]:
    """Describe the session to a user with this permission. Its owner must be loaded."""
    return {
        "id": str(session.pk),
        **settings_of(session),
        "permission": permission,
        "owner": {"id": str(session.owner_id), "username": session.owner.username},
        "metadata": session.metadata,
        "forked_from": str(session.forked_from_id) if session.forked_from_id else None,
        "created_at": moment(session.created_at),
        "updated_at": moment(session.updated_at),
    }
