"""Personal tokens and bots: what is stored, what each scope opens over REST, and how they end."""

from __future__ import annotations

import hashlib
import json
import uuid

import pytest
from django.urls import get_resolver
from rest_framework.test import APIClient

from accounts import actions
from accounts.models import PersonalToken, Scope, User
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
TOKENS = "/api/auth/tokens"
PROFILE = "/api/auth/profile"
UNSAFE = ("post", "put", "patch", "delete")


def client_with(text):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client


@pytest.fixture
def token_of():
    def make(user, *scopes, **kwargs):
        return actions.make_token(user, name="tests", scopes=scopes or (Scope.READ,), **kwargs)[1]

    return make


def test_a_token_is_told_once_and_kept_as_a_digest(as_alice):
    answer = as_alice.post(TOKENS, {"name": "deploy", "scopes": ["run", "read"], "days": 30})
    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    text, details = answer.json()["token"], answer.json()["details"]
    assert len(text) >= len("cct_") + 43
    kept = PersonalToken.objects.get()
    assert kept.digest == hashlib.sha256(text.encode()).hexdigest()
    assert text not in json.dumps(list(PersonalToken.objects.values()), default=str)
    assert details["scopes"] == ["read", "run"]
    assert text.startswith(details["prefix"])
    listed = as_alice.get(TOKENS)
    assert text not in listed.content.decode()
    assert [row["name"] for row in listed.json()] == ["deploy"]
    assert client_with(text).get(PROFILE).json()["username"] == "alice"


@pytest.mark.parametrize(
    "body",
    [
        {"name": "", "scopes": ["read"]},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["account"]},
        {"name": "x", "scopes": ["admin"]},
        {"name": "x", "scopes": "read"},
        {"name": "x", "scopes": ["read"], "days": 0},
        {"name": "x", "scopes": ["read"], "days": "30"},
        {"name": "x" * 61, "scopes": ["read"]},
        {"name": "x\x00", "scopes": ["read"]},
        {"name": "\u200b\u3164\U000e0041", "scopes": ["read"]},
    ],
)
def test_a_malformed_token_is_400(as_alice, body):
    assert as_alice.post(TOKENS, body).status_code == 400
    assert not PersonalToken.objects.exists()


def test_a_revoked_or_expired_token_opens_nothing(as_alice, alice, token_of, time_machine):
    from datetime import timedelta

    from django.utils import timezone

    revoked, lasting = token_of(alice), token_of(alice)
    row = PersonalToken.objects.get(digest=hashlib.sha256(revoked.encode()).hexdigest())
    assert as_alice.delete(f"{TOKENS}/{row.pk}").status_code == 204
    assert client_with(revoked).get(PROFILE).status_code == 401
    assert client_with(lasting).get(PROFILE).status_code == 200
    short = token_of(alice, expires_at=timezone.now() + timedelta(days=1))
    assert client_with(short).get(PROFILE).status_code == 200
    time_machine.move_to(timezone.now() + timedelta(days=2))
    assert client_with(short).get(PROFILE).status_code == 401


def test_nobody_sees_or_revokes_anothers_token(as_alice, bob, token_of):
    text = token_of(bob)
    row = PersonalToken.objects.get()
    assert as_alice.get(TOKENS).json() == []
    absent = as_alice.delete(f"{TOKENS}/{uuid.uuid4()}")
    refused = as_alice.delete(f"{TOKENS}/{row.pk}")
    assert (refused.status_code, refused.json()) == (404, absent.json())
    assert client_with(text).get(PROFILE).status_code == 200


def test_the_last_use_is_noted_at_most_once_a_minute(alice, token_of, time_machine):
    client = client_with(token_of(alice))
    seen = []
    for moment in ("00:00:00", "00:00:59", "00:01:01"):
        time_machine.move_to(f"2030-01-01T{moment}Z", tick=False)
        assert client.get(PROFILE).status_code == 200
        seen.append(PersonalToken.objects.get().last_used_at.strftime("%H:%M:%S"))
    assert seen == ["00:00:00", "00:00:00", "00:01:01"]


@pytest.mark.parametrize("text", ["cct_", "cct_nonsense", "cct_" + "A" * 43, "cct_\ud800"])
def test_a_made_up_token_is_refused(text):
    client = APIClient()
    answer = client.get(PROFILE, HTTP_AUTHORIZATION=f"Bearer {text.encode('utf-8', 'replace').decode()}")
    assert (answer.status_code, answer.json()["code"]) == (401, "token_not_valid")


def api_routes():
    """Every pattern under /api/, as a path with an id that belongs to nobody."""

    def walk(patterns, before=""):
        for pattern in patterns:
            route = before + str(pattern.pattern)
            if hasattr(pattern, "url_patterns"):
                yield from walk(pattern.url_patterns, route)
            else:
                view = getattr(pattern.callback, "cls", None)
                if route.startswith("api/") and view is not None and not route.endswith("/"):
                    yield route, view

    for route, view in walk(get_resolver().url_patterns):
        path = "/" + route
        for converter in ("session_id", "user_id", "invite_id", "job_id", "token_id", "bot_id", "message_id"):
            path = path.replace(f"<uuid:{converter}>", str(uuid.UUID(int=1)))
        yield path.replace("<int:revision>", "1").replace("<str:file_id>", "main"), view


ROUTES = sorted(set(api_routes()), key=lambda pair: pair[0])
# Nobody's: they take no credential, or answer everybody alike.
ENTRANCES = {"register", "login", "refresh", "logout"}


def test_the_routes_are_all_here():
    paths = {path for path, _ in ROUTES}
    assert {"/api/execute", "/api/sessions", "/api/v1/sessions", TOKENS, PROFILE} <= paths
    assert not [path for path in paths if "<" in path]


@pytest.mark.parametrize(
    ("path", "method"),
    [
        (path, method)
        for path, view in ROUTES
        for method in UNSAFE
        if hasattr(view, method) and path.rpartition("/")[2] not in ENTRANCES
    ],
)
def test_a_token_that_reads_changes_nothing_anywhere(path, method, alice, token_of):
    answer = getattr(client_with(token_of(alice, Scope.READ)), method)(path, {})
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


@pytest.mark.parametrize(
    ("path", "method"),
    [
        (path, method)
        for path, view in ROUTES
        for method in UNSAFE
        if hasattr(view, method)
        and (path.startswith("/api/auth/") or path.endswith("/ticket"))
        and path.rpartition("/")[2] not in ENTRANCES
    ],
)
def test_no_token_changes_the_account_or_makes_others(path, method, alice, token_of):
    everything = client_with(token_of(alice, *Scope))
    answer = getattr(everything, method)(path, {})
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


def test_each_scope_opens_its_own_and_no_more(alice, session, token_of):
    url = f"/api/sessions/{session.pk}"
    reads, edits, runs = (client_with(token_of(alice, scope)) for scope in (Scope.READ, Scope.EDIT, Scope.RUN))
    assert [client.get(url).status_code for client in (reads, edits, runs)] == [200, 403, 403]
    assert [client.patch(url, {"title": "New"}).status_code for client in (reads, edits, runs)] == [403, 200, 403]
    past = f"{url}/history/1"
    for path in (f"{url}/history", past):
        assert [client.get(path).status_code for client in (reads, edits, runs)] == [200, 403, 403]
    assert [client.post(f"{past}/restore").status_code for client in (reads, edits, runs)] == [403, 200, 403]
    # Nothing to run, as far as one is let through to be told so.
    assert [client.post("/api/execute", {}).status_code for client in (reads, edits, runs)] == [403, 403, 400]


def test_only_managing_tokens_share_hand_over_or_archive(alice, bob, session, token_of):
    url = f"/api/sessions/{session.pk}"
    calls = [
        ("post", f"{url}/invites", {}),
        ("post", f"{url}/collaborators", {"username": "bob", "permission": "admin"}),
        ("delete", f"{url}/collaborators/{bob.pk}", None),
        ("post", f"{url}/transfer", {"username": "bob"}),
        ("post", f"{url}/leave", {}),
        ("post", "/api/sessions", {"title": "Public", "is_public": True}),
        ("patch", url, {"is_public": True}),
        ("patch", url, {"allows_guests": True}),
        ("delete", url, None),
        ("post", f"{url}/restore", {}),
    ]
    limited = client_with(token_of(alice, Scope.READ, Scope.EDIT, Scope.RUN))
    for method, path, body in calls:
        answer = getattr(limited, method)(path, body)
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing"), (method, path)
    session.refresh_from_db()
    assert (session.owner_id, session.is_public, session.archived_at) == (alice.pk, False, None)
    assert client_with(token_of(alice, Scope.MANAGE)).post(f"{url}/invites", {}).status_code == 201
    assert client_with(token_of(alice, Scope.MANAGE)).delete(url).status_code == 204


def test_a_token_does_not_list_the_keys_of_its_person(alice, token_of):
    client = client_with(token_of(alice, *Scope))
    for path in (TOKENS, "/api/auth/bots"):
        for method in ("get", "head"):
            assert getattr(client, method)(path).status_code == 403, (method, path)


def test_a_token_is_for_the_api_alone(client, alice, token_of):
    text = token_of(alice, *Scope)
    for path in ("/sessions", "/profile", "/account/tokens", "/admin/"):
        assert client.get(path, HTTP_AUTHORIZATION=f"Bearer {text}").status_code == 302


def test_a_token_ends_with_its_person_and_outlives_a_new_password(alice, token_of):
    client = client_with(token_of(alice))
    alice.set_password("another long password")
    alice.save()
    actions.end_sign_ins(alice)
    assert client.get(PROFILE).status_code == 200
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert client.get(PROFILE).status_code == 401


def test_there_is_a_most_of_tokens(as_alice, monkeypatch):
    monkeypatch.setattr(actions, "TOKENS_MAX", 2)
    made = [as_alice.post(TOKENS, {"name": "x", "scopes": ["read"]}).status_code for _ in range(3)]
    assert made == [201, 201, 409]


def test_a_bot_acts_by_its_token_under_its_own_name(as_alice, alice, session):
    bot = as_alice.post("/api/auth/bots", {"username": "alice-bot"})
    assert bot.status_code == 201
    made = as_alice.post(TOKENS, {"name": "helper", "scopes": ["read", "edit"], "bot": "Alice-Bot"}).json()
    assert made["details"]["username"] == "alice-bot"
    client = client_with(made["token"])
    shown = client.get(PROFILE).json()
    assert (shown["username"], shown["is_bot"], shown["role"]) == ("alice-bot", True, "user")
    url = f"/api/sessions/{session.pk}"
    # It is not its owner: it comes in like everybody.
    assert client.get(url).status_code == 404
    as_alice.post(f"{url}/collaborators", {"username": "alice-bot", "permission": "write"})
    assert client.get(url).json()["permission"] == "write"
    assert client.patch(url, {"content": "print(2)\n"}).status_code == 200


def test_a_bot_has_no_password_mail_or_reset(as_alice, client, mailoutbox):
    as_alice.post("/api/auth/bots", {"username": "alice-bot"})
    bot = User.objects.get(username="alice-bot")
    rest = APIClient()
    for password in ("!", bot.password, PASSWORD):
        assert rest.post("/api/auth/login", {"username": "alice-bot", "password": password}).status_code == 401
    bot.set_password(PASSWORD)
    bot.save()
    assert rest.post("/api/auth/login", {"username": "alice-bot", "password": PASSWORD}).status_code == 401
    client.post("/account/password/reset", {"email": bot.email})
    assert not [mail for mail in mailoutbox if "/account/password/reset/" in mail.body and str(bot.pk.hex) in mail.body]


def test_a_bot_ends_with_its_owner_and_when_it_is_retired(as_alice, alice):
    as_alice.post("/api/auth/bots", {"username": "first-bot"})
    as_alice.post("/api/auth/bots", {"username": "second-bot"})
    texts = [
        as_alice.post(TOKENS, {"name": "x", "scopes": ["read"], "bot": name}).json()["token"]
        for name in ("first-bot", "second-bot")
    ]
    first = next(bot for bot in as_alice.get("/api/auth/bots").json() if bot["username"] == "first-bot")
    assert as_alice.delete(f"/api/auth/bots/{first['id']}").status_code == 204
    assert [client_with(text).get(PROFILE).status_code for text in texts] == [401, 200]
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert client_with(texts[1]).get(PROFILE).status_code == 401


def test_nobody_uses_anothers_bot(as_alice, bob):
    actions.make_bot(bob, "bobs-bot")
    answer = as_alice.post(TOKENS, {"name": "x", "scopes": ["read"], "bot": "bobs-bot"})
    assert answer.status_code == 404
    bot = User.objects.get(username="bobs-bot")
    assert as_alice.delete(f"/api/auth/bots/{bot.pk}").status_code == 404
    taken = as_alice.post("/api/auth/bots", {"username": "BOBS-bot"})
    assert (taken.status_code, taken.json()["code"]) == (400, "username_taken")


def test_the_page_shows_a_new_token_once_and_revokes_it(client, alice):
    client.force_login(alice)
    client.post("/account/reauthenticate", {"password": PASSWORD})
    page = client.post("/account/tokens", {"name": "script", "scopes": ["read"], "days": "30"})
    text = page.content.decode().partition('class="secret">')[2].partition("<")[0]
    assert client_with(text).get(PROFILE).status_code == 200
    assert "no-store" in page["Cache-Control"]
    again = client.get("/account/tokens").content.decode()
    assert text not in again
    assert "script" in again
    row = PersonalToken.objects.get()
    assert client.get(f"/account/tokens/{row.pk}/revoke").status_code == 405
    client.post(f"/account/tokens/{row.pk}/revoke")
    assert client_with(text).get(PROFILE).status_code == 401
