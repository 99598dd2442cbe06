from __future__ import annotations

import re

import pytest
from django.test import Client

from accounts.models import User
from activity.log import recent
from tests.accounts.hashers import CountingHasher
from tests.conftest import PASSWORD

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
        browser, path, **({"username": "Alice", "email": "Alice@Example.org", "password1": PASSWORD} | changes)
    )


def is_signed_in(browser):
    return "_auth_user_id" in browser.session


def test_signing_up_signs_in_and_leads_to_ones_sessions(browser):
    answer = sign_up(browser)
    assert (answer.status_code, answer["Location"]) == (302, "/sessions")
    assert is_signed_in(browser)
    user = User.objects.get()
    assert (user.username, user.email, user.role) == ("Alice", "alice@example.org", "user")
    assert user.last_login is not None


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"username": "ALICE", "email": "new@example.org"}, "username is taken"),
        ({"username": "new-name"}, "already an account with this email address"),
        ({"username": "al"}, "3"),
        ({"username": "alice@example.org"}, "3 to 30 letters"),
        ({"email": "nonsense"}, "valid email"),
        ({"username": "fresh", "email": "new@example.org", "password1": "short"}, "8 characters"),
        ({"username": "fresh", "email": "new@example.org", "password1": ""}, "required"),
        ({"username": "fresh\x00", "email": "new@example.org"}, "ull characters"),
    ],
)
def test_a_refused_sign_up_says_why_on_the_page(browser, alice, changes, word):
    answer = sign_up(browser, **changes)
    assert answer.status_code == 200
    assert word in answer.content.decode()
    assert not is_signed_in(browser)
    assert User.objects.count() == 1


def test_the_signed_in_are_led_away_from_the_entrance(client, alice):
    client.force_login(alice)
    for path in ("/signup", "/login"):
        answer = client.get(path)
        assert (answer.status_code, answer["Location"]) == (302, "/sessions")
        assert client.post(path, {"login": "x", "password": "y"}).status_code == 302
    assert User.objects.count() == 1


@pytest.mark.parametrize("name", ["alice", "ALICE", "alice@example.org", "Alice@Example.org"])
def test_people_sign_in_by_name_or_address(browser, alice, name):
    answer = submit(browser, "/login", login=name, password=PASSWORD)
    assert (answer.status_code, answer["Location"]) == (302, "/sessions")
    assert is_signed_in(browser)


def test_a_failed_sign_in_says_and_costs_the_same_for_every_reason(browser, settings):
    settings.PASSWORD_HASHERS = ["tests.accounts.hashers.CountingHasher"]
    User.objects.create_user("known", "known@example.org", PASSWORD)
    User.objects.create_user("suspended", "suspended@example.org", PASSWORD, is_active=False)
    seen = []
    for name, password in [
        ("known", "not the password"),
        ("known@example.org", "not the password"),
        ("nobody", "not the password"),
        ("nobody@example.org", "not the password"),
        ("suspended", PASSWORD),
    ]:
        CountingHasher.hashes = 0
        answer = submit(browser, "/login", login=name, password=password)
        page = answer.content.decode().replace(name, "NAME")
        page = re.sub(r'value="[A-Za-z0-9]{64}"|nonce="[^"]+"|data-now="[^"]+"', "", page)
        seen.append((answer.status_code, CountingHasher.hashes, page))
        assert not is_signed_in(browser)
    assert "That name and password do not match." in seen[0][2]
    assert seen[0][:2] == (200, 1)
    assert all(one == seen[0] for one in seen)


@pytest.mark.parametrize("path", ["/signup", "/login", "/logout", "/profile"])
def test_a_post_without_a_csrf_token_is_refused(browser, alice, path):
    browser.force_login(alice)
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
def test_next_is_followed_to_our_own_host_only(client, alice, settings, target, leads_to):
    settings.ALLOWED_HOSTS = ["testserver", "localhost"]
    settings.CSRF_TRUSTED_ORIGINS = ["http://trusted.example"]
    fields = {"login": "alice", "password": PASSWORD, "next": target}
    assert client.post("/login", fields)["Location"] == leads_to
    # Somebody who is signed in already is led on in the same way.
    assert client.get("/login", {"next": target})["Location"] == leads_to


def test_signing_out_is_a_post_and_ends_the_session(browser, alice):
    browser.force_login(alice)
    assert browser.get("/logout").status_code == 200
    assert is_signed_in(browser)
    answer = submit(browser, "/logout")
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert not is_signed_in(browser)
    assert browser.get("/logout").status_code == 302


def test_signing_in_changes_the_session_key(client, alice):
    session = client.session
    session["before"] = 1
    session.save()
    before = client.session.session_key
    client.post("/login", {"login": "alice", "password": PASSWORD})
    assert client.session.session_key != before


def test_signing_up_has_the_apis_limit(client, rest, settings):
    settings.RATE_LIMITS = True
    settings.RATES = settings.RATES | {"register": "1/3600"}
    assert rest.post("/api/auth/register", {}).status_code == 400
    fields = {"username": "alice", "email": "alice@example.org", "password1": PASSWORD}
    refused = client.post("/signup", fields)
    assert refused.status_code == 429
    assert int(refused["Retry-After"]) > 0
    assert b"Too many requests" in refused.content
    assert not User.objects.exists()


def test_the_profile_page_needs_a_sign_in(client):
    answer = client.get("/profile")
    assert (answer.status_code, answer["Location"]) == (302, "/login?next=/profile")


def test_the_profile_page_changes_name_address_and_theme(browser, alice):
    alice.preferences = {"theme": "dark", "editor_settings": {"font_size": 15}}
    alice.save()
    browser.force_login(alice)
    page = browser.get("/profile").content.decode()
    assert 'value="alice"' in page
    asked = submit(browser, "/profile", username="Alix", email="Alix@example.org", theme="light")
    assert asked["Location"].startswith("/account/reauthenticate")
    alice.refresh_from_db()
    assert (alice.username, alice.email) == ("alice", "alice@example.org")
    answer = submit(browser, asked["Location"], follow=True, password=PASSWORD)
    assert answer.redirect_chain == [("/profile", 302)]
    assert [str(message) for message in answer.context["messages"]] == ["Profile saved."]
    alice.refresh_from_db()
    assert (alice.username, alice.email, alice.version) == ("Alix", "alix@example.org", 2)
    assert alice.preferences == {"theme": "light", "editor_settings": {"font_size": 15}}


@pytest.mark.parametrize(
    ("chosen", "shown"),
    [({}, {"system", "default", "false"}), ({"keymap": "vim", "wrap": True}, {"system", "vim", "true"})],
)
def test_the_profile_page_shows_what_holds_also_where_nothing_was_chosen(client, alice, chosen, shown):
    alice.preferences = {"editor_settings": chosen}
    alice.save()
    client.force_login(alice)
    page = client.get("/profile").content.decode()
    assert set(re.findall(r'value="(\w+)" checked', page)) == shown


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"username": "BOB"}, "username is taken"),
        ({"email": "BOB@example.org"}, "already an account with this email address"),
        ({"username": "no spaces"}, "3 to 30 letters"),
        ({"theme": "purple"}, "purple"),
        ({"font_size": "300"}, "less than or equal to 32"),
        ({"keymap": "ed"}, "ed is not one of the available choices"),
    ],
)
def test_a_refused_profile_says_why_and_changes_nothing(client, alice, bob, changes, word):
    client.force_login(alice)
    client.post("/account/reauthenticate", {"password": PASSWORD})
    fields = {"username": "alice", "email": "alice@example.org", "theme": "dark"} | changes
    answer = client.post("/profile", fields)
    assert answer.status_code == 200
    assert word in answer.content.decode()
    alice.refresh_from_db()
    assert (alice.username, alice.email, alice.version) == ("alice", "alice@example.org", 1)


def test_a_profile_page_from_before_a_change_takes_nothing_back_unasked(client, alice):
    client.force_login(alice)
    fields = {"username": "alice", "email": "alice@example.org", "theme": "dark", "version": "1"}
    client.patch("/api/auth/profile", {"username": "alix", "preferences": {"theme": "light"}}, "application/json")
    answer = client.post("/profile", fields)
    assert "It now says: username alix, theme light." in answer.content.decode()
    assert 'value="alice"' in answer.content.decode()
    alice.refresh_from_db()
    assert (alice.username, alice.preferences["theme"]) == ("alix", "light")
    again = re.search(r'name="version" value="(\d+)"', answer.content.decode())
    assert client.post("/profile", fields | {"version": again[1]}).status_code == 302
    alice.refresh_from_db()
    assert (alice.username, alice.preferences["theme"]) == ("alice", "dark")


def test_a_suspended_person_loses_the_page(client, alice):
    client.force_login(alice)
    User.objects.update(is_active=False)
    assert client.get("/profile").status_code == 302


@pytest.mark.parametrize("path", ["/account/inactive", "/account/email"])
def test_names_that_the_sign_in_package_reverses_lead_somewhere(client, path):
    answer = client.get(path, follow=True)
    assert answer.status_code == 200


def test_provider_that_is_not_configured_has_no_page(client):
    assert client.get("/account/social/oidc/oidc/login/").status_code == 404


def test_sign_ins_and_outs_are_noted_without_secrets(client, alice, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/login", {"login": "alice", "password": PASSWORD})
        client.post("/logout")
    entries = recent(user_id=alice.pk)
    assert [entry.action for entry in entries] == ["user.signed_out", "user.signed_in"]
    assert PASSWORD not in str(entries)
