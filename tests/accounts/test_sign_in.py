from __future__ import annotations

import pytest

from accounts.models import User
from tests.accounts.hashers import CountingHasher
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
URL = "/api/auth/login"


@pytest.mark.parametrize(
    "who",
    [
        {"username": "Alice"},
        {"username": "ALICE"},
        {"email": "alice@example.org"},
        {"email": "ALICE@example.ORG"},
        {"username": "alice@example.org"},
    ],
)
def test_people_sign_in_by_name_or_address_in_any_case(rest, alice, who):
    assert alice.last_login is None
    answer = rest.post(URL, who | {"password": PASSWORD})
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"user", "access", "refresh"}
    assert body["user"]["id"] == str(alice.pk)
    alice.refresh_from_db()
    assert alice.last_login is not None


@pytest.fixture
def counted(settings):
    settings.PASSWORD_HASHERS = ["tests.accounts.hashers.CountingHasher"]


def attempt(rest, **body):
    CountingHasher.hashes = 0
    answer = rest.post(URL, body)
    return answer.status_code, answer.content, dict(answer.headers), CountingHasher.hashes


def test_a_failed_sign_in_says_and_costs_the_same_for_every_reason(counted, rest):
    User.objects.create_user("known", "known@example.org", PASSWORD)
    User.objects.create_user("suspended", "suspended@example.org", PASSWORD, is_active=False)
    User.objects.create_user("passwordless", "passwordless@example.org", None)
    attempts = [
        attempt(rest, username="known", password="not the password"),
        attempt(rest, email="known@example.org", password="not the password"),
        attempt(rest, username="nobody", password="not the password"),
        attempt(rest, email="nobody@example.org", password="not the password"),
        attempt(rest, username="suspended", password=PASSWORD),
        attempt(rest, username="suspended", password="not the password"),
        attempt(rest, username="passwordless", password="not the password"),
    ]
    for seen in attempts:
        seen[2].pop("X-Request-ID", None)
        assert seen == attempts[0]
    status, body, headers, hashes = attempts[0]
    assert (status, hashes) == (401, 1)
    assert b'"invalid_credentials"' in body
    assert headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"username": "alice"},
        {"password": PASSWORD},
        {"username": "alice", "email": "alice@example.org", "password": PASSWORD},
        {"username": ["alice"], "password": PASSWORD},
        {"username": "alice", "password": 5},
        {"username": "al\x00ice", "password": PASSWORD},
        {"username": "a" * 255, "password": PASSWORD},
        {"username": "alice", "password": "x" * 1025},
        {"username": "alice", "password": None},
    ],
)
def test_a_malformed_sign_in_is_400(rest, alice, body):
    answer = rest.post(URL, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


def test_a_stale_token_does_not_stop_a_sign_in(rest, alice):
    rest.credentials(HTTP_AUTHORIZATION="Bearer stale")
    assert rest.post(URL, {"username": "alice", "password": PASSWORD}).status_code == 200


def test_get_is_not_allowed(rest):
    assert rest.get(URL).status_code == 405


@pytest.fixture
def limited(settings):
    settings.RATE_LIMITS = True
    settings.RATES = settings.RATES | {"login": "3/300", "login_name": "5/300", "login_address": "5/300"}


def test_a_name_is_locked_at_one_address_after_its_limit_even_for_the_right_password(rest, alice, limited):
    for _ in range(3):
        assert rest.post(URL, {"username": "alice", "password": "wrong wrong"}).status_code == 401
    refused = rest.post(URL, {"username": "ALICE", "password": PASSWORD})
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert int(refused["Retry-After"]) > 0


def test_a_stranger_does_not_lock_the_right_person_out(client, rest, alice, limited):
    for _ in range(10):
        rest.post(URL, {"username": "alice", "password": "wrong wrong"}, REMOTE_ADDR="192.0.2.66")
    assert rest.post(URL, {"username": "alice", "password": PASSWORD}).status_code == 200
    page = client.post("/login", {"login": "alice", "password": PASSWORD})
    assert page.status_code == 302


def test_guesses_from_many_addresses_are_slowed(rest, alice, limited):
    seen = [
        rest.post(URL, {"username": "alice", "password": "wrong wrong"}, REMOTE_ADDR=f"192.0.2.{n}").status_code
        for n in range(6)
    ]
    assert seen == [401] * 5 + [429]
    other = rest.post(URL, {"username": "bob", "password": "wrong wrong"}, REMOTE_ADDR="192.0.2.5")
    assert other.status_code == 401


def test_one_ipv6_customer_is_one_address(rest, alice, limited):
    seen = [
        rest.post(URL, {"username": "alice", "password": "wrong wrong"}, REMOTE_ADDR=f"2001:db8:0:1::{n:x}").status_code
        for n in range(1, 5)
    ]
    assert seen == [401, 401, 401, 429]
    neighbour = rest.post(URL, {"username": "alice", "password": PASSWORD}, REMOTE_ADDR="2001:db8:0:2::1")
    assert neighbour.status_code == 200


def test_ipv4_callers_of_an_ipv6_socket_are_told_apart(rest, alice, limited):
    for _ in range(4):
        rest.post(URL, {"username": "alice", "password": "wrong wrong"}, REMOTE_ADDR="::ffff:192.0.2.1")
    assert rest.post(URL, {"username": "alice", "password": PASSWORD}, REMOTE_ADDR="192.0.2.1").status_code == 429
    right = rest.post(URL, {"username": "alice", "password": PASSWORD}, REMOTE_ADDR="::ffff:192.0.2.2")
    assert right.status_code == 200


def test_an_absent_account_is_locked_alike(rest, limited):
    seen = [rest.post(URL, {"username": "nobody", "password": "wrong wrong"}).status_code for _ in range(4)]
    assert seen == [401, 401, 401, 429]


def test_one_address_cannot_try_many_accounts(rest, limited):
    seen = [rest.post(URL, {"username": f"name{n}", "password": "wrong wrong"}).status_code for n in range(6)]
    assert seen == [401] * 5 + [429]


def test_the_lock_opens_when_the_window_ends(rest, alice, limited, time_machine):
    time_machine.move_to("2030-01-01T00:00:10Z")
    for _ in range(4):
        rest.post(URL, {"username": "alice", "password": "wrong wrong"})
    time_machine.move_to("2030-01-01T00:05:01Z")
    assert rest.post(URL, {"username": "alice", "password": PASSWORD}).status_code == 200


def test_pages_and_api_share_one_lock(client, rest, alice, limited):
    for _ in range(2):
        page = client.post("/login", {"login": "alice", "password": "wrong wrong"})
        assert page.status_code == 200
    assert rest.post(URL, {"username": "alice", "password": "wrong wrong"}).status_code == 401
    assert rest.post(URL, {"username": "alice", "password": PASSWORD}).status_code == 429
    page = client.post("/login", {"login": "alice", "password": PASSWORD})
    assert page.status_code == 429
    assert int(page["Retry-After"]) > 0
    assert "_auth_user_id" not in client.session
