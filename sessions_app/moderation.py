"""What moderators do with sessions, and what people report to them. Each function is one verb.

Every function of a moderator raises Forbidden for who is none, leaves an entry in the audit trail, and answers False
when there was nothing to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.access import check_moderator
from activity import audit
from activity.log import record
from sessions_app import events, storage
from sessions_app.errors import AlreadyReported, RunsFrozen, SessionLocked
from sessions_app.models import CodeSession, Report
from web.throttles import count_or_refuse

if TYPE_CHECKING:
    from accounts.models import User
    from sessions_app.access import Standing


def lock_session(session: CodeSession, *, by: User, reason: str = "") -> bool:
    """From now on everybody reads and nobody changes anything, open pages included."""
    now = timezone.now()
    return _change(session, by, "locked", reason, {"locked_at": None}, {"locked_at": now, "lock_reason": reason})


def unlock_session(session: CodeSession, *, by: User, reason: str = "") -> bool:
    return _change(session, by, "unlocked", reason, {"locked_at__isnull": False}, {"locked_at": None})


def freeze_session(session: CodeSession, *, by: User, reason: str = "") -> bool:
    """From now on no program starts; the workers stop what runs (execution/companion.py)."""
    now = timezone.now()
    return _change(session, by, "frozen", reason, {"frozen_at": None}, {"frozen_at": now, "freeze_reason": reason})


def unfreeze_session(session: CodeSession, *, by: User, reason: str = "") -> bool:
    return _change(session, by, "unfrozen", reason, {"frozen_at__isnull": False}, {"frozen_at": None})


def close_session(session: CodeSession, *, by: User, reason: str = "") -> bool:
    """Archive it so that only a moderator brings it back. Its sockets close, its programs stop."""
    now = timezone.now()
    changes = {"closed_at": now, "archived_at": now, "close_reason": reason}
    return _change(session, by, "closed", reason, {"closed_at": None}, changes)


def reopen_session(session: CodeSession, *, by: User, reason: str = "") -> bool:
    """Bring back what a moderator closed or its owner archived, however long ago."""
    changes = {"closed_at": None, "archived_at": None}
    return _change(session, by, "reopened", reason, {"archived_at__isnull": False}, changes)


def observe_session(session: CodeSession, *, by: User, reason: str = "") -> bool:
    """Say why one is going to look into a session."""
    check_moderator(by)
    audit.append("session.observed", actor_id=by.pk, target_type="session", target_id=session.pk, reason=reason)
    return True


def standing_measure(session: CodeSession) -> str:
    """What everybody who has the session open is told of a lock, a freeze or full storage; empty without one."""
    if session.locked_at:
        return f"{SessionLocked.detail} {session.lock_reason}".strip()
    if full := storage.refusal_of(session.owner_id):
        return full.detail
    return f"{RunsFrozen.detail} {session.freeze_reason}".strip() if session.frozen_at else ""


@transaction.atomic
def _change(
    session: CodeSession, by: User, verb: str, reason: str, wanted: dict[str, Any], changes: dict[str, Any]
) -> bool:
    check_moderator(by)
    found = CodeSession.objects.filter(pk=session.pk, **wanted)
    if not found.update(**changes, version=F("version") + 1):
        return False
    record(
        f"moderation.session_{verb}",
        f"A moderator: “{session.title}” is {verb}",
        user_id=by.pk,
        session_id=session.pk,
        level="warning",
    )
    if verb == "closed":
        # Before the check, which closes the sockets.
        events.announce_on_commit(session.pk, {"type": "notice", "kind": "archived", "by": events.speaker(by)})
    else:
        detail = standing_measure(CodeSession.objects.get(pk=session.pk))
        events.announce_on_commit(session.pk, {"type": "session.moderated", "detail": detail})
    events.recheck_access_on_commit(session.pk)
    audit.append(f"session.{verb}", actor_id=by.pk, target_type="session", target_id=session.pk, reason=reason)
    return True


@transaction.atomic
def report_session(standing: Standing, user: User, reason: str) -> Report:
    """Tell the moderators about a session that one sees. RateLimited, or AlreadyReported while one's last is open."""
    count_or_refuse("report", f"user:{user.pk}")
    session = standing.session
    report, is_new = Report.objects.get_or_create(
        session=session, reporter=user, state=Report.State.OPEN, defaults={"reason": reason}
    )
    if not is_new:
        raise AlreadyReported
    record(
        "session.reported",
        f"{user.username} reported “{session.title}”",
        user_id=user.pk,
        session_id=session.pk,
        level="warning",
        metadata={"report": str(report.pk)},
    )
    return report


@transaction.atomic
def settle_report(report: Report, state: Report.State, *, by: User, answer: str = "") -> bool:
    """Resolve or dismiss it; `answer` is for the moderators."""
    check_moderator(by)
    open_ones = Report.objects.filter(pk=report.pk, state=Report.State.OPEN)
    if not open_ones.update(state=state, settled_at=timezone.now(), settled_by=by, answer=answer):
        return False
    audit.append(
        f"report.{state}",
        actor_id=by.pk,
        target_type="session",
        target_id=report.session_id,
        reason=answer,
        metadata={"report": str(report.pk)},
    )
    return True
