"""The pages without JavaScript: dashboard, new session, invite, archive."""

from __future__ import annotations

import pytest

from sessions_app import actions, invites
from sessions_app.access import access_to
from sessions_app.models import CodeSession, Report


@pytest.fixture
def as_alice(client, alice):
    client.force_login(alice)
    return client


def test_the_landing_page_welcomes_and_sends_the_signed_in_to_their_sessions(client, alice):
    assert client.get("/").status_code == 200
    client.force_login(alice)
    assert client.get("/")["Location"] == "/sessions"


def test_pages_of_sessions_ask_for_a_login_and_come_back(client, session):
    for path in ("/sessions", f"/sessions/{session.pk}", "/join/token"):
        assert client.get(path)["Location"] == f"/login?next={path}"


def test_a_session_is_created_from_the_dashboard(as_alice, alice):
    answer = as_alice.post("/sessions/new", {"language": "c", "title": " Pointers "})
    made = CodeSession.objects.get(owner=alice)
    assert (made.title, made.language) == ("Pointers", "c")
    assert answer["Location"] == f"/sessions/{made.pk}"
    page = as_alice.get(answer["Location"])
    assert page["Cache-Control"] == "no-store"
    assert "#include" in page.content.decode()


def test_an_unknown_language_goes_back_with_a_sentence(as_alice):
    answer = as_alice.post("/sessions/new", {"language": "klingon"}, follow=True)
    assert "Unknown language" in answer.content.decode()
    assert not CodeSession.objects.exists()


def test_the_dashboard_lists_filters_and_searches(as_alice, alice, bob, session):
    foreign = CodeSession.objects.create(owner=bob, title="Shared one")
    foreign.collaborators.create(user=alice, permission="read")

    def titles(query):
        html = as_alice.get(f"/sessions{query}").content.decode()
        return {title for title in ("Together", "Shared one") if title in html}

    assert titles("") == {"Together", "Shared one"}
    assert titles("?filter=mine") == {"Together"}
    assert titles("?filter=shared") == {"Shared one"}
    assert titles("?q=gether") == {"Together"}
    assert titles("?filter=archived") == set()
    assert titles("?filter=bogus&page=99") == {"Together", "Shared one"}


def test_the_dashboard_takes_as_many_queries_for_many_sessions_as_for_few(
    as_alice, alice, bob, django_assert_max_num_queries
):
    for number in range(25):
        made = CodeSession.objects.create(owner=alice, title=f"s{number}")
        made.collaborators.create(user=bob, permission="write")
    with django_assert_max_num_queries(8):
        assert as_alice.get("/sessions").status_code == 200


def test_titles_and_texts_are_escaped(as_alice, alice):
    import languages

    evil = "</script><script>alert(1)</script>"
    made = actions.create_session(alice, language=languages.get("python"), title=evil, content=evil)
    for path in ("/sessions", f"/sessions/{made.pk}"):
        assert "<script>alert" not in as_alice.get(path).content.decode()


def test_an_invite_page_names_the_session_and_joins_on_post_only(client, alice, mallory, session):
    _, token = invites.create_invite(access_to(alice, session.pk), alice)
    client.force_login(mallory)
    page = client.get(f"/join/{token}").content.decode()
    assert "Together" in page and "alice" in page
    assert client.get(f"/sessions/{session.pk}").status_code == 404
    assert client.post(f"/join/{token}")["Location"] == f"/sessions/{session.pk}"
    assert client.get(f"/sessions/{session.pk}").status_code == 200


def test_a_dead_invite_says_what_to_do(client, mallory, session):
    client.force_login(mallory)
    answer = client.get("/join/not-a-token")
    assert answer.status_code == 404
    assert "This link does not work" in answer.content.decode()
    assert "Together" not in answer.content.decode()


def test_an_archived_session_is_restored_from_the_dashboard(as_alice, alice, session):
    actions.archive_session(access_to(alice, session.pk), alice)
    assert as_alice.get(f"/sessions/{session.pk}").status_code == 404
    assert "Together" in as_alice.get("/sessions?filter=archived").content.decode()
    assert as_alice.get(f"/sessions/{session.pk}/restore").status_code == 405
    assert as_alice.post(f"/sessions/{session.pk}/restore")["Location"] == f"/sessions/{session.pk}"


def test_a_fork_that_is_too_large_is_refused_on_a_page(as_alice, session, settings):
    settings.TEXT_MAX_BYTES = 1
    answer = as_alice.post(f"/sessions/{session.pk}/fork")
    assert answer.status_code == 413
    assert "This could not be done" in answer.content.decode()
    assert CodeSession.objects.count() == 1


def test_a_title_that_is_too_long_is_refused_not_cut(as_alice):
    answer = as_alice.post("/sessions/new", {"language": "c", "title": "x" * 121})
    assert answer.status_code == 400
    assert "at most 120 characters" in answer.content.decode()
    assert not CodeSession.objects.exists()


def test_a_title_is_one_line_without_hidden_characters(as_alice, api, alice):
    disguised = "exam\u202eyp.\r\n\x1b[2Jtxt "
    as_alice.post("/sessions/new", {"language": "c", "title": disguised})
    api(alice).post("/api/sessions", {"title": disguised})
    assert set(CodeSession.objects.values_list("title", flat=True)) == {"examyp. [2Jtxt"}
    answer = api(alice).post("/api/sessions", {"title": "\u202e\u200f"})
    assert (answer.status_code, answer.json()["errors"]["title"][0]["code"]) == (400, "blank")


def test_a_locked_session_is_read_only_everywhere_it_is_shown(as_alice, api, alice, session):
    CodeSession.objects.update(locked_at=session.created_at)
    rest = api(alice)
    shown = {
        rest.get(f"/api/sessions/{session.pk}").json()["permission"],
        *(row["permission"] for row in rest.get("/api/sessions").json()["results"]),
        *(row.permission for row in as_alice.get("/sessions").context["sessions"]),
    }
    assert shown == {"read"}


@pytest.mark.parametrize("title", ["\u00ad", "\u200b\u2060", "\u3164", "\u2800", "\U000e0041", "\u202e \u2067"])
def test_a_title_that_shows_nothing_is_refused(api, alice, title):
    answer = api(alice).post("/api/sessions", {"title": title})
    assert (answer.status_code, answer.json()["errors"]["title"][0]["code"]) == (400, "blank")


def test_a_reason_that_moderators_read_holds_no_hidden_characters(api, bob, session):
    assert api(bob).post(f"/api/sessions/{session.pk}/report", {"reason": "a\u202eb"}).status_code == 201
    assert Report.objects.get().reason == "ab"
