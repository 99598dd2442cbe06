from __future__ import annotations

import re

import pytest
from django.test import Client

from accounts.models import User
from activity.log import recent
from tests.accounts.conftest import SECRET
from tests.accounts.hashers import CountingHasher

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser():
    """A browser: cookies, and CSRF checked as in production."""
    return Client(enforce_csrf_checks=True)


def submit(browser, path, follow=False, **fields):
    page = browser.get(path).content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert token, page
    return browser.post(path, fields | {"csrfmiddlewaretoken": token[1]}, follow=follow)


def sign_up(browser, path="/signup", **changes):
    return submit(
        browser, path, **({"username": "Anna", "email": "Anna@Example.org", "password1": SECRET} | changes)
    )


def is_signed_in(browser):
    return "_auth_user_id" in browser.session


def test_signing_up_signs_in_and_leads_to_ones_sessions(browser):
    answer = sign_up(browser)
    assert (answer.status_code, answer["Location"]) == (302, "/sessions")
    assert is_signed_in(browser)
    user = User.objects.get()
    assert (user.username, user.email, user.role) == ("Anna", "anna@example.org", "user")
    assert user.last_login is not None


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"username": "ANNA", "email": "new@example.org"}, "username is taken"),
        ({"username": "new-name"}, "already an account with this e-mail address"),
        ({"username": "an"}, "3"),
        ({"username": "anna@example.org"}, "3 to 30 letters"),
        ({"email": "nonsense"}, "valid email"),
        ({"username": "fresh", "email": "new@example.org", "password1": "short"}, "8 characters"),
        ({"username": "fresh", "email": "new@example.org", "password1": ""}, "required"),
        ({"username": "fresh\x00", "email": "new@example.org"}, "ull characters"),
    ],
)
def test_a_refused_sign_up_says_why_on_the_page(browser, anna, changes, word):
    answer = sign_up(browser, **changes)
    assert answer.status_code == 200
    assert word in answer.content.decode()
    assert not is_signed_in(browser)
    assert User.objects.count() == 1


def test_the_signed_in_are_led_away_from_the_entrance(client, anna):
    client.force_login(anna)
    for path in ("/signup", "/login"):
        answer = client.get(path)
        assert (answer.status_code, answer["Location"]) == (302, "/sessions")
        assert client.post(path, {"login": "x", "password": "y"}).status_code == 302
    assert User.objects.count() == 1


@pytest.mark.parametrize("name", ["anna", "ANNA", "anna@example.org", "Anna@Example.org"])
def test_people_sign_in_by_name_or_address(browser, anna, name):
    answer = submit(browser, "/login", login=name, password=SECRET)
    assert (answer.status_code, answer["Location"]) == (302, "/sessions")
    assert is_signed_in(browser)


def test_a_failed_sign_in_says_and_costs_the_same_for_every_reason(browser, settings):
    settings.PASSWORD_HASHERS = ["tests.accounts.hashers.CountingHasher"]
    User.objects.create_user("known", "known@example.org", SECRET)
    User.objects.create_user("suspended", "suspended@example.org", SECRET, is_active=False)
    seen = []
    for name, password in [
        ("known", "not the password"),
        ("known@example.org", "not the password"),
        ("nobody", "not the password"),
        ("nobody@example.org", "not the password"),
        ("suspended", SECRET),
    ]:
        CountingHasher.hashes = 0
        answer = submit(browser, "/login", login=name, password=password)
        page = answer.content.decode().replace(name, "NAME")
        page = re.sub(r'value="[A-Za-z0-9]{64}"|nonce="[^"]+"', "", page)
        seen.append((answer.status_code, CountingHasher.hashes, page))
        assert not is_signed_in(browser)
    assert "That name and password do not match." in seen[0][2]
    assert seen[0][:2] == (200, 1)
    assert all(one == seen[0] for one in seen)


@pytest.mark.parametrize("path", ["/signup", "/login", "/logout", "/profile"])
def test_a_post_without_a_csrf_token_is_refused(browser, anna, path):
    browser.force_login(anna)
    assert browser.post(path, {"username": "eve"}).status_code == 403
    assert is_signed_in(browser)


@pytest.mark.parametrize(
    ("target", "leads_to"),
    [
        ("/join/abc", "/join/abc"),
        ("http://testserver/profile", "http://testserver/profile"),
        ("https://evil.example/", "/sessions"),
        ("//evil.example/", "/sessions"),
        ("///evil.example/", "/sessions"),
        ("/\\evil.example", "/sessions"),
        ("http:evil.example", "/sessions"),
        ("http://localhost/", "/sessions"),
        ("http://trusted.example/", "/sessions"),
        ("javascript:alert(1)", "/sessions"),
        ("http://testserver@evil.example/", "/sessions"),
    ],
)
def test_next_is_followed_to_our_own_host_only(client, anna, settings, target, leads_to):
    settings.ALLOWED_HOSTS = ["testserver", "localhost"]
    settings.CSRF_TRUSTED_ORIGINS = ["http://trusted.example"]
    fields = {"login": "anna", "password": SECRET, "next": target}
    assert client.post("/login", fields)["Location"] == leads_to
    # Somebody who is signed in already is led on in the same way.
    assert client.get("/login", {"next": target})["Location"] == leads_to


def test_signing_out_is_a_post_and_ends_the_session(browser, anna):
    browser.force_login(anna)
    assert browser.get("/logout").status_code == 200
    assert is_signed_in(browser)
    answer = submit(browser, "/logout")
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert not is_signed_in(browser)
    assert browser.get("/logout").status_code == 302


def test_signing_in_changes_the_session_key(client, anna):
    session = client.session
    session["before"] = 1
    session.save()
    before = client.session.session_key
    client.post("/login", {"login": "anna", "password": SECRET})
    assert client.session.session_key != before


def test_signing_up_has_the_apis_limit(client, rest, settings):
    settings.RATE_LIMITS = True
    settings.RATES = settings.RATES | {"register": "1/3600"}
    assert rest.post("/api/auth/register", {}).status_code == 400
    fields = {"username": "anna", "email": "anna@example.org", "password1": SECRET}
    refused = client.post("/signup", fields)
    assert refused.status_code == 429
    assert int(refused["Retry-After"]) > 0
    assert b"Too many requests" in refused.content
    assert not User.objects.exists()


def test_the_profile_page_needs_a_sign_in(client):
    answer = client.get("/profile")
    assert (answer.status_code, answer["Location"]) == (302, "/login?next=/profile")


def test_the_profile_page_changes_name_address_and_theme(browser, anna):
    anna.preferences = {"theme": "dark", "editor_settings": {"font_size": 15}}
    anna.save()
    browser.force_login(anna)
    page = browser.get("/profile").content.decode()
    assert 'value="Anna"' in page
    answer = submit(browser, "/profile", follow=True, username="Anne", email="Anne@example.org", theme="light")
    assert answer.redirect_chain == [("/profile", 302)]
    assert [str(message) for message in answer.context["messages"]] == ["Profile saved."]
    anna.refresh_from_db()
    assert (anna.username, anna.email, anna.version) == ("Anne", "anne@example.org", 2)
    assert anna.preferences == {"theme": "light", "editor_settings": {"font_size": 15}}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"username": "BEN"}, "username is taken"),
        ({"email": "BEN@example.org"}, "already an account with this e-mail address"),
        ({"username": "no spaces"}, "3 to 30 letters"),
        ({"theme": "purple"}, "purple"),
    ],
)
def test_a_refused_profile_says_why_and_changes_nothing(client, anna, ben, changes, word):
    client.force_login(anna)
    fields = {"username": "Anna", "email": "anna@example.org", "theme": "dark"} | changes
    answer = client.post("/profile", fields)
    assert answer.status_code == 200
    assert word in answer.content.decode()
    anna.refresh_from_db()
    assert (anna.username, anna.email, anna.version) == ("Anna", "anna@example.org", 1)


def test_a_suspended_person_loses_the_page(client, anna):
    client.force_login(anna)
    User.objects.update(is_active=False)
    assert client.get("/profile").status_code == 302


@pytest.mark.parametrize("path", ["/account/inactive", "/account/email"])
def test_names_that_the_sign_in_package_reverses_lead_somewhere(client, path):
    answer = client.get(path, follow=True)
    assert answer.status_code == 200


def test_sign_ins_and_outs_are_noted_without_secrets(client, anna, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/login", {"login": "anna", "password": SECRET})
        client.post("/logout")
    entries = recent(user_id=anna.pk)
    assert [entry.action for entry in entries] == ["user.signed_out", "user.signed_in"]
    assert SECRET not in str(entries)
