"""Whoever carries no valid credential has one small budget for all of /api/, counted before anything else."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import tokens
from accounts.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def limited(settings):
    settings.RATE_LIMITS = True
    settings.RATES = {**settings.RATES, "anonymous": "3/900", "user": "5/900"}
    cache.clear()
    yield settings
    cache.clear()


def statuses(times, call):
    return [call().status_code for _ in range(times)]


# What somebody without a valid credential can send, and what it gets while there is budget.
ANONYMOUS = {
    "protected": (lambda c: c.get("/api/sessions"), 401),
    "protected write": (lambda c: c.post("/api/execute", {}, "application/json"), 401),
    "version 1": (lambda c: c.get("/api/v1/sessions"), 401),
    "bad token": (lambda c: c.get("/api/sessions", HTTP_AUTHORIZATION="Bearer nonsense"), 401),
    "no token": (lambda c: c.get("/api/sessions", HTTP_AUTHORIZATION="Bearer"), 401),
    "other scheme": (lambda c: c.get("/api/sessions", HTTP_AUTHORIZATION="Basic YTpi"), 401),
    "bad cookie": (lambda c: c.get("/api/sessions", HTTP_COOKIE="sessionid=" + "a" * 32), 401),
    "unknown path": (lambda c: c.get("/api/nothing/here"), 404),
    "unknown path, bad token": (lambda c: c.get("/api/nothing", HTTP_AUTHORIZATION="Bearer nonsense"), 404),
    "wrong method": (lambda c: c.delete("/api/execute/languages"), 405),
    "unknown type": (lambda c: c.get("/api/execute/languages", HTTP_ACCEPT="image/png"), 406),
    "options": (lambda c: c.options("/api/execute/languages"), 200),
    "public": (lambda c: c.get("/api/execute/languages"), 200),
    "public, bad token": (lambda c: c.post("/api/auth/login", {}, HTTP_AUTHORIZATION="Bearer nonsense"), 415),
    "sign in": (lambda c: c.post("/api/auth/login", {}, "application/json"), 400),
    "schema": (lambda c: c.get("/api/schema"), 200),
    "docs": (lambda c: c.get("/api/docs"), 200),
    "redirect": (lambda c: c.get("/api/"), 302),
}


@pytest.mark.parametrize("sent", ANONYMOUS)
def test_a_flood_without_a_valid_credential_is_refused(client, sent):
    call, expected = ANONYMOUS[sent]
    assert statuses(5, lambda: call(client)) == [expected] * 3 + [429] * 2


def test_all_of_it_is_one_budget(client):
    for sent in ("protected", "unknown path", "bad token"):
        assert ANONYMOUS[sent][0](client).status_code != 429
    for call, _ in ANONYMOUS.values():
        assert call(client).status_code == 429


def test_the_refusal_is_a_problem_that_says_when(client):
    statuses(3, lambda: client.get("/api/sessions"))
    refused = client.get("/api/sessions")
    assert refused["Content-Type"] == "application/problem+json"
    body = refused.json()
    assert (body["status"], body["code"]) == (429, "rate_limited")
    assert 0 < int(refused["Retry-After"]) <= 900
    assert refused["X-Content-Type-Options"] == "nosniff" and refused["X-Request-ID"]


def test_the_named_front_end_can_read_the_refusal(client, limited):
    limited.CORS_ALLOWED_ORIGINS = ["https://app.example.org"]
    statuses(3, lambda: client.get("/api/sessions"))
    refused = client.get("/api/sessions", HTTP_ORIGIN="https://app.example.org")
    assert refused.status_code == 429
    assert refused["Access-Control-Allow-Origin"] == "https://app.example.org"
    assert "Retry-After" in refused["Access-Control-Expose-Headers"]


def test_nothing_is_done_for_a_refused_request(client):
    statuses(3, lambda: client.get("/api/sessions"))
    new = {"username": "newcomer", "email": "newcomer@example.org", "password": "a long enough password"}
    assert client.post("/api/auth/register", new, "application/json").status_code == 429
    assert not User.objects.exists()


def test_preflights_are_not_counted(client):
    asked = {"HTTP_ORIGIN": "https://app.example.org", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "POST"}
    assert statuses(8, lambda: client.options("/api/sessions", **asked)) == [200] * 8
    assert client.get("/api/sessions").status_code == 401


@pytest.mark.parametrize("path", ["/", "/login", "/signup", "/health", "/metrics", "/nothing", "/api", "/sessions"])
def test_what_is_not_the_api_is_not_counted(client, path):
    assert 429 not in statuses(8, lambda: client.get(path))
    assert client.get("/api/sessions").status_code == 401


def test_people_who_signed_in_are_served_where_the_anonymous_are_refused(client, api, alice, bob):
    statuses(4, lambda: client.get("/api/sessions"))
    assert api(alice).get("/api/sessions").status_code == 200
    cookie = Client()
    cookie.force_login(bob)
    assert cookie.get("/api/sessions").status_code == 200


def test_people_who_signed_in_do_not_use_up_the_budget_of_the_anonymous(client, api, alice, bob):
    cookie = Client()
    cookie.force_login(bob)
    assert statuses(5, lambda: api(alice).get("/api/sessions")) == [200] * 5
    assert statuses(5, lambda: cookie.get("/api/sessions")) == [200] * 5
    assert statuses(4, lambda: client.get("/api/sessions")) == [401] * 3 + [429]


def test_a_valid_token_is_no_way_around_the_limit_of_the_entrance(api, alice):
    client = api(alice)
    assert statuses(5, lambda: client.post("/api/auth/login", {})) == [400] * 3 + [429] * 2


@pytest.mark.parametrize("reason", ["suspended", "changed password", "refresh token"])
def test_a_token_that_was_good_once_is_counted_as_none(client, alice, reason):
    pair = tokens.issue(alice)
    if reason == "suspended":
        User.objects.filter(pk=alice.pk).update(is_active=False)
    elif reason == "changed password":
        alice.set_password("another long password")
        alice.save()
    text = pair.refresh if reason == "refresh token" else pair.access
    sent = {"HTTP_AUTHORIZATION": f"Bearer {text}"}
    assert statuses(4, lambda: client.get("/api/sessions", **sent)) == [401] * 3 + [429]


def test_counting_asks_the_database_nothing_twice(api, alice, limited):
    def asked(client):
        with CaptureQueriesContext(connection) as queries:
            assert client.get("/api/auth/profile").status_code == 200
        return len(queries)

    cookie = Client()
    cookie.force_login(alice)
    with_limits = [asked(api(alice)), asked(cookie)]
    limited.RATE_LIMITS = False
    assert [asked(api(alice)), asked(cookie)] == with_limits
