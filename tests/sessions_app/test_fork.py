"""Forks, templates and the list of public sessions."""

from __future__ import annotations

import pytest
from django.test import Client

import languages
from accounts.actions import suspend
from languages.templates import READS, templates_of
from sessions_app import actions, files
from sessions_app.access import access_to
from sessions_app.document import contents
from sessions_app.models import ChatMessage, CodeSession, Collaborator, Update


@pytest.fixture
def path(session):
    return f"/api/sessions/{session.pk}"


def browser(user):
    client = Client()
    client.force_login(user)
    return client


def test_a_reader_forks_a_session_into_one_of_their_own(session, alice, carol, path, api):
    CodeSession.objects.filter(pk=session.pk).update(is_public=True, metadata={"course": 1})
    files.create_file(access_to(alice, session.pk), alice, "lib/words.py", "WORDS = 1\n")
    ChatMessage.objects.create(session=session, user=alice, text="hello")
    answer = api(carol).post(f"{path}/fork")
    made = answer.json()
    assert answer.status_code == 201 and answer["Location"] == f"/api/sessions/{made['id']}"
    assert (made["permission"], made["title"], made["is_public"]) == ("owner", "Copy of Together", False)
    assert (made["forked_from"], made["metadata"]) == (str(session.pk), {"course": 1})
    fork = CodeSession.objects.get(pk=made["id"])
    assert contents.files_at_head(fork.pk)[1] == {"main.py": b"print(1)\n", "lib/words.py": b"WORDS = 1\n"}
    # Only the files: nobody else is in it, nothing was said, and nobody wrote it.
    assert not Collaborator.objects.filter(session=fork).exists()
    assert not ChatMessage.objects.filter(session=fork).exists()
    assert Update.objects.filter(document=fork.pk).count() == 1
    assert api(alice).get(f"/api/sessions/{fork.pk}").status_code == 404


def test_a_fork_and_its_origin_go_their_own_ways(session, alice, carol, path, api):
    made = api(carol).post(f"{path}/fork", {"title": "Mine"}).json()
    api(carol).patch(f"/api/sessions/{made['id']}", {"content": "mine"})
    api(alice).patch(path, {"content": "hers"})
    assert made["title"] == "Mine"
    assert api(carol).get(f"/api/sessions/{made['id']}").json()["content"] == "mine"
    assert api(carol).get(path).json()["content"] == "hers"


def test_a_fork_outlives_its_origin_and_the_title_is_shown_to_who_may_know_it(session, alice, carol, path, api):
    made = api(carol).post(f"{path}/fork").json()
    page = f"/sessions/{made['id']}"
    assert 'Forked from <a href="' in browser(carol).get(page).text
    Collaborator.objects.filter(user=carol).delete()
    shown = browser(carol).get(page).text
    assert "a session that you cannot see" in shown and ">Together<" not in shown
    session.delete()
    assert api(carol).get(f"/api/sessions/{made['id']}").json()["forked_from"] is None
    assert "Forked from" not in browser(carol).get(page).text


def test_a_long_title_stays_within_its_bound(session, alice, path, api):
    CodeSession.objects.filter(pk=session.pk).update(title="x" * 120)
    assert len(api(alice).post(f"{path}/fork").json()["title"]) == 120


def test_a_page_forks_without_javascript_and_only_by_post(session, carol, mallory):
    address = f"/sessions/{session.pk}/fork"
    assert browser(carol).get(address).status_code == 405
    assert browser(mallory).post(address).status_code == 404
    answer = browser(carol).post(address)
    fork = CodeSession.objects.get(owner=carol)
    assert answer["Location"] == f"/sessions/{fork.pk}"


@pytest.mark.parametrize("language", languages.LANGUAGES)
def test_every_language_has_something_to_start_with(language, alice, api, db):
    rows = api(alice).get(f"/api/templates?language={language}").json()
    assert {row["key"] for row in rows} == {"hello", "empty"} | ({"input"} if language in READS else set())
    assert [row["content"] for row in rows if row["key"] == "hello"] == [languages.get(language).hello]


def test_templates_are_listed_and_wrong_filters_named(alice, api):
    client = api(alice)
    assert len(client.get("/api/templates").json()) == sum(
        len(templates_of(row)) for row in languages.LANGUAGES.values()
    )
    for wrong in ("language=klingon", "lang=python"):
        assert client.get(f"/api/templates?{wrong}").status_code == 400
    assert api(None).get("/api/templates").status_code == 401


@pytest.mark.parametrize(
    ("body", "content"),
    [
        ({"template": "empty"}, ""),
        ({"template": "input"}, READS["python"]),
        ({"template": "hello"}, languages.get("python").hello),
        ({}, languages.get("python").hello),
        ({"content": ""}, ""),
    ],
)
def test_a_session_starts_with_what_was_chosen(body, content, alice, api):
    made = api(alice).post("/api/sessions", {"title": "t", "language": "python", **body}).json()
    assert made["content"] == content


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"template": "none"}, "unknown_template"),
        ({"language": "cobol", "template": "input"}, "unknown_template"),
        ({"template": "hello", "content": "x"}, "invalid"),
    ],
)
def test_a_wrong_start_is_refused(body, code, alice, api):
    answer = api(alice).post("/api/sessions", {"title": "t", "language": "python", **body})
    assert answer.status_code == 400 and answer.json()["errors"]["template"][0]["code"] == code


def test_the_dashboard_starts_a_session_with_a_template(alice):
    browser(alice).post("/sessions/new", {"language": "python", "template": "empty"})
    assert contents.entry_text(CodeSession.objects.get()) == ""
    browser(alice).post("/sessions/new", {"language": "cobol", "template": "input"})
    assert CodeSession.objects.count() == 1


@pytest.fixture
def shelf(alice, bob, mallory):
    """What is public and what is not."""
    made = {}
    for title, owner, language, fields in (
        ("Sorting", alice, "python", {"is_public": True}),
        ("Trees", bob, "c", {"is_public": True}),
        ("Secret", alice, "python", {}),
        ("Gone", alice, "python", {"is_public": True}),
    ):
        made[title] = actions.create_session(owner, language=languages.get(language), title=title, **fields)
    actions.archive_session(access_to(alice, made["Gone"].pk), alice)
    return made


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("", {"Sorting", "Trees"}),
        ("search=sort", {"Sorting"}),
        ("search=BOB", {"Trees"}),
        ("search=secret", set()),
        ("search=%00", {"Sorting", "Trees"}),
        ("language=python", {"Sorting"}),
        ("search=trees&language=python", set()),
    ],
)
def test_public_sessions_are_found_by_anybody_signed_in(query, titles, shelf, mallory, api):
    found = api(mallory).get(f"/api/sessions/public?{query}").json()["results"]
    assert {row["title"] for row in found} == titles
    assert all(row["permission"] == "read" and "content" not in row for row in found)
    page = browser(mallory).get("/explore?" + query.replace("search=", "q="))
    for title in shelf:
        assert (f">{title}<" in page.text) == (title in titles)


def test_what_somebody_has_who_is_suspended_is_recommended_nowhere(shelf, bob, mod, mallory, api):
    suspend(bob, by=mod, reason="x")
    left = {"Sorting"}
    found = api(mallory).get("/api/sessions/public").json()["results"]
    assert {row["title"] for row in found} == left
    page = browser(mallory).get("/explore")
    assert {title for title in shelf if f">{title}<" in page.text} == left


def test_the_list_of_public_sessions_says_what_one_may_do(shelf, alice, bob, api):
    Collaborator.objects.create(session=shelf["Sorting"], user=bob, permission="write")
    for person, wanted in ((alice, {"owner", "read"}), (bob, {"write", "owner"})):
        found = api(person).get("/api/sessions/public").json()["results"]
        assert {row["permission"] for row in found} == wanted


@pytest.mark.parametrize("wrong", ["archived=true", "is_public=false", "owner=x", "ordering=owner", "language=x"])
def test_a_filter_that_is_not_there_is_refused(wrong, mallory, api):
    assert api(mallory).get(f"/api/sessions/public?{wrong}").status_code == 400


def test_public_sessions_are_for_the_signed_in(shelf, client, api):
    assert api(None).get("/api/sessions/public").status_code == 401
    assert client.get("/explore")["Location"].startswith("/login")


def test_pages_of_public_sessions_cost_a_fixed_number_of_queries(
    alice, mallory, api, django_assert_max_num_queries, django_assert_num_queries
):
    CodeSession.objects.bulk_create(
        CodeSession(owner=alice, title=f"s{number}", language="python", is_public=True) for number in range(45)
    )
    client = api(mallory)
    with django_assert_max_num_queries(3):
        first = client.get("/api/sessions/public").json()
    assert len(first["results"]) == 20
    second = client.get(first["next"]).json()["results"]
    assert not {row["id"] for row in first["results"]} & {row["id"] for row in second}
    page = browser(mallory)
    with django_assert_max_num_queries(5):
        assert page.get("/explore").text.count('class="session-row"') == 30
    assert page.get("/explore?page=2").text.count('class="session-row"') == 15
