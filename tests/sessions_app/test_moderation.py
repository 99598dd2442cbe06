"""What a moderator stops is stopped for everybody, on every transport, and what people report is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from activity.models import AuditEntry
from execution.access import stoppable_run
from execution.models import AvailableLanguage, Run, Status
from sessions_app import actions, moderation
from sessions_app.access import (
    IN_LOCKED,
    NOT_IN_FROZEN,
    TABLE,
    Action,
    access_to,
    access_to_archived,
    can_edit,
    permissions_in,
)
from sessions_app.document import contents
from sessions_app.errors import ClosedByModerator, NotAllowed, SessionNotFound
from sessions_app.models import CodeSession, Report
from web.problems import Forbidden

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_django.fixtures import Settings
    from rest_framework.test import APIClient

pytestmark = pytest.mark.django_db
Api: TypeAlias = "Callable[[User | None], APIClient]"
PEOPLE = ("alice", "bob", "carol", "mod")


def permission_in(user: User, session_id: Any) -> str | None:
    try:
        return access_to(user, session_id).shown_permission
    except SessionNotFound:
        return None


@pytest.fixture
def people(alice: User, bob: User, carol: User, mod: User) -> dict[str, User]:
    return {"alice": alice, "bob": bob, "carol": carol, "mod": mod}


def refusal(user: User, session: CodeSession, action: Action) -> str | None:
    try:
        access_to(user, session.pk, action)
    except NotAllowed as refused:
        return refused.code
    return None


@pytest.mark.parametrize("name", PEOPLE)
def test_every_action_of_the_table_is_stopped_where_it_should_be(
    people: dict[str, User], session: Any, name: str
) -> None:
    user, by = people[name], people["mod"]

    def refusals() -> dict[Action, str | None]:
        return {action: refusal(user, session, action) for action in Action}

    usual = refusals()
    moderation.lock_session(session, by=by, reason="x")
    in_locked = {action: None if action in IN_LOCKED else "session_locked" for action in Action}
    assert refusals() == {action: usual[action] or in_locked[action] for action in Action}
    moderation.unlock_session(session, by=by)
    moderation.freeze_session(session, by=by, reason="x")
    in_frozen = {action: "runs_frozen" if action in NOT_IN_FROZEN else None for action in Action}
    assert refusals() == {action: usual[action] or in_frozen[action] for action in Action}
    moderation.unfreeze_session(session, by=by)
    assert refusals() == usual


def test_a_locked_session_leaves_sockets_reading(people: dict[str, User], session: Any, mod: User) -> None:
    pairs = [(session.pk, user) for user in people.values()]
    assert can_edit(permission_in(people["alice"], session.pk))
    moderation.lock_session(session, by=mod, reason="x")
    for permission in permissions_in(pairs).values():
        assert permission == "read"
    assert {permission_in(user, session.pk) for user in people.values()} == {"read"}


def test_nothing_changes_a_locked_session_over_rest(api: Api, alice: User, bob: User, session: Any, mod: User) -> None:
    AvailableLanguage.objects.create(key="python", version="3", checked_at=timezone.now())
    moderation.lock_session(session, by=mod, reason="x")
    path = f"/api/sessions/{session.pk}"
    before = contents.entry_text(session)
    attempts = [
        ("patch", path, {"content": "print(2)\n"}),
        ("put", path, {"title": "x", "language": "python", "content": "x"}),
        ("patch", path, {"title": "New"}),
        ("delete", path, {}),
        ("post", f"{path}/chat", {"text": "hello"}),
        ("post", f"{path}/collaborators", {"username": "carol", "permission": "write"}),
        ("post", f"{path}/invites", {}),
        ("post", f"{path}/history/1/restore", {}),
        ("post", "/api/execute", {"session_id": str(session.pk)}),
    ]
    for user in (alice, bob):
        for method, url, body in attempts:
            answer = getattr(api(user), method)(url, body)
            assert answer.status_code == 403, (method, url, answer.content)
    assert api(alice).patch(path, {"content": "x"}).json()["code"] == "session_locked"
    assert api(alice).delete(f"{path}/collaborators/{bob.pk}").json()["code"] == "session_locked"
    shown = api(alice).get(path)
    assert (shown.status_code, shown.json()["permission"]) == (200, "read")
    assert contents.entry_text(CodeSession.objects.get(pk=session.pk)) == before
    assert api(alice).get(f"{path}/export.zip").status_code == 200


def test_a_frozen_session_is_edited_and_runs_nothing(api: Api, alice: User, session: Any, mod: User) -> None:
    AvailableLanguage.objects.create(key="python", version="3", checked_at=timezone.now())
    running = Run.objects.create(
        user=alice, session=session, language="python", status=Status.RUNNING, interactive=True
    )
    moderation.freeze_session(session, by=mod, reason="x")
    refused = api(alice).post("/api/execute", {"session_id": str(session.pk)})
    assert (refused.status_code, refused.json()["code"]) == (403, "runs_frozen")
    typed = api(alice).post(f"/api/execute/{running.pk}/input", {"text": "x\n"})
    assert typed.status_code == 403
    assert api(alice).patch(f"/api/sessions/{session.pk}", {"content": "print(2)\n"}).status_code == 200
    assert stoppable_run(alice, running.pk) == running


def test_what_runs_in_a_frozen_session_is_stopped_by_its_worker(alice: User, session: Any, mod: User) -> None:
    from execution.companion import Companion

    run = Run.objects.create(user=alice, session=session, language="python", status=Status.RUNNING)
    beside = Companion(run)
    beside._look()
    assert not beside.control.is_cancelled
    moderation.freeze_session(session, by=mod, reason="x")
    beside._look()
    assert beside.control.is_cancelled


def test_the_owner_cannot_bring_back_what_a_moderator_closed(api: Api, alice: User, session: Any, mod: User) -> None:
    path = f"/api/sessions/{session.pk}"
    moderation.close_session(session, by=mod, reason="x")
    assert api(alice).get(path).status_code == 404
    refused = api(alice).post(f"{path}/restore")
    assert (refused.status_code, refused.json()["code"]) == (403, "closed_by_moderator")
    with pytest.raises(ClosedByModerator):
        actions.restore_session(access_to_archived(alice, session.pk), alice)
    assert moderation.reopen_session(session, by=mod)
    assert api(alice).get(path).status_code == 200
    assert can_edit(permission_in(alice, session.pk))


def test_closing_what_its_owner_archived_keeps_them_from_restoring_it(alice: User, session: Any, mod: User) -> None:
    actions.archive_session(access_to(alice, session.pk, Action.ARCHIVE), alice)
    assert moderation.close_session(session, by=mod, reason="x")
    session.refresh_from_db()
    with pytest.raises(ClosedByModerator):
        actions.restore_session(access_to_archived(alice, session.pk), alice)


def test_each_switch_is_turned_once_and_kept_in_the_trail(session: Any, mod: User) -> None:
    for verb in ("lock", "unlock", "freeze", "unfreeze", "close", "reopen"):
        do = getattr(moderation, f"{verb}_session")
        assert do(session, by=mod, reason="why") and not do(session, by=mod, reason="again")
    assert list(AuditEntry.objects.order_by("number").values_list("action", "reason", "actor_id").distinct()) == [
        (f"session.{verb}", "why", mod.pk)
        for verb in ("locked", "unlocked", "frozen", "unfrozen", "closed", "reopened")
    ]


def test_nobody_but_a_moderator_turns_them(alice: User, session: Any) -> None:
    before = list(CodeSession.objects.values())
    for verb in ("lock", "unlock", "freeze", "unfreeze", "close", "reopen", "observe"):
        with pytest.raises(Forbidden):
            getattr(moderation, f"{verb}_session")(session, by=alice, reason="x")
    assert list(CodeSession.objects.values()) == before
    assert not AuditEntry.objects.exists()


def test_a_moderator_who_looks_into_a_private_session_leaves_a_trace(
    api: Api, session: Any, alice: User, bob: User, mod: User
) -> None:
    public = CodeSession.objects.create(owner=alice, title="Open", language="python", is_public=True)
    contents.create_document(public, contents.seed({"main.py": ""}))
    page = Client()
    for user in (alice, bob, mod):
        page.force_login(user)
        page.get(f"/sessions/{session.pk}")
        api(user).get(f"/api/sessions/{session.pk}/chat")
        api(user).get(f"/api/sessions/{public.pk}")
        permission_in(user, session.pk)
    look = AuditEntry.objects.get()
    assert (look.action, look.actor_id, look.target_id) == ("look", mod.pk, str(session.pk))
    run = Run.objects.create(user=alice, language="python")
    api(mod).get(f"/api/execute/status/{run.pk}")
    assert list(AuditEntry.objects.values_list("target_type", flat=True)) == ["run", "session"]


@pytest.mark.parametrize("way", ["rest", "page"])
def test_whoever_sees_a_session_reports_it_once_until_it_is_settled(
    way: str, api: Api, session: Any, carol: User, mallory: User, mod: User
) -> None:
    page = Client()

    def report(user: User, reason: str = "It <b>mines</b> coins") -> int:
        if way == "rest":
            return int(api(user).post(f"/api/sessions/{session.pk}/report", {"reason": reason}).status_code)
        page.force_login(user)
        return int(page.post(f"/sessions/{session.pk}/report", {"reason": reason}).status_code)

    ok, refused = (201, 400) if way == "rest" else (302, 200)
    assert report(mallory) == 404
    assert report(carol, " ") == refused
    assert report(carol) == ok
    assert report(carol) == 409
    found = Report.objects.get()
    assert (found.session_id, found.reporter, found.reason) == (session.pk, carol, "It <b>mines</b> coins")
    assert moderation.settle_report(found, Report.State.RESOLVED, by=mod, answer="Frozen")
    assert not moderation.settle_report(found, Report.State.DISMISSED, by=mod)
    assert report(carol) == ok
    entry = AuditEntry.objects.get(action="report.resolved")
    assert (entry.actor_id, entry.target_id, entry.reason) == (mod.pk, str(session.pk), "Frozen")


def test_reports_are_limited(settings: Settings, api: Api, session: Any, carol: User) -> None:
    settings.RATE_LIMITS = True
    settings.RATES = settings.RATES | {"report": "1/3600"}
    path = f"/api/sessions/{session.pk}/report"
    codes = [api(carol).post(path, {"reason": "spam"}).status_code for _ in range(2)]
    assert codes == [201, 429]


def test_each_measure_keeps_its_own_reason(session: Any, alice: User, mod: User) -> None:
    def told() -> str:
        return moderation.restriction_on(access_to(alice, session.pk).session)

    moderation.freeze_session(session, by=mod, reason="Mining.")
    moderation.lock_session(session, by=mod, reason="The exam is over.")
    assert told().endswith("be read but not changed. The exam is over.")
    moderation.unlock_session(session, by=mod)
    assert told().endswith("can still be edited. Mining.")
    moderation.close_session(session, by=mod, reason="For moderators only.")
    moderation.reopen_session(session, by=mod)
    assert told().endswith("can still be edited. Mining.")
    moderation.unfreeze_session(session, by=mod)
    assert told() == ""


def test_the_page_says_why_nothing_can_be_changed(session: Any, alice: User, mod: User) -> None:
    page = Client()
    page.force_login(alice)
    moderation.lock_session(session, by=mod, reason="The <exam> is over")
    text = page.get(f"/sessions/{session.pk}").text
    assert "A moderator has locked this session" in text and "The &lt;exam&gt; is over" in text
    with pytest.raises(SessionNotFound):
        access_to(User.objects.create(username="nobody", email="n@example.org"), session.pk)
    assert set(IN_LOCKED | NOT_IN_FROZEN) < set(TABLE)
