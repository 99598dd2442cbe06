"""No answer is kept by a browser or a proxy, unless it is the same for everybody."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import User

pytestmark = pytest.mark.django_db
# The landing page sends people who are signed in elsewhere.
PUBLIC = {"/", "/api/schema"}


def routes(patterns: list[Any], prefix: str = "/") -> Iterator[str]:
    """Every path of the URL table, its parameters still in it."""
    for pattern in patterns:
        route = prefix + str(pattern.pattern).removeprefix("^").removesuffix("$").replace("\\Z", "")
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        else:
            assert isinstance(pattern, URLPattern)
            yield route


def filled(route: str, values: dict[str, str]) -> str:
    path = re.sub(r"\(\?P<\w+>[^)]*\)", "x", route)
    return re.sub(
        r"<(?:(\w+):)?(\w+)>",
        lambda found: values.get(found[2]) or {"uuid": str(uuid.uuid4()), "int": "1"}.get(found[1], "x"),
        path,
    )


@pytest.mark.slow
def test_no_answer_is_kept_whoever_asks_for_whatever(session, alice, mod, api):
    values = {"session_id": str(session.pk), "user_id": str(alice.pk), "object_id": str(alice.pk)}
    # The other names of the API's paths lead to the same views.
    paths = sorted(
        {
            filled(route, values)
            for route in routes(get_resolver().url_patterns)
            if not re.match("/api/(v1/|.*/$)", route)
        }
    )
    assert len(paths) > 100 and f"/api/sessions/{session.pk}/chat" in paths and "/account/mfa/recovery-codes/" in paths
    bearer = api(alice)._credentials
    kept = []
    for path in paths:
        for who in (None, alice, mod, "bearer"):
            for method in ("GET", "POST"):
                client = Client(raise_request_exception=False)
                if isinstance(who, User):
                    client.force_login(who)
                answer = client.generic(method, path, **(bearer if who == "bearer" else {}))
                if "no-store" not in answer.get("Cache-Control", "") and path not in PUBLIC:
                    kept.append((method, path, who, answer.status_code))
                if path.startswith("/api/"):
                    varies = {name.strip() for name in answer.get("Vary", "").split(",")}
                    assert {"Authorization", "Cookie"} <= varies, (method, path)
    assert not kept


def test_landing_page_is_kept_for_nobody_but_those_without_a_name(client, alice):
    assert client.get("/")["Cache-Control"] == "no-cache"
    client.force_login(alice)
    assert client.get("/")["Cache-Control"] == "no-store"


def test_answers_without_a_body_and_of_failures_are_not_kept_either(api, alice, session, monkeypatch):
    from sessions_app import actions

    client = api(alice)
    path = f"/api/sessions/{session.pk}"
    same = client.get(path, headers={"If-None-Match": client.get(path)["ETag"]})
    assert (same.status_code, same["Cache-Control"]) == (304, "no-store")
    monkeypatch.setattr(actions, "create_session", lambda *args, **kwargs: 1 / 0)
    client.raise_request_exception = False
    assert client.post("/api/sessions", {"title": "a"})["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/api/auth/profile", "/api/sessions/{id}"])
def test_nobody_is_told_that_they_have_what_another_was_given(path, api, alice, bob, session):
    path = path.format(id=session.pk)
    session.collaborators.filter(user=bob).update(permission="admin")
    tags = {api(person).get(path)["ETag"] for person in (alice, bob)}
    assert len(tags) == 2
    for tag in tags:
        answers = [api(person).get(path, headers={"If-None-Match": tag}).status_code for person in (alice, bob)]
        assert sorted(answers) == [200, 304]
