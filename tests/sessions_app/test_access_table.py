"""The table of who may do what, generated: every role, every action, over REST. Sockets: tests/realtime."""

from __future__ import annotations

import pytest

from execution.models import Run

ROLES = ("owner", "admin", "write", "read", "stranger", "moderator", "anonymous")

# action -> what each role gets: ok, refused (403) or hidden (404). The anonymous always get 401.
EXPECTED = {
    "view": {"owner": "ok", "admin": "ok", "write": "ok", "read": "ok", "stranger": "hidden", "moderator": "ok"},
    "history": {"owner": "ok", "admin": "ok", "write": "ok", "read": "ok", "stranger": "hidden", "moderator": "ok"},
    "people": {"owner": "ok", "admin": "ok", "write": "ok", "read": "ok", "stranger": "hidden", "moderator": "ok"},
    "ticket": {"owner": "ok", "admin": "ok", "write": "ok", "read": "ok", "stranger": "hidden", "moderator": "ok"},
    "edit": {"owner": "ok", "admin": "ok", "write": "ok", "read": "no", "stranger": "hidden", "moderator": "no"},
    "run": {"owner": "ok", "admin": "ok", "write": "ok", "read": "no", "stranger": "hidden", "moderator": "no"},
    "stop_any_run": {
        "owner": "ok",
        "admin": "ok",
        "write": "no",
        "read": "no",
        "stranger": "hidden",
        "moderator": "ok",
    },
    "rename": {"owner": "ok", "admin": "ok", "write": "no", "read": "no", "stranger": "hidden", "moderator": "no"},
    "invite": {"owner": "ok", "admin": "ok", "write": "no", "read": "no", "stranger": "hidden", "moderator": "no"},
    "see_invites": {"owner": "ok", "admin": "ok", "write": "no", "read": "no", "stranger": "hidden", "moderator": "no"},
    "add_writer": {"owner": "ok", "admin": "ok", "write": "no", "read": "no", "stranger": "hidden", "moderator": "no"},
    "add_admin": {"owner": "ok", "admin": "no", "write": "no", "read": "no", "stranger": "hidden", "moderator": "no"},
    "archive": {"owner": "ok", "admin": "no", "write": "no", "read": "no", "stranger": "hidden", "moderator": "no"},
}
STATUS = {"ok": (200, 201, 202, 204), "no": (403,), "hidden": (404,)}


@pytest.fixture
def people(session, alice, bob, carol, mallory, mod, django_user_model):
    from sessions_app.models import Collaborator

    dave = django_user_model.objects.create_user("dave", "dave@example.org", "correct horse battery")
    Collaborator.objects.create(session=session, user=dave, permission="admin")
    return {
        "owner": alice,
        "admin": dave,
        "write": bob,
        "read": carol,
        "stranger": mallory,
        "moderator": mod,
        "anonymous": None,
    }


@pytest.fixture(autouse=True)
def python_runs(db):
    from django.utils import timezone

    from execution.models import AvailableLanguage

    AvailableLanguage.objects.create(key="python", version="3", checked_at=timezone.now())


def attempt(client, action, session, people):
    path = f"/api/sessions/{session.pk}"
    match action:
        case "view":
            return client.get(path)
        case "history":
            return client.get(f"/api/execute/history/{session.pk}")
        case "people":
            return client.get(f"{path}/collaborators")
        case "ticket":
            return client.post(f"{path}/ticket")
        case "edit":
            return client.patch(path, {"content": "print(2)\n"})
        case "run":
            return client.post("/api/execute", {"session_id": str(session.pk)})
        case "stop_any_run":
            run = Run.objects.create(session=session, user=None, language="python")
            return client.post(f"/api/execute/{run.pk}/cancel")
        case "rename":
            return client.patch(path, {"title": "New"})
        case "invite":
            return client.post(f"{path}/invites")
        case "see_invites":
            return client.get(f"{path}/invites")
        case "add_writer":
            return client.post(f"{path}/collaborators", {"username": "mallory", "permission": "write"})
        case "add_admin":
            return client.post(f"{path}/collaborators", {"username": "mallory", "permission": "admin"})
        case "archive":
            return client.delete(path)
    raise AssertionError(action)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("action", EXPECTED)
def test_the_table_holds_over_rest(role, action, session, people, api):
    answer = attempt(api(people[role]), action, session, people)
    if role == "anonymous":
        assert answer.status_code == 401
        assert answer["Content-Type"] == "application/problem+json"
    else:
        assert answer.status_code in STATUS[EXPECTED[action][role]], answer.content


@pytest.mark.parametrize("action", ["view", "history", "people", "ticket"])
def test_a_public_session_may_be_read_by_anybody_signed_in(action, session, people, api):
    session.is_public = True
    session.save()
    assert attempt(api(people["stranger"]), action, session, people).status_code in (200, 201)


@pytest.mark.parametrize("action", ["edit", "run", "rename", "invite", "archive", "stop_any_run"])
def test_a_public_session_is_changed_by_no_stranger(action, session, people, api):
    session.is_public = True
    session.save()
    assert attempt(api(people["stranger"]), action, session, people).status_code == 403


def test_a_suspended_person_reaches_nothing(session, bob, api):
    client = api(bob)
    bob.is_active = False
    bob.save()
    assert client.get(f"/api/sessions/{session.pk}").status_code == 401
