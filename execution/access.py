"""Who may see, stop or type into a run: what the session's table says, or its submitter outside a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from activity import audit
from execution.errors import RunNotFound
from execution.models import Run, TestCase
from sessions_app.access import MODERATOR, Action, access_to
from sessions_app.errors import NotAllowed, SessionNotFound

if TYPE_CHECKING:
    from uuid import UUID

    from accounts.models import User


def visible_run(user: User, run_id: UUID) -> Run:
    """The run, for somebody who may see it. Raises RunNotFound."""
    run = Run.objects.without_input().select_related("user", "cancelled_by").filter(pk=run_id).first()
    if run is None:
        raise RunNotFound
    _require(user, run, Action.VIEW)
    return run


def readable_case(user: User, run: Run, number: int) -> TestCase:
    """A case of a run that this person sees, for its texts. Raises RunNotFound, NotAllowed."""
    case = run.cases.only("is_hidden").filter(number=number).first()
    if case is None:
        raise RunNotFound("This run has no such test.")
    if case.is_hidden and run.user_id != user.pk:
        raise NotAllowed("This test is hidden: it tells whether it was passed, and nothing else.")
    return case


def stoppable_run(user: User, run_id: UUID) -> Run:
    """One's own run, or any run for those who may stop any."""
    run = visible_run(user, run_id)
    _require(user, run, Action.RUN if run.user_id == user.pk else Action.STOP_ANY_RUN)
    return run


def typeable_run(user: User, run_id: UUID) -> Run:
    run = visible_run(user, run_id)
    _require(user, run, Action.TYPE_INTO_RUN)
    return run


def _require(user: User, run: Run, action: Action) -> None:
    if run.user_id == user.pk and action in (Action.VIEW, Action.RUN) and not user.is_guest:
        # One's own run can be looked at and stopped whatever became of the session, or of one's place in it. A guest
        # has nothing outside of it.
        return
    if run.session_id is not None:
        try:
            access_to(user, run.session_id, action)
        except SessionNotFound:
            raise RunNotFound from None
    elif run.user_id != user.pk:
        if not user.is_moderator:
            raise RunNotFound
        if action not in MODERATOR:
            raise NotAllowed("A moderator looks at runs and stops them.")
        audit.note_look(user.pk, "run", run.pk)
