"""A suspension: every door closes at once, the right person hears why, and it ends by itself to the second."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from allauth.account.utils import perform_login
from allauth.core import context
from django.contrib.auth.models import AnonymousUser
from django.contrib.messages import get_messages
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.utils import timezone

from accounts import actions, tokens
from accounts.actions import sign_ins_ended
from accounts.models import Scope, User
from activity.models import AuditEntry
from execution.models import Run, Status
from web.problems import Forbidden, Invalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks
    from rest_framework.test import APIClient

pytestmark = pytest.mark.django_db

NOW = "2026-03-01 12:00:00+00:00"
UNTIL = "2026-03-08 12:00"


@pytest.fixture
def clock() -> Any:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def suspend(user: User, by: User, days: int | None = 7, reason: str = "Mining coins, 100% of it") -> None:
    actions.suspend(user, by=by, reason=reason, until=timezone.now() + timedelta(days=days) if days else None)


def log_in(api: Callable[..., APIClient], password: str) -> Any:
    return api(None).post("/api/auth/login", {"username": "bob", "password": password})


def test_every_door_is_closed_at_once(
    bob: User, mod: User, api: Callable[..., APIClient], password: str, session: Any
) -> None:
    page, bearer, pair = Client(), api(bob), tokens.issue(bob)
    page.force_login(bob)
    _, personal = actions.make_token(bob, name="script", scopes=[Scope.READ])
    bot = actions.make_bot(bob, "bob-bot")
    _, of_bot = actions.make_token(bot, name="script", scopes=[Scope.READ])
    suspend(bob, mod)
    path = "/api/sessions"
    assert page.get("/sessions").status_code == 302
    assert page.get(path).status_code == 401
    assert bearer.get(path).status_code == 401
    assert api(None).post("/api/auth/refresh", {"refresh": pair.refresh}).status_code == 401
    for text in (personal, of_bot):
        answer = api(None).get(path, headers={"authorization": f"Bearer {text}"})
        assert (answer.status_code, answer.json()["code"]) == (401, "token_not_valid")
        assert "suspended until" in answer.json()["detail"]
    # Nobody adds them to a session meanwhile either.
    added = api(session.owner).post(f"{path}/{session.pk}/collaborators", {"username": "bob", "permission": "read"})
    assert added.status_code == 400


def test_who_knows_the_password_hears_why_and_until_when_and_nobody_else(
    clock: Any, bob: User, mod: User, api: Callable[..., APIClient], client: Client, password: str
) -> None:
    suspend(bob, mod)
    told = log_in(api, password)
    assert told.status_code == 403
    body = told.json()
    assert (body["code"], body["suspended_until"]) == ("account_suspended", "2026-03-08T12:00:00Z")
    assert body["detail"] == f"This account is suspended until {UNTIL} UTC. Reason: Mining coins, 100% of it"
    wrong = log_in(api, "not this")
    assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_credentials")
    assert "suspended" not in wrong.content.decode()

    page = client.post("/login", {"login": "bob", "password": password})
    assert page.status_code == 200 and f"suspended until {UNTIL} UTC" in page.text and "100% of it" in page.text
    assert "suspended" not in client.post("/login", {"login": "bob", "password": "not this"}).text
    assert "_auth_user_id" not in client.session


def test_it_ends_by_itself_at_that_second_and_not_before(
    clock: Any, bob: User, mod: User, api: Callable[..., APIClient], password: str
) -> None:
    _, personal = actions.make_token(bob, name="script", scopes=[Scope.READ])
    suspend(bob, mod, days=1)
    before = tokens.issue(bob)
    clock.shift(86_399)

    def by_token() -> int:
        return api(None).get("/api/sessions", headers={"authorization": f"Bearer {personal}"}).status_code

    assert (log_in(api, password).status_code, by_token()) == (403, 401)
    clock.shift(1)
    assert (log_in(api, password).status_code, by_token()) == (200, 200)
    assert before.access
    bob.refresh_from_db()
    assert bob.is_able
    assert not actions.lift_suspension(bob, by=mod)


def test_lifting_opens_the_doors_and_old_sign_ins_stay_ended(
    bob: User, mod: User, api: Callable[..., APIClient], password: str
) -> None:
    bearer = api(bob)
    suspend(bob, mod, days=None)
    assert log_in(api, password).json()["detail"].startswith("This account is suspended indefinitely.")
    assert actions.lift_suspension(bob, by=mod, reason="A mistake")
    assert log_in(api, password).status_code == 200
    assert bearer.get("/api/sessions").status_code == 401
    assert list(AuditEntry.objects.order_by("number").values_list("action", "actor_id", "target_id", "reason")) == [
        ("user.suspended", mod.pk, str(bob.pk), "Mining coins, 100% of it"),
        ("user.suspension_lifted", mod.pk, str(bob.pk), "A mistake"),
    ]


def test_sockets_are_looked_at_and_programs_stop(
    bob: User, mod: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    bot = actions.make_bot(bob, "bob-bot")
    runs = [Run.objects.create(user=user, language="python") for user in (bob, bot, mod)]
    looked_at: list[User] = []

    def look(sender: Any, user: User, **kwargs: Any) -> None:
        looked_at.append(user)

    sign_ins_ended.connect(look)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            suspend(bob, mod)
    finally:
        sign_ins_ended.disconnect(look)
    assert {user.pk for user in looked_at} == {bob.pk, bot.pk}
    for run in runs:
        run.refresh_from_db()
    assert [run.status for run in runs] == [Status.CANCELLED, Status.CANCELLED, Status.QUEUED]
    assert AuditEntry.objects.filter(action="run.cancelled", actor_id=mod.pk).count() == 2


def test_nobody_touches_themselves_a_superuser_or_as_a_moderator_another_moderator(
    alice: User, bob: User, mod: User
) -> None:
    root = User.objects.create_superuser("root", "root@example.org", "correct horse battery")
    other = User.objects.create_user("other-mod", "other@example.org", "x", role="moderator")
    pairs = [(alice, bob), (mod, mod), (mod, root), (mod, other), (root, root), (other, root)]
    for by, whom in pairs:
        for attempt in (suspend, lambda user, by: actions.revoke_tokens(user, by=by)):
            with pytest.raises(Forbidden):
                attempt(whom, by)
        with pytest.raises(Forbidden):
            actions.lift_suspension(whom, by=by)
    suspend(other, root)
    other.refresh_from_db()
    assert not other.is_moderator
    assert AuditEntry.objects.count() == 1


def test_an_end_in_the_past_is_refused(bob: User, mod: User) -> None:
    with pytest.raises(Invalid):
        actions.suspend(bob, by=mod, reason="x", until=timezone.now())
    bob.refresh_from_db()
    assert bob.is_able


def test_revoking_tokens_ends_sign_ins_and_leaves_the_password(
    bob: User, mod: User, api: Callable[..., APIClient], password: str
) -> None:
    bot = actions.make_bot(bob, "bob-bot")
    texts = [actions.make_token(holder, name="script", scopes=[Scope.READ])[1] for holder in (bob, bot)]
    bearer = api(bob)
    actions.revoke_tokens(bob, by=mod, reason="It leaked")
    assert bearer.get("/api/sessions").status_code == 401
    for text in texts:
        assert api(None).get("/api/sessions", headers={"authorization": f"Bearer {text}"}).status_code == 401
    assert log_in(api, password).status_code == 200
    assert AuditEntry.objects.get().metadata == {"personal_tokens": 2}


def test_a_door_without_a_password_is_closed_too(bob: User, mod: User) -> None:
    """A passkey, another's sign-in: they all end in the same step of django-allauth."""
    suspend(bob, mod)
    request = RequestFactory().get("/login")
    request.user = AnonymousUser()
    for middleware in (SessionMiddleware, MessageMiddleware):
        middleware(lambda request: HttpResponse()).process_request(request)
    with context.request_context(request):
        answer = perform_login(request, bob)
    assert answer["Location"] == "/login"
    assert "_auth_user_id" not in request.session
    assert ["suspended until" in str(message) for message in get_messages(request)] == [True]
