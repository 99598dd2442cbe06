"""What answers say of the caller's budgets, counting by many at once, and counting while the cache is away."""

from __future__ import annotations

import re
import threading

import pytest
from django.core.cache import cache, caches
from django.db import connection
from rest_framework.test import APIClient

from tests.conftest import PASSWORD
from tests.services import servers
from web import counters
from web.throttles import RateLimited, count_or_refuse

PATH = "/api/auth/profile"
# A quoted name with parameters, in a list (RFC 9651).
POLICY = r'"(?P<scope>[a-z_]+)";q=(?P<q>\d+);w=(?P<w>\d+)'
LEFT = r'"(?P<scope>[a-z_]+)";r=(?P<r>\d+);t=(?P<t>\d+)'


def parsed(answer):
    """{scope: (quota, window, remaining, seconds)} of an answer's two headers."""
    policies = [re.fullmatch(POLICY, item) for item in answer["RateLimit-Policy"].split(", ")]
    left = [re.fullmatch(LEFT, item) for item in answer["RateLimit"].split(", ")]
    assert all(policies) and all(left), (answer["RateLimit-Policy"], answer["RateLimit"])
    assert [one["scope"] for one in policies] == [one["scope"] for one in left]
    return {
        policy["scope"]: (int(policy["q"]), int(policy["w"]), int(now["r"]), int(now["t"]))
        for policy, now in zip(policies, left, strict=True)
    }


@pytest.fixture
def limited(settings):
    settings.RATE_LIMITS = True
    settings.RATES = settings.RATES | {"anonymous": "5/900", "user": "3/900", "run": "2/60", "register": "1/3600"}
    cache.clear()
    yield settings
    cache.clear()


@pytest.fixture
def at_noon(time_machine):
    time_machine.move_to("2030-01-01T12:00:00Z", tick=False)
    return time_machine


def test_every_answer_says_what_is_left(limited, at_noon, api, alice):
    client = api(alice)
    assert [parsed(client.get(PATH)) for _ in range(3)] == [{"user": (3, 900, left, 900)} for left in (2, 1, 0)]
    at_noon.shift(61)
    refused = client.get(PATH)
    assert (refused.status_code, refused["Retry-After"]) == (429, "839")
    assert parsed(refused) == {"user": (3, 900, 0, 839)}
    at_noon.shift(839)
    assert parsed(api(alice).get(PATH)) == {"user": (3, 900, 2, 900)}


def test_a_path_with_a_budget_of_its_own_names_that_one(limited, at_noon, api, alice):
    client = api(alice)
    assert parsed(client.post("/api/execute", {})) == {"run": (2, 60, 1, 60)}
    assert parsed(client.get(PATH)) == {"user": (3, 900, 2, 900)}


def test_the_anonymous_read_theirs_on_success_refusal_and_what_is_not_there(limited, at_noon, client, db):
    paths = ("/api/execute/languages", "/api/sessions", "/api/nothing", "/api/schema")
    seen = [parsed(client.get(path)) for path in paths]
    assert seen == [{"anonymous": (5, 900, left, 900)} for left in (4, 3, 2, 1)]
    client.get(paths[0])
    assert parsed(client.get(paths[0])) == {"anonymous": (5, 900, 0, 900)}


def test_two_budgets_are_both_named_and_the_one_that_refuses_is_used_up(limited, at_noon, client, db):
    body = {"username": "newname", "email": "new@example.org", "password": PASSWORD}
    made = client.post("/api/auth/register", body, "application/json")
    assert parsed(made) == {"anonymous": (5, 900, 4, 900), "register": (1, 3600, 0, 3600)}
    refused = client.post("/api/auth/register", body, "application/json")
    assert (refused.status_code, refused["Retry-After"]) == (429, "3600")
    assert parsed(refused) == {"anonymous": (5, 900, 3, 900), "register": (1, 3600, 0, 3600)}


def test_pages_and_unlimited_servers_say_nothing(limited, client, api, alice):
    assert "RateLimit" not in client.get("/login")
    limited.RATE_LIMITS = False
    assert "RateLimit" not in api(alice).get(PATH)


def test_a_front_end_elsewhere_can_read_them(limited, client, db):
    limited.CORS_ALLOWED_ORIGINS = ["https://app.example.org"]
    answer = client.get("/api/execute/languages", HTTP_ORIGIN="https://app.example.org")
    assert {"RateLimit", "RateLimit-Policy"} <= set(answer["Access-Control-Expose-Headers"].split(", "))


def test_limits_tells_what_is_left_without_using_up_more_than_its_own_request(limited, api, alice):
    client = api(alice)
    for left in (2, 1):
        rates = {rate["scope"]: rate["remaining"] for rate in client.get("/api/limits").json()["rates"]}
        assert rates == {"user": left, "run": 2, "status": 600, "chat": 30}


# Many at once


def race(times, call):
    """What `times` threads get that begin together."""
    seen, start = [], threading.Barrier(times)

    def one():
        start.wait()
        try:
            seen.append(call())
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def passes(scope):
    try:
        count_or_refuse(scope, "somebody")
    except RateLimited:
        return False
    return True


def test_of_fifty_at_once_no_more_pass_than_the_limit(limited):
    limited.RATES = limited.RATES | {"user": "7/900"}
    seen = race(50, lambda: passes("user"))
    assert (seen.count(True), seen.count(False)) == (7, 43)


def test_of_fifty_at_once_no_more_pass_than_the_limit_in_redis(limited, redis_url):
    limited.CACHES = limited.CACHES | {"default": redis_cache(redis_url)}
    limited.RATES = limited.RATES | {"user": "7/900"}
    seen = race(50, lambda: passes("user"))
    assert (seen.count(True), seen.count(False)) == (7, 43)


@pytest.mark.django_db(transaction=True)
def test_of_fifty_requests_at_once_no_more_are_served_than_the_limit(limited, api, alice):
    limited.RATES = limited.RATES | {"user": "7/900"}
    clients = [api(alice) for _ in range(50)]
    seen = race(50, lambda: clients.pop().get(PATH).status_code)
    assert (seen.count(200), seen.count(429)) == (7, 43)


@pytest.mark.django_db(transaction=True)
def test_of_fifty_anonymous_at_once_no_more_are_served_than_the_limit(limited):
    seen = race(50, lambda: APIClient().get("/api/execute/languages").status_code)
    assert (seen.count(200), seen.count(429)) == (5, 45)


# The cache is away


def redis_cache(url):
    options = {"socket_timeout": 1, "socket_connect_timeout": 1}
    return {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url, "OPTIONS": options}


@pytest.fixture
def cache_away(limited):
    """A Redis that nobody answers for."""
    before = limited.CACHES
    limited.CACHES = before | {"default": redis_cache(f"redis://127.0.0.1:{servers.free_port()}/0")}
    caches["own"].clear()
    counters._away_until = 0.0
    yield
    counters._away_until = 0.0
    caches["own"].clear()
    limited.CACHES = before


def test_without_the_cache_requests_are_served_and_still_limited(cache_away, api, alice, client):
    person = api(alice)
    assert [person.get(PATH).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert [client.get("/api/execute/languages").status_code for _ in range(6)] == [200] * 5 + [429]
    assert person.get("/api/limits").status_code == 429


def test_without_the_cache_sign_in_works_and_guessing_is_still_limited(cache_away, limited, client, alice):
    limited.RATES = limited.RATES | {"anonymous": "99/900", "login": "2/300"}

    def sign_in(password):
        return client.post("/api/auth/login", {"username": "alice", "password": password}, "application/json")

    assert [sign_in(word).status_code for word in ("wrong one", PASSWORD, PASSWORD)] == [401, 200, 429]


def test_pages_of_a_person_count_like_their_calls(client, api, alice, settings):
    settings.RATE_LIMITS, settings.RATES = True, settings.RATES | {"user": "3/900"}
    client.force_login(alice)
    codes = [client.post("/sessions/new", {"language": "c", "title": str(number)}).status_code for number in range(4)]
    assert codes == [302, 302, 302, 429]
    refused = client.get("/sessions")
    assert refused.status_code == 429 and int(refused["Retry-After"]) > 0
    assert "Try again in" in refused.content.decode()
    assert api(alice).get("/api/sessions").status_code == 429
    assert client.get("/health").status_code == 200


@pytest.mark.django_db
def test_pages_of_strangers_are_counted_by_address_apart_from_the_api(client, settings):
    settings.RATE_LIMITS, settings.RATES = True, settings.RATES | {"page": "2/900", "anonymous": "1/900"}
    assert [client.get("/login").status_code for _ in range(3)] == [200, 200, 429]
    assert client.get("/api/limits").status_code == 200
    assert client.get("/login", REMOTE_ADDR="192.0.2.1").status_code == 200
