"""An open page, or a sign-in of days ago, is not enough to take an account."""

from __future__ import annotations

import re

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.core import mail
from rest_framework.test import APIClient

from accounts import actions
from accounts.models import PersonalToken, Scope, User
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
PROFILE, TOKENS = "/api/auth/profile", "/api/auth/tokens"
NEW_ADDRESS = {"email": "mallory@example.org"}
NEW_TOKEN = {"name": "lasting", "scopes": ["read"]}


@pytest.fixture
def by_cookie(alice):
    """The open page of somebody who logged in a while ago."""
    client = APIClient()
    client.force_login(alice)
    return client


@pytest.fixture
def by_old_token(as_alice, time_machine):
    from datetime import UTC, datetime, timedelta

    time_machine.move_to(datetime.now(UTC) + timedelta(minutes=10))
    return as_alice


@pytest.fixture(params=["by_cookie", "by_old_token"])
def borrowed(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize(("method", "path", "body"), [("patch", PROFILE, NEW_ADDRESS), ("post", TOKENS, NEW_TOKEN)])
def test_what_would_outlive_the_sign_in_takes_the_password(borrowed, alice, method, path, body):
    asked = getattr(borrowed, method)(path, body)
    assert (asked.status_code, asked.json()["code"]) == (403, "reauthentication_required")
    wrong = getattr(borrowed, method)(path, body | {"current_password": "not this one"})
    assert (wrong.status_code, wrong.json()["code"]) == (403, "password_refused")
    alice.refresh_from_db()
    assert (alice.email, PersonalToken.objects.count()) == ("alice@example.org", 0)
    assert getattr(borrowed, method)(path, body | {"current_password": PASSWORD}).status_code in (200, 201)


def test_guesses_at_the_password_count_as_those_of_the_log_in(by_cookie, settings):
    settings.RATE_LIMITS = True
    settings.RATES = settings.RATES | {"login": "3/300"}
    codes = [by_cookie.post(TOKENS, NEW_TOKEN | {"current_password": "wrong"}).status_code for _ in range(4)]
    assert codes == [403, 403, 403, 429]
    assert by_cookie.post(TOKENS, NEW_TOKEN | {"current_password": PASSWORD}).status_code == 429


def test_other_changes_of_the_profile_take_no_password(borrowed):
    assert borrowed.patch(PROFILE, {"preferences": {"theme": "dark"}}).status_code == 200
    assert borrowed.patch(PROFILE, {"email": "alice@example.org"}).status_code == 200


def test_the_page_of_tokens_asks_too_and_then_goes_on(client, alice):
    client.force_login(alice)
    form = {"name": "script", "scopes": ["read"], "days": "30"}
    asked = client.post("/account/tokens", form)
    assert asked["Location"].startswith("/account/reauthenticate")
    assert not PersonalToken.objects.exists()
    made = client.post(asked["Location"], {"password": PASSWORD})
    assert re.search(r"cct_[\w-]{40}", made.content.decode())


def test_both_addresses_hear_of_a_change_over_the_api(as_alice):
    assert as_alice.patch(PROFILE, {"email": "new@example.org"}).status_code == 200
    told = {message.to[0]: message for message in mail.outbox}
    assert set(told) == {"alice@example.org", "new@example.org"}
    assert "new@example.org" in told["alice@example.org"].body
    assert "/account/confirm-email/" in told["new@example.org"].body


def taken_over(user: User) -> tuple[str, str]:
    """Somebody signed up with an address that is not theirs, and left keys under the mat."""
    _, token = actions.make_token(user, name="waits", scopes={Scope.READ})
    bot = actions.make_bot(user, f"{user.username}-bot")
    _, bot_token = actions.make_token(bot, name="waits too", scopes={Scope.READ})
    Authenticator.objects.create(user=user, type="totp", data={})
    SocialAccount.objects.create(user=user, provider="oidc", uid="1")
    return token, bot_token


def reset_by_mail(client, address, new):
    client.post("/account/password/reset", {"email": address})
    link = re.search(r"http://testserver(/account/password/reset/\S+)", mail.outbox[-1].body)[1]
    form = client.get(link, follow=True)
    return client.post(form.request["PATH_INFO"], {"password1": new, "password2": new}, follow=True)


def opens(token):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client.get("/api/sessions").status_code == 200


def test_a_reset_by_mail_ends_every_key_of_an_account_whose_address_was_never_confirmed(client, rest, alice):
    tokens = taken_over(alice)
    earlier = rest.post("/api/auth/login", {"username": "alice", "password": PASSWORD, "code": ""})
    assert earlier.status_code == 401, "the second factor is on"
    assert all(opens(token) for token in tokens)
    reset_by_mail(client, "alice@example.org", "a password of her own")
    assert not any(opens(token) for token in tokens)
    assert not Authenticator.objects.exists() and not SocialAccount.objects.exists()
    assert EmailAddress.objects.get(user=alice).verified
    mine = rest.post("/api/auth/login", {"username": "alice", "password": "a password of her own"})
    assert mine.status_code == 200


def test_a_reset_leaves_the_tokens_of_a_confirmed_address_alone(client, alice):
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    _, token = actions.make_token(alice, name="build", scopes={Scope.READ})
    reset_by_mail(client, "alice@example.org", "a password of her own")
    assert opens(token)


def test_only_who_signed_in_to_the_account_confirms_its_address(client, as_alice, alice, bob):
    assert as_alice.patch(PROFILE, {"email": "victim@example.org"}).status_code == 200
    body = next(message.body for message in mail.outbox if message.to == ["victim@example.org"])
    link = re.search(r"http://\S+?(/account/confirm-email/\S+)", body)[1]
    for person in (None, bob):
        if person:
            client.force_login(person)
        assert client.post(link)["Location"].startswith("/login?next=/account/confirm-email/")
        assert not EmailAddress.objects.get(user=alice).verified
    client.force_login(alice)
    client.post(link)
    assert EmailAddress.objects.get(user=alice).verified


@pytest.mark.parametrize("number", ["9" * 5000, "٣", "-1", "1e3", ""])
def test_a_sign_in_that_is_none_is_not_ended(client, alice, number):
    client.force_login(alice)
    assert client.post("/account/sign-ins", {"browser": number})["Location"] == "/account/sign-ins"
    assert client.get("/profile").status_code == 200
