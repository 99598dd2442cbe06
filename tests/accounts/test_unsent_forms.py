"""A form that was posted after the sign-in had ended is not lost, and is shown to nobody but who filled it in."""

from __future__ import annotations

import time

import pytest
from django.contrib.sessions.models import Session
from django.test import Client

from sessions_app.models import CodeSession
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def form_of(alice, **fields):
    return {"signed_in_as": str(alice.pk)} | fields


def log_in(client, name, answer):
    """Follows the redirect to the log-in page, and what comes after it."""
    where = answer["Location"]
    assert where.startswith("/login?next=")
    return client.post(where, {"login": name, "password": PASSWORD}, follow=True)


def test_the_form_comes_back_after_the_log_in_and_works(client, alice):
    answer = client.post("/sessions/new", form_of(alice, title="Lesson 4 & more", language="c", template="hello"))
    page = log_in(client, "alice", answer)
    html = page.content.decode()
    assert page.status_code == 200
    assert 'value="Lesson 4 &amp; more"' in html and 'action="/sessions/new"' in html
    assert not CodeSession.objects.exists(), "nothing is sent by itself"
    client.post("/sessions/new", form_of(alice, title="Lesson 4 & more", language="c", template="hello"))
    assert CodeSession.objects.get().title == "Lesson 4 & more"


def test_looking_at_it_or_asking_for_its_headers_does_not_use_it_up(client, alice):
    log_in(client, "alice", client.post("/sessions/new", form_of(alice, title="Again", language="c")))
    assert client.head("/account/unsent-form").status_code == 200
    assert 'value="Again"' in client.get("/account/unsent-form").content.decode()


def test_the_next_person_at_the_browser_does_not_see_it(client, alice, bob):
    answer = client.post("/sessions/new", form_of(alice, title="Alice's secret", language="c"))
    page = log_in(client, "bob", answer)
    assert page.request["PATH_INFO"] == "/sessions"
    assert "Alice's secret" not in page.content.decode()
    client.logout()
    client.force_login(alice)
    assert client.get("/account/unsent-form")["Location"] == "/sessions"


def test_it_is_forgotten_after_a_while(client, alice, time_machine):
    answer = client.post("/sessions/new", form_of(alice, title="Late", language="c"))
    time_machine.move_to(time.time() + 16 * 60)
    assert log_in(client, "alice", answer).request["PATH_INFO"] == "/sessions"


@pytest.mark.parametrize("path", ["/profile", "/account/tokens"])
def test_forms_of_pages_that_also_show_themselves_come_back_too(client, alice, path):
    page = log_in(client, "alice", client.post(path, form_of(alice, username="alice", name="For the build")))
    assert 'value="For the build"' in page.content.decode()


def test_passwords_and_huge_forms_are_never_kept(client, alice):
    answer = client.post("/profile", form_of(alice, password="sesame-open-1234", username="alice"))
    assert "sesame-open-1234" not in log_in(client, "alice", answer).content.decode()
    client.logout()
    assert client.post("/profile", form_of(alice, username="x" * 9_000))["Location"] == "/login?next=/profile"


def test_nobody_fills_the_database_with_forms(alice, settings):
    settings.RATE_LIMITS = True
    settings.RATES = settings.RATES | {"unsent_form": "2/3600"}
    answers = [Client().post("/profile", form_of(alice, username="alice"))["Location"] for _ in range(4)]
    assert answers == ["/login?next=%2Faccount%2Funsent-form"] * 2 + ["/login?next=/profile"] * 2
    assert Session.objects.count() == 2


def test_a_form_from_before_a_new_log_in_is_shown_again_instead_of_lost(alice):
    browser = Client(enforce_csrf_checks=True, headers={"Origin": "http://testserver"})
    browser.force_login(alice)
    browser.get("/sessions")
    answer = browser.post("/sessions/new", form_of(alice, title="Old token", csrfmiddlewaretoken="x" * 64))
    assert answer.status_code == 403
    assert 'value="Old token"' in answer.content.decode()
    assert not CodeSession.objects.exists()


@pytest.mark.parametrize("origin", ["https://evil.example", "null", None])
def test_a_form_of_another_site_is_not_offered_for_sending(alice, origin):
    browser = Client(enforce_csrf_checks=True, headers={"Origin": origin} if origin else {})
    browser.force_login(alice)
    answer = browser.post("/sessions/new", form_of(alice, title="Forged", csrfmiddlewaretoken="x" * 64))
    assert answer.status_code == 403
    assert "Forged" not in answer.content.decode()


ONLY_FORMS = [
    "/sessions/new",
    "/sessions/import",
    "/sessions/{id}/fork",
    "/sessions/{id}/restore",
    "/account/delete",
    "/account/bots",
    "/account/email/send",
]


@pytest.mark.parametrize("path", ONLY_FORMS)
def test_no_address_answers_with_the_browsers_own_page(client, alice, session, path):
    client.force_login(alice)
    answer = client.get(path.format(id=session.pk))
    assert answer.status_code == 405
    assert answer["Allow"]
    assert "only accepts forms" in answer.content.decode()
