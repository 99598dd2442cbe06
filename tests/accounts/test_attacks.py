"""What strangers try on people's accounts. Guessing is also in test_sign_in, forging in test_tokens."""

from __future__ import annotations

import threading
import uuid

import pytest
from allauth.account.models import EmailAddress
from django.contrib import admin
from django.contrib.auth import authenticate
from django.db import connection
from django.test import Client, RequestFactory
from django.urls import get_resolver
from rest_framework.test import APIClient

from accounts.models import User
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
LOGIN = "/api/auth/login"
REGISTER = "/api/auth/register"
RESET = "/account/password/reset"


# Mail


def links(mailoutbox):
    return [word for mail in mailoutbox for word in mail.body.split() if "/account/password/reset/" in word]


def test_a_reset_answers_and_writes_alike_for_a_stranger(client, alice, mailoutbox):
    answers = []
    for email in ("alice@example.org", "nobody@example.org"):
        answer = client.post(RESET, {"email": email})
        answers.append((answer.status_code, answer["Location"], client.get(answer["Location"]).content))
    assert answers[0][:2] == answers[1][:2]
    assert [mail.to for mail in mailoutbox] == [["alice@example.org"], ["nobody@example.org"]]
    assert len(links(mailoutbox[:1])) == 1
    assert "alice" not in mailoutbox[1].body


def test_a_mail_server_that_is_away_does_not_tell_who_has_an_account(client, alice, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    seen = [client.post(RESET, {"email": f"{name}@example.org"}).status_code for name in ("alice", "nobody")]
    assert seen == [302, 302]


@pytest.mark.parametrize("headers", [{"HTTP_HOST": "evil.example"}, {"HTTP_HOST": "testserver@evil.example"}])
def test_a_foreign_host_gets_no_link_mailed(client, alice, mailoutbox, headers):
    assert client.post(RESET, {"email": "alice@example.org"}, **headers).status_code == 400
    assert not mailoutbox


@pytest.mark.parametrize("name", ["HTTP_X_FORWARDED_HOST", "HTTP_X_HOST", "HTTP_FORWARDED"])
def test_a_forwarded_host_does_not_reach_the_link(client, alice, mailoutbox, name, settings):
    settings.TRUSTED_PROXIES = 1
    client.post(RESET, {"email": "alice@example.org"}, **{name: "evil.example"})
    assert [link for link in links(mailoutbox) if link.startswith("http://testserver/")] == links(mailoutbox)
    assert links(mailoutbox)


@pytest.mark.parametrize(
    "email", ["alice@example.org\nBcc: evil@example.org", "alice@example.org\r\nX: y", "a\x00@b.org"]
)
def test_no_header_is_put_into_mail(client, rest, alice, mailoutbox, email):
    assert rest.post(REGISTER, {"username": "newname", "email": email, "password": PASSWORD}).status_code == 400
    assert client.post(RESET, {"email": email}).status_code == 200
    assert client.post("/signup", {"username": "newname", "email": email, "password1": PASSWORD}).status_code == 200
    assert not mailoutbox


@pytest.mark.parametrize("email", ["al\u0131ce@example.org", "alice@example.org.", "\uff41lice@example.org"])
def test_a_look_alike_address_gets_no_link(client, alice, mailoutbox, email):
    client.post(RESET, {"email": email})
    assert not links(mailoutbox)


def test_a_link_works_once_and_not_after_a_change(client, alice, mailoutbox):
    for _ in range(2):
        client.post(RESET, {"email": "alice@example.org"})
    first, second = links(mailoutbox)
    form = client.get(first, follow=True).redirect_chain[-1][0]
    new = {"password1": "another long password", "password2": "another long password"}
    assert client.post(form, new).status_code == 302
    alice.refresh_from_db()
    assert alice.check_password("another long password")
    for used in (first, second):
        fresh = Client()
        page = fresh.get(used, follow=True)
        target = page.redirect_chain[-1][0] if page.redirect_chain else used
        fresh.post(target, {"password1": "mallory was here", "password2": "mallory was here"})
        alice.refresh_from_db()
        assert alice.check_password("another long password")


def test_the_page_limits_resets_of_one_address_and_of_one_caller(client, alice, settings, mailoutbox):
    settings.RATE_LIMITS = True
    settings.RATES = settings.RATES | {"reset": "3/3600", "reset_name": "2/3600"}
    seen = [client.post(RESET, {"email": name}) for name in ("a@b.org", "A@b.org", "a@b.org", "c@b.org")]
    assert [answer.status_code for answer in seen] == [302, 302, 429, 429]
    assert int(seen[-1]["Retry-After"]) > 0


# Who may come in where addresses must be confirmed


@pytest.fixture
def mandatory(settings):
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"


def test_nobody_comes_in_before_the_address_is_confirmed(client, rest, mandatory, mailoutbox):
    body = {"username": "newname", "email": "new@example.org", "password": PASSWORD}
    made = rest.post(REGISTER, body)
    assert (made.status_code, made.json()["access"], made.json()["refresh"]) == (201, None, None)
    refused = rest.post(LOGIN, {"username": "newname", "password": PASSWORD})
    assert (refused.status_code, refused.json()["code"]) == (403, "email_unverified")
    assert rest.post(LOGIN, {"username": "newname", "password": "wrong wrong"}).status_code == 401
    client.post("/login", {"login": "newname", "password": PASSWORD})
    assert "_auth_user_id" not in client.session
    link = next(word for word in mailoutbox[0].body.split() if "/account/confirm-email/" in word)
    client.get(link)
    assert not EmailAddress.objects.get().verified
    client.post(link)
    assert EmailAddress.objects.get().verified
    assert rest.post(LOGIN, {"username": "newname", "password": PASSWORD}).status_code == 200


def test_a_changed_address_must_be_confirmed_again(rest, as_alice, alice, mandatory, mailoutbox):
    EmailAddress.objects.create(user=alice, email=alice.email, primary=True, verified=True)
    assert as_alice.patch("/api/auth/profile", {"email": "new@example.org"}).status_code == 200
    assert rest.post(LOGIN, {"username": "alice", "password": PASSWORD}).json()["code"] == "email_unverified"


# Names and fields


@pytest.mark.parametrize(
    "name",
    [
        "\u0430lice",
        "\uff41lice",
        "al\u200bice",
        "alice\u200d",
        "\u2160alice",
        "alice\u0301",
        "bob@example.org",
        "alice ",
        "ALICE",
    ],
)
def test_no_name_looks_like_anothers(rest, alice, bob, name):
    answer = rest.post(REGISTER, {"username": name, "email": "new@example.org", "password": PASSWORD})
    assert answer.status_code == 400
    assert User.objects.count() == 2


def test_fields_that_are_not_asked_for_are_not_taken(rest):
    wanted = {"role": "admin", "is_staff": True, "is_superuser": True, "is_active": False, "is_bot": True, "version": 9}
    wanted |= {"id": "00000000-0000-0000-0000-000000000001", "sign_in_mark": 7, "bot_of": None, "groups": [1]}
    fields = {"username": "newname", "email": "new@example.org", "password": PASSWORD}
    made = rest.post(REGISTER, fields | wanted)
    assert made.status_code == 201
    rest.credentials(HTTP_AUTHORIZATION=f"Bearer {made.json()['access']}")
    profile = {"username": "newname", "email": "new@example.org"}
    assert rest.put("/api/auth/profile", profile | wanted).status_code == 200
    assert rest.patch("/api/auth/profile", wanted | {"password": "x", "last_login": None}).status_code == 200
    user = User.objects.get()
    assert (user.role, user.is_staff, user.is_superuser, user.is_active) == ("user", False, False, True)
    assert (user.is_bot, user.sign_in_mark, user.groups.count()) == (False, 0, 0)
    assert str(user.pk) != wanted["id"]
    assert user.check_password(PASSWORD)


def test_every_byte_of_a_long_password_counts(rest, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.BCryptSHA256PasswordHasher"]
    long = "å" * 40 + "the end"
    fields = {"username": "newname", "email": "new@example.org", "password": long}
    assert rest.post(REGISTER, fields).status_code == 201
    assert rest.post(LOGIN, {"username": "newname", "password": long[:-1]}).status_code == 401
    assert rest.post(LOGIN, {"username": "newname", "password": long}).status_code == 200
    assert rest.post(REGISTER, fields | {"password": "x" * 1025}).status_code == 400
    page = Client().post("/signup", {"username": "second", "email": "s@example.org", "password1": "x" * 1025})
    assert page.status_code == 200
    assert User.objects.count() == 1


# Pages


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
@pytest.mark.parametrize("path", ["/login", "/signup", "/account/reauthenticate", "/logout"])
def test_next_leads_nowhere_else(client, alice, path, target):
    if path in ("/account/reauthenticate", "/logout"):
        client.force_login(alice)
    fields = {
        "/login": {"login": "alice", "password": PASSWORD},
        "/signup": {"username": "newname", "email": "new@example.org", "password1": PASSWORD},
        "/account/reauthenticate": {"password": PASSWORD},
        "/logout": {},
    }[path]
    answer = client.post(path, fields | {"next": target})
    assert answer.status_code == 302
    assert "evil" not in answer["Location"]
    assert not answer["Location"].startswith("javascript")


NOBODYS = {
    "<int:pk>": "1",
    "<uuid:token_id>": str(uuid.UUID(int=1)),
    "<uuid:bot_id>": str(uuid.UUID(int=1)),
    "<str:provider_id>": "oidc",
    "(?P<uidb36>[0-9A-Za-z]+)-(?P<key>[^/]+)": "1-set-password",
    "(?P<key>[-:\\w]+)": "abc",
}


def account_pages():
    """Every page of the account, with ids that belong to nobody."""

    def walk(patterns, before=""):
        for pattern in patterns:
            route = before + str(pattern.pattern)
            if hasattr(pattern, "url_patterns"):
                yield from walk(pattern.url_patterns, route)
            else:
                yield route

    for route in walk(get_resolver().url_patterns):
        for parameter, value in NOBODYS.items():
            route = route.replace(parameter, value)  # noqa: PLW2901
        path = "/" + route.replace("^", "").replace("/?$", "").replace("$", "")
        if path.startswith("/account/") or path in ("/login", "/signup", "/logout", "/profile"):
            yield path


def test_the_pages_are_all_here():
    pages = set(account_pages())
    assert {"/login", "/profile", "/account/tokens", "/account/mfa/totp/activate/", "/account/password/change"} <= pages
    assert not [path for path in pages if set(path) & set("<>()[]?^$")]


@pytest.mark.parametrize("path", sorted(set(account_pages())))
def test_no_page_takes_a_form_of_a_foreign_page(path, alice):
    browser = Client(enforce_csrf_checks=True)
    for _ in range(2):
        answer = browser.post(path, {"login": "alice", "password": PASSWORD}, HTTP_ORIGIN="https://evil.example")
        assert answer.status_code == 403, path
        browser.force_login(alice)


@pytest.mark.parametrize("path", sorted(set(account_pages())))
def test_no_page_changes_anything_by_being_looked_at(path, alice):
    browser = Client()
    browser.force_login(alice)
    before = User.objects.values().get()
    assert browser.get(path).status_code in (200, 302, 401, 404, 405), path
    assert User.objects.values().get() == before
    assert "_auth_user_id" in browser.session


# Guessing


@pytest.fixture
def limited(settings):
    settings.RATE_LIMITS = True
    settings.RATES = settings.RATES | {"login": "5/300", "login_name": "500/300", "login_address": "500/300"}


def guess(client, **extra):
    return client.post(LOGIN, {"username": "alice", "password": "wrong wrong"}, **extra).status_code


def test_an_address_that_the_caller_made_up_does_not_count(rest, alice, limited):
    seen = [guess(rest, HTTP_X_FORWARDED_FOR=f"198.51.100.{n}") for n in range(6)]
    assert seen == [401] * 5 + [429]


def test_behind_a_proxy_only_what_the_proxy_wrote_counts(rest, alice, limited, settings):
    settings.TRUSTED_PROXIES = 1
    seen = [guess(rest, HTTP_X_FORWARDED_FOR=f"198.51.100.{n}, 203.0.113.5") for n in range(6)]
    assert seen == [401] * 5 + [429]
    assert guess(rest, HTTP_X_FORWARDED_FOR="203.0.113.5, 203.0.113.6") == 401


def test_the_lockout_stands_before_every_door(alice, limited):
    request = RequestFactory().post("/somewhere", REMOTE_ADDR="192.0.2.1")
    seen = [authenticate(request, username="alice", password="wrong wrong") for _ in range(5)]
    assert seen == [None] * 5
    assert authenticate(request, username="alice", password=PASSWORD) is None
    elsewhere = RequestFactory().post("/somewhere", REMOTE_ADDR="192.0.2.2")
    assert authenticate(elsewhere, username="alice", password=PASSWORD) == alice


@pytest.mark.django_db(transaction=True)
def test_a_volley_of_guesses_is_no_more_guesses(alice, limited):
    seen, start = [], threading.Barrier(50)

    def race():
        client = APIClient()
        start.wait()
        try:
            seen.append(guess(client))
        finally:
            connection.close()

    threads = [threading.Thread(target=race) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (seen.count(401), seen.count(429)) == (5, 45)


def test_the_admin_has_no_page_for_secrets_or_past_our_actions():
    names = {model._meta.label for model in admin.site._registry}
    assert "accounts.User" in names
    apps = {name.partition(".")[0] for name in names}
    assert not apps & {"mfa", "account", "socialaccount", "usersessions", "axes", "token_blacklist"}
