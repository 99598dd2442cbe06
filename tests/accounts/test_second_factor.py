"""The second factor over the API and on the pages: no door goes around it, and no code opens twice."""

from __future__ import annotations

import threading
import time

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal import auth as totp
from django.db import connection
from django.test import Client
from rest_framework.test import APIClient

from accounts import mfa
from accounts.models import User
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
LOGIN = "/api/auth/login"


@pytest.fixture
def secret(alice):
    """Alice's app; she also has recovery codes."""
    made = totp.generate_totp_secret()
    totp.TOTP.activate(alice, made)
    RecoveryCodes.activate(alice)
    return made


def code_now(secret):
    return totp.format_hotp_value(totp.hotp_value(secret, int(time.time()) // 30))


def other_code(secret):
    return f"{(int(code_now(secret)) + 1) % 10**6:06d}"


def recovery_codes(user):
    return Authenticator.objects.get(user=user, type=Authenticator.Type.RECOVERY_CODES).wrap().get_unused_codes()


def sign_in(rest, **fields):
    return rest.post(LOGIN, {"username": "alice", "password": PASSWORD} | fields)


def test_the_password_alone_gives_no_token(rest, secret):
    answer = sign_in(rest)
    assert (answer.status_code, answer.json()["code"]) == (401, "code_required")
    assert "access" not in answer.json()


def test_the_code_of_the_app_gives_tokens_once(rest, secret, time_machine):
    time_machine.move_to("2030-01-01T00:00:05Z", tick=False)
    assert sign_in(rest, code=code_now(secret)).status_code == 200
    replayed = sign_in(rest, code=code_now(secret))
    assert (replayed.status_code, replayed.json()["code"]) == (401, "code_refused")
    time_machine.move_to("2030-01-01T00:00:31Z", tick=False)
    assert sign_in(rest, code=code_now(secret)).status_code == 200


def test_a_recovery_code_gives_tokens_once(rest, secret, alice):
    first, second = recovery_codes(alice)[:2]
    assert sign_in(rest, code=first).status_code == 200
    assert sign_in(rest, code=first).json()["code"] == "code_refused"
    assert sign_in(rest, code=second).status_code == 200


@pytest.mark.parametrize("code", ["", "000", "nonsense", "\uff11\uff12\uff13\uff14\uff15\uff16", "000000 or 1=1"])
def test_no_other_code_does(rest, secret, code):
    assert sign_in(rest, code=code).status_code == 401


def test_a_code_used_on_the_page_is_used_up_for_the_api(client, rest, secret, time_machine):
    time_machine.move_to("2030-01-01T00:00:05Z", tick=False)
    code = code_now(secret)
    asked = client.post("/login", {"login": "alice", "password": PASSWORD})
    assert asked["Location"].startswith("/account/mfa/authenticate")
    assert client.post("/account/mfa/authenticate/", {"code": code}).status_code == 302
    assert "_auth_user_id" in client.session
    assert sign_in(rest, code=code).status_code == 401


def test_the_page_signs_nobody_in_before_the_code(client, secret):
    client.post("/login", {"login": "alice", "password": PASSWORD})
    assert "_auth_user_id" not in client.session
    assert client.get("/sessions").status_code == 302
    assert client.get("/api/auth/profile").status_code in (401, 403)
    assert client.post("/account/mfa/authenticate/", {"code": other_code(secret)}).status_code == 200
    assert "_auth_user_id" not in client.session


def test_the_admin_asks_for_the_code_too(client, secret, alice):
    alice.is_staff = alice.is_superuser = True
    alice.save()
    for path in ("/admin/", "/admin/login/"):
        assert client.post(path, {"username": "alice", "password": PASSWORD}, follow=True).redirect_chain
        assert "_auth_user_id" not in client.session
    client.post("/login", {"login": "alice", "password": PASSWORD})
    assert client.get("/admin/").status_code == 302
    assert "_auth_user_id" not in client.session


def test_a_new_password_by_mail_does_not_replace_the_code(client, secret, mailoutbox):
    EmailAddress.objects.create(user=User.objects.get(), email="alice@example.org", verified=True, primary=True)
    client.post("/account/password/reset", {"email": "alice@example.org"})
    link = next(word for word in mailoutbox[-1].body.split() if "/account/password/reset/" in word)
    page = client.get(link, follow=True)
    form = page.redirect_chain[-1][0]
    client.post(form, {"password1": "another long password", "password2": "another long password"})
    assert "_auth_user_id" not in client.session
    client.post("/login", {"login": "alice", "password": "another long password"})
    assert "_auth_user_id" not in client.session
    answer = APIClient().post(LOGIN, {"username": "alice", "password": "another long password"})
    assert answer.json()["code"] == "code_required"


def test_codes_are_not_asked_for_before_the_password_is_right(rest, secret):
    answer = rest.post(LOGIN, {"username": "alice", "password": "wrong wrong", "code": code_now(secret)})
    assert answer.json()["code"] == "invalid_credentials"


def test_who_has_only_a_passkey_signs_in_over_the_api_by_a_recovery_code(rest, alice):
    Authenticator.objects.create(user=alice, type=Authenticator.Type.WEBAUTHN, data={})
    RecoveryCodes.activate(alice)
    assert sign_in(rest).json()["code"] == "code_required"
    assert sign_in(rest, code=recovery_codes(alice)[0]).status_code == 200


def test_secrets_are_encrypted_at_rest(secret, alice):
    stored = str(list(Authenticator.objects.filter(user=alice).values_list("data", flat=True)))
    assert secret not in stored
    assert not [code for code in recovery_codes(alice) if code in stored]


def test_a_replaced_secret_key_still_reads_them(secret, alice, settings):
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "replaced-" + "2" * 40
    assert mfa.accepts(alice, code_now(secret))


@pytest.fixture
def limited(settings):
    settings.RATE_LIMITS = True
    settings.RATES = settings.RATES | {"login": "30/300", "login_code": "4/3600", "login_address": "100/300"}


def test_guesses_of_a_code_are_refused_over_all_addresses_with_the_time_to_wait(rest, secret, limited):
    seen = [
        sign_in(APIClient(REMOTE_ADDR=f"192.0.2.{number}"), code=other_code(secret)).status_code for number in range(5)
    ]
    assert seen == [401, 401, 401, 401, 429]
    refused = sign_in(rest, code=code_now(secret))
    assert refused.status_code == 429
    assert int(refused["Retry-After"]) > 0


def test_pages_and_api_count_codes_together(client, rest, secret, limited):
    client.post("/login", {"login": "alice", "password": PASSWORD})
    for _ in range(4):
        assert client.post("/account/mfa/authenticate/", {"code": other_code(secret)}).status_code == 200
    refused = client.post("/account/mfa/authenticate/", {"code": code_now(secret)})
    assert refused.status_code == 429
    assert int(refused["Retry-After"]) > 0
    assert sign_in(rest, code=code_now(secret)).status_code == 429


@pytest.mark.django_db(transaction=True)
def test_of_many_who_bring_one_code_at_once_one_gets_in(secret, alice):
    for code in (code_now(secret), recovery_codes(alice)[0]):
        answers, start = [], threading.Barrier(6)

        def race(code=code, answers=answers, start=start):
            start.wait()
            try:
                answers.append(mfa.accepts(alice, code))
            finally:
                connection.close()

        threads = [threading.Thread(target=race) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == [False] * 5 + [True]


def test_a_cookie_of_half_a_sign_in_opens_nothing(secret):
    half = Client()
    half.post("/login", {"login": "alice", "password": PASSWORD})
    for path in ("/account/tokens", "/account/sign-ins", "/profile", "/account/mfa/", "/account/password/change"):
        answer = half.get(path)
        assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/login"), path
