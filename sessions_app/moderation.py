"""Moderate and report sessions. Each function is one verb.

Every function for moderators raises Forbidden for anybody else, adds an entry to the audit trail, and returns False if
there was nothing to do.
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
from web.lines import visible
from web.throttles import count_or_refuse

if TYPE_CHECKING:
    from accounts.models import User
    from sessions_app.access import Access


def lock_session(session: CodeSession, *, by: User, reason: str = "") -> bool:
    """Make the session read-only for everybody, including open pages."""
    now = timezone.now()
    return _change(session, by, "locked", reason, {"locked_at": None}, {"locked_at": now, "lock_reason": reason})


def unlock_session(session: CodeSession, *, by: User, reason: str = "") -> bool:
    return _change(session, by, "unlocked", reason, {"locked_at__isnull": False}, {"locked_at": None})


def freeze_session(session: CodeSession, *, by: User, reason: str = "") -> bool:
    """Stop programs and let none start. Workers stop those that are running (execution/companion.py)."""
    now = timezone.now()
    return _change(session, by, "frozen", reason, {"frozen_at": None}, {"frozen_at": now, "freeze_reason": reason})


def unfreeze_session(session: CodeSession, *, by: User, reason: str = "") -> bool:
    return _change(session, by, "unfrozen", reason, {"frozen_at__isnull": False}, {"frozen_at": None})


def close_session(session: CodeSession, *, by: User, reason: str = "") -> bool:
    """Archive the session so that only a moderator can restore it. Its sockets close and its programs stop."""
    now = timezone.now()
    changes = {"closed_at": now, "archived_at": now, "close_reason": reason}
    return _change(session, by, "closed", reason, {"closed_at": None}, changes)


def reopen_session(session: CodeSession, *, by: User, reason: str = "") -> bool:
    """Restore a session that a moderator closed or its owner archived, however long ago."""
    changes = {"closed_at": None, "archived_at": None}
    return _change(session, by, "reopened", reason, {"archived_at__isnull": False}, changes)


def observe_session(session: CodeSession, *, by: User, reason: str = "") -> bool:
    """Record why a moderator is about to view a session."""
    check_moderator(by)
    audit.append("session.observed", actor_id=by.pk, target_type="session", target_id=session.pk, reason=reason)
    return True


def restriction_on(session: CodeSession) -> str:
    """Return what to tell everybody in the session about a lock, a freeze or full storage; "" if there is none."""
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
        detail = restriction_on(CodeSession.objects.get(pk=session.pk))
        events.announce_on_commit(session.pk, {"type": "session.moderated", "detail": detail})
    events.recheck_access_on_commit(session.pk)
    audit.append(f"session.{verb}", actor_id=by.pk, target_type="session", target_id=session.pk, reason=reason)
    return True


@transaction.atomic
def report_session(access: Access, user: User, reason: str) -> Report:
    """Report a session to the moderators. Raises RateLimited, or AlreadyReported while an earlier report is open."""
    count_or_refuse("report", f"user:{user.pk}")
    session = access.session
    report, is_new = Report.objects.get_or_create(
        session=session, reporter=user, state=Report.State.OPEN, defaults={"reason": visible(reason)}
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
    """Resolve or dismiss a report. `answer` is for the moderators."""
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
