"""Lists walk by cursor, and a cursor or page size that is none is an answer, not an accident."""

from __future__ import annotations

import base64

import pytest

from execution.models import Run
from sessions_app.models import CodeSession, Collaborator


def encoded(text):
    return base64.b64encode(text.encode()).decode()


@pytest.fixture(params=["sessions", "history", "text history"])
def path(request, session):
    return {
        "sessions": "/api/sessions",
        "history": f"/api/execute/history/{session.pk}",
        "text history": f"/api/sessions/{session.pk}/history",
    }[request.param]


@pytest.mark.parametrize(
    "cursor",
    [
        "cD1mb28=",
        "cD0A",
        "not base64!",
        "####",
        "",
        "cA==",
        "/w==",
        encoded("o=-1"),
        encoded("o=many"),
        encoded("r=maybe"),
        encoded("page=2"),
        encoded("p="),
        encoded("p=%00"),
        encoded("p=2026-13-45T00:00:00Z"),
        encoded("p=2026-01-01"),
        encoded("p=2026-01-01T00:00:00"),
        encoded("p=0001-01-01T00:00:00%2B14:00"),
        encoded("p=9999-12-31T23:59:59-14:00"),
        encoded("p=%ed%a0%80"),
    ],
)
def test_a_wrong_cursor_is_named(cursor, path, api, alice):
    answer = api(alice).get(path, {"cursor": cursor})
    assert answer.status_code == 400, answer.content
    assert (answer.json()["code"], list(answer.json()["errors"])) == ("invalid", ["cursor"])
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("position", ["%00", "a%00b"])
def test_a_wrong_cursor_of_a_list_by_title_is_named(position, api, alice):
    answer = api(alice).get("/api/sessions", {"ordering": "title", "cursor": encoded(f"p={position}")})
    assert answer.status_code == 400, answer.content
    assert list(answer.json()["errors"]) == ["cursor"]


@pytest.mark.parametrize("size", ["", "0", "-1", "101", "ten", "1.5", " 5", "1_0", "٣", "9" * 5000])
def test_a_wrong_page_size_is_named(size, path, api, alice):
    answer = api(alice).get(path, {"page_size": size})
    assert answer.status_code == 400, answer.content
    assert list(answer.json()["errors"]) == ["page_size"]


def walk(client, url):
    """The ids of all pages, and the link back from the last."""
    seen, back = [], ""
    while url:
        page = client.get(url)
        assert page.status_code == 200, page.content
        seen += [row["id"] for row in page.json()["results"]]
        back, url = page.json()["previous"], page.json()["next"]
    return seen, back


@pytest.mark.parametrize("ordering", ["created_at", "-created_at", "updated_at", "title", "-title"])
def test_cursors_that_were_given_lead_to_every_row_and_back(ordering, api, alice, session):
    client = api(alice)
    for n in range(4):
        assert client.post("/api/sessions", {"title": f"a&b=%{n}"}).status_code == 201
    seen, back = walk(client, f"/api/sessions?page_size=2&ordering={ordering}")
    assert len(seen) == len(set(seen)) == 5
    assert [row["id"] for row in client.get(back).json()["results"]] == seen[2:4]


def test_equal_titles_are_each_listed_once(api, alice):
    client = api(alice)
    for _ in range(5):
        client.post("/api/sessions", {"title": "same"})
    seen, _ = walk(client, "/api/sessions?page_size=2&ordering=title")
    assert len(seen) == len(set(seen)) == 5


def test_a_history_is_walked_to_its_end(api, alice, session):
    for _ in range(5):
        Run.objects.create(session=session, user=alice, language="python")
    client, seen, url = api(alice), [], f"/api/execute/history/{session.pk}?page_size=2"
    while url:
        page = client.get(url)
        seen += [run["job_id"] for run in page.json()["results"]]
        url = page.json()["next"]
    assert len(seen) == len(set(seen)) == 5


@pytest.mark.parametrize("ordering", ["-updated_at", "updated_at", "created_at", "-created_at", "title", "-title"])
def test_own_and_joined_sessions_are_one_list_each_with_its_own_permission(ordering, api, alice, bob, carol, session):
    """Bob owns three, and was let into four of Alice's, where others are too."""
    expected = {str(session.pk): "write"}
    for n, permission in enumerate(("read", "write", "admin")):
        theirs = CodeSession.objects.create(owner=alice, title=f"b{n}")
        Collaborator.objects.create(session=theirs, user=carol, permission="admin")
        Collaborator.objects.create(session=theirs, user=bob, permission=permission)
        CodeSession.objects.create(owner=alice, title=f"hidden {n}")
        own = CodeSession.objects.create(owner=bob, title=f"a{n}")
        Collaborator.objects.create(session=own, user=carol, permission="read")
        expected |= {str(theirs.pk): permission, str(own.pk): "owner"}
    client, found, url = api(bob), [], f"/api/sessions?page_size=2&ordering={ordering}"
    while url:
        page = client.get(url).json()
        found += page["results"]
        url = page["next"]
    assert {row["id"]: row["permission"] for row in found} == expected
    assert len(found) == len(expected)
    name = ordering.lstrip("-")
    keys = [row[name] for row in found]
    assert keys == sorted(keys, reverse=ordering.startswith("-"))


LISTS = [
    "/api/sessions", "/api/sessions/public", "/api/templates", "/api/execute/languages", "/api/auth/tokens",
    "/api/auth/bots", "/api/execute/history/{id}", "/api/sessions/{id}/chat", "/api/sessions/{id}/history",
    "/api/sessions/{id}/collaborators", "/api/sessions/{id}/invites", "/api/sessions/{id}/files",
    "/api/sessions/{id}/files/deleted", "/api/sessions/{id}/guests",
]  # fmt: skip


def test_every_list_of_the_schema_is_tried_here():
    """So that a new one is not forgotten: a list is an array, or a page with `results`."""
    from drf_spectacular.generators import SchemaGenerator

    schema = SchemaGenerator().get_schema(request=None, public=True)
    pages = {name for name, it in schema["components"]["schemas"].items() if "results" in it.get("properties", {})}
    found = set()
    for path, verbs in schema["paths"].items():
        answer = verbs.get("get", {}).get("responses", {}).get("200", {}).get("content", {}).get("application/json", {})
        kind = answer.get("schema", {})
        if kind.get("type") == "array" or kind.get("$ref", "").rpartition("/")[2] in pages:
            found.add(path.replace("{session_id}", "{id}"))
    assert found == set(LISTS)


@pytest.mark.parametrize("path", LISTS)
def test_a_parameter_that_a_list_does_not_know_is_named(path, api, alice, session):
    path = path.format(id=session.pk)
    assert api(alice).get(path).status_code == 200
    for name in ("sort", "owner", "limit", "offset", "Search", "is_public__in", "user__password__startswith"):
        answer = api(alice).get(path, {name: "a"})
        assert (answer.status_code, answer.json()["code"], list(answer.json()["errors"])) == (400, "invalid", [name])
