"""What every answer over HTTP keeps to: headers, limits, errors, documentation."""

from __future__ import annotations

import json

import pytest
import time_machine
from django.test import Client


@pytest.fixture
def rates(settings):
    settings.RATE_LIMITS = True
    settings.RATES = {**settings.RATES, "anonymous": "3/900", "user": "5/900", "run": "2/60"}
    from django.core.cache import cache

    cache.clear()
    yield settings
    cache.clear()


def test_pages_carry_the_security_headers(client, db):
    answer = client.get("/login")
    policy = answer["Content-Security-Policy"]
    assert "script-src 'self'" in policy and "unsafe-eval" not in policy
    assert "frame-ancestors 'none'" in policy and "default-src 'none'" in policy
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"


def test_no_page_holds_an_inline_script(client, alice):
    client.force_login(alice)
    for path in ("/", "/sessions", "/profile", "/login", "/api/docs"):
        html = client.get(path, follow=True).content.decode()
        for script in html.split("<script")[1:]:
            opening = script.split(">", 1)[0]
            assert "src=" in opening or "application/json" in opening, (path, opening)
        assert " onclick=" not in html


def test_only_the_named_front_end_may_call_the_api_from_a_browser(client, db):
    asked = {
        "HTTP_ORIGIN": "https://app.example.org",
        "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "POST",
        "HTTP_ACCESS_CONTROL_REQUEST_HEADERS": "content-type",
    }
    assert "Access-Control-Allow-Origin" not in client.options("/api/sessions", **asked)


def test_the_named_front_end_may_send_credentials(client, db, settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.org"]
    answer = client.options(
        "/api/sessions", HTTP_ORIGIN="https://app.example.org", HTTP_ACCESS_CONTROL_REQUEST_METHOD="POST"
    )
    assert answer["Access-Control-Allow-Origin"] == "https://app.example.org"
    assert answer["Access-Control-Allow-Credentials"] == "true"
    outside = client.get("/login", HTTP_ORIGIN="https://app.example.org")
    assert "Access-Control-Allow-Origin" not in outside


def test_long_answers_are_compressed(client, db):
    answer = client.get("/api/schema", HTTP_ACCEPT_ENCODING="gzip")
    assert answer["Content-Encoding"] == "gzip"


def test_a_request_id_is_kept_when_it_is_harmless_and_made_otherwise(client, db):
    assert client.get("/health", HTTP_X_REQUEST_ID="trace-7").headers["X-Request-ID"] == "trace-7"
    made = client.get("/health", HTTP_X_REQUEST_ID="x\nforged").headers["X-Request-ID"]
    assert len(made) == 16 and made.isalnum()


def test_the_anonymous_are_counted_by_address(client, db, rates):
    path = "/api/execute/languages"
    assert [client.get(path).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert client.get(path, REMOTE_ADDR="192.0.2.7").status_code == 200
    refused = client.get(path)
    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json()["code"] == "rate_limited"
    assert 0 < int(refused["Retry-After"]) <= 900


def test_a_forged_forwarded_header_changes_nothing(client, db, rates):
    path = "/api/execute/languages"
    answers = [client.get(path, HTTP_X_FORWARDED_FOR=f"203.0.113.{n}").status_code for n in range(4)]
    assert answers[-1] == 429


def test_behind_a_trusted_proxy_the_callers_address_counts(client, db, rates):
    rates.TRUSTED_PROXIES = 1
    path = "/api/execute/languages"
    answers = [client.get(path, HTTP_X_FORWARDED_FOR=f"198.51.100.1, 203.0.113.{n}").status_code for n in range(4)]
    assert answers == [200] * 4
    forged = [client.get(path, HTTP_X_FORWARDED_FOR=f"203.0.113.{n}, 203.0.113.99").status_code for n in range(4)]
    assert forged[-1] == 429


def test_a_person_has_a_budget_of_their_own_which_comes_back(alice, bob, api, rates):
    path = "/api/sessions"
    with time_machine.travel("2026-01-01T00:00:00Z", tick=False) as clock:
        client = api(alice)
        assert [client.get(path).status_code for _ in range(6)] == [200] * 5 + [429]
        assert api(bob).get(path).status_code == 200
        clock.shift(901)
        assert api(alice).get(path).status_code == 200


def test_pages_are_not_counted(client, db, rates):
    assert {client.get("/login").status_code for _ in range(8)} == {200}


def test_every_error_of_the_api_is_a_problem(alice, api):
    client = api(alice)
    for answer, code in (
        (client.get("/api/nothing"), "not_found"),
        (client.delete("/api/sessions"), "method_not_allowed"),
        (client.post("/api/sessions", "{", content_type="application/json"), "invalid_json"),
        (client.post("/api/sessions", "[" * 100_000, content_type="application/json"), "invalid_json"),
        (client.post("/api/sessions", b"\xff", content_type="application/json"), "invalid_json"),
        (client.post("/api/sessions", "[]", content_type="application/json"), "invalid"),
        (client.post("/api/sessions", "x", content_type="text/plain"), "unsupported_media_type"),
        (api(None).get("/api/sessions"), "not_authenticated"),
    ):
        assert answer["Content-Type"] == "application/problem+json", code
        body = answer.json()
        assert {"type", "title", "status", "detail", "code"} <= set(body)
        assert (body["status"], body["code"]) == (answer.status_code, code)


def test_a_lone_surrogate_is_answered_not_echoed_into_an_error(alice, api):
    body = json.dumps({"title": "a", "language": "\ud800"})
    answer = api(alice).post("/api/sessions", body, content_type="application/json")
    assert answer.status_code == 400
    answer = api(alice).post("/api/sessions", json.dumps({"title": "\ud800"}), content_type="application/json")
    assert answer.status_code == 400


def test_a_fault_of_ours_says_no_more_than_an_id(alice, api, monkeypatch):
    from sessions_app import actions

    def fail(*args, **kwargs):
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(actions, "create_session", fail)
    answer = api(alice).post("/api/sessions", {"title": "a"})
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal_error" and answer.json()["error_id"]
    assert "hunter2" not in answer.content.decode() and "Traceback" not in answer.content.decode()


def test_the_browsable_api_works_with_the_cookie_login(client, alice):
    client.force_login(alice)
    answer = client.get("/api/sessions", HTTP_ACCEPT="text/html")
    assert answer.status_code == 200 and "text/html" in answer["Content-Type"]
    assert "alice" in answer.content.decode()


def test_a_cookie_login_needs_the_csrf_token_to_change_anything(alice):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    answer = client.post("/api/sessions", {"title": "a"}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_a_foreign_page_changes_nothing_even_with_the_csrf_token(alice):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    client.get("/sessions")
    token = client.cookies["csrftoken"].value

    def create(origin):
        sent = {"HTTP_X_CSRFTOKEN": token, "HTTP_ORIGIN": origin}
        return client.post("/api/sessions", {"title": "a"}, "application/json", **sent)

    for foreign in ("https://evil.example", "null", "http://testserver.evil.example", "http://testserver:81"):
        refused = create(foreign)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert refused["Content-Type"] == "application/problem+json"
    assert not alice.owned_sessions.exists()
    assert create("http://testserver").status_code == 201


def test_a_post_to_an_unknown_path_is_a_problem_too(db):
    answer = Client(enforce_csrf_checks=True).post("/api/nothing", {}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_the_schema_is_complete_and_without_warnings(tmp_path):
    from django.core.management import call_command

    target = tmp_path / "schema.yml"
    call_command("spectacular", "--file", str(target), "--validate", "--fail-on-warn")
    text = target.read_text()
    for path in (
        "/api/auth/register",
        "/api/sessions/{session_id}/join",
        "/api/execute",
        "/api/execute/status/{job_id}",
        "/api/execute/history/{session_id}",
    ):
        assert f"{path}:" in text
    assert "/api/v1/" not in text


def test_an_unknown_page_says_what_to_do(client, db):
    answer = client.get("/nothing/here")
    assert answer.status_code == 404
    assert "<h1" in answer.content.decode()


def test_someone_elses_session_page_looks_absent(client, session, mallory):
    client.force_login(mallory)
    assert client.get(f"/sessions/{session.pk}").status_code == 404


@pytest.mark.parametrize("depth", [33, 900, 100_000])
def test_a_body_that_is_nested_too_deep_is_refused(api, alice, depth):
    # The first 31 levels are for the body and the metadata.
    metadata = "[" * (depth - 2) + "]" * (depth - 2)
    body = '{"title": "Deep", "metadata": {"a": ' + metadata + "}}"
    answer = api(alice).post("/api/sessions", data=body, content_type="application/json")
    assert answer.status_code == 400, answer.content


def test_a_body_that_is_just_deep_enough_can_be_stored_and_forked(api, alice):
    metadata = "[" * 30 + "]" * 30
    body = '{"title": "Deep", "metadata": {"a": ' + metadata + "}}"
    made = api(alice).post("/api/sessions", data=body, content_type="application/json")
    assert made.status_code == 201
    assert api(alice).post(f"/api/sessions/{made.json()['id']}/fork").status_code == 201
