from __future__ import annotations

import base64
import json
import threading

import jwt
import pytest
from django.conf import settings as django_settings
from django.db import connection
from rest_framework.test import APIClient
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from accounts import actions
from accounts.errors import TokenRefused
from accounts.models import User
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
REFRESH = "/api/auth/refresh"
PROFILE = "/api/auth/profile"


def profile_with(token):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client.get(PROFILE)


def refresh(rest, token):
    return rest.post(REFRESH, {"refresh": token})


def claims(token):
    return jwt.decode(token, options={"verify_signature": False})


def test_a_refresh_gives_a_new_pair_that_works(rest, signed_in):
    answer = refresh(rest, signed_in["refresh"])
    assert answer.status_code == 200
    pair = answer.json()
    assert set(pair) == {"access", "refresh"}
    assert pair["refresh"] != signed_in["refresh"]
    assert profile_with(pair["access"]).status_code == 200
    assert refresh(rest, pair["refresh"]).status_code == 200


def test_a_pair_lives_15_minutes_and_7_days_and_names_its_family(signed_in, alice):
    access, long = claims(signed_in["access"]), claims(signed_in["refresh"])
    assert access["exp"] - access["iat"] == 15 * 60
    assert long["exp"] - long["iat"] == 7 * 24 * 3600
    assert access["sub"] == long["sub"] == str(alice.pk)
    assert access["fam"] == long["fam"]
    assert long["jti"].startswith(long["fam"])


def test_the_text_of_a_refresh_token_is_not_stored(signed_in):
    assert list(OutstandingToken.objects.values_list("token", flat=True)) == [""]


def test_using_an_old_refresh_token_ends_the_whole_family(rest, signed_in):
    second = refresh(rest, signed_in["refresh"]).json()
    third = refresh(rest, second["refresh"]).json()
    reused = refresh(rest, signed_in["refresh"])
    assert (reused.status_code, reused.json()["code"]) == (401, "token_not_valid")
    assert reused["WWW-Authenticate"].startswith("Bearer")
    assert refresh(rest, third["refresh"]).status_code == 401
    assert refresh(rest, second["refresh"]).status_code == 401


def test_reuse_leaves_other_sign_ins_of_the_same_person_alone(rest, signed_in):
    other = rest.post("/api/auth/login", {"username": "alice", "password": PASSWORD}).json()
    refresh(rest, signed_in["refresh"])
    refresh(rest, signed_in["refresh"])
    assert refresh(rest, other["refresh"]).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_many_refreshes_at_once_one_wins_and_the_family_ends(signed_in):
    answers, start = [], threading.Barrier(50)

    def race():
        start.wait()
        try:
            answers.append(actions.rotate_refresh(signed_in["refresh"]))
        except TokenRefused:
            answers.append(None)
        finally:
            connection.close()

    threads = [threading.Thread(target=race) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [pair for pair in answers if pair]
    assert (len(winners), len(answers)) == (1, 50)
    with pytest.raises(TokenRefused):
        actions.rotate_refresh(winners[0].refresh)
    assert not OutstandingToken.objects.filter(blacklistedtoken=None).exists()


@pytest.mark.django_db(transaction=True)
def test_reuse_in_the_midst_of_rotations_leaves_nothing_alive(signed_in):
    rotated = threading.Event()

    def rotate_on():
        pair_refresh = signed_in["refresh"]
        try:
            while True:
                pair_refresh = actions.rotate_refresh(pair_refresh).refresh
                rotated.set()
        except TokenRefused:
            pass
        finally:
            connection.close()

    chain = threading.Thread(target=rotate_on)
    chain.start()
    rotated.wait()
    with pytest.raises(TokenRefused):
        actions.rotate_refresh(signed_in["refresh"])
    chain.join()
    assert not OutstandingToken.objects.filter(blacklistedtoken=None).exists()


def test_an_access_token_ends_after_15_minutes_and_a_refresh_after_7_days(rest, alice, time_machine):
    time_machine.move_to("2030-01-01T00:00:00Z", tick=False)
    pair = rest.post("/api/auth/login", {"username": "alice", "password": PASSWORD}).json()
    time_machine.move_to("2030-01-01T00:14:59Z", tick=False)
    assert profile_with(pair["access"]).status_code == 200
    time_machine.move_to("2030-01-01T00:15:01Z", tick=False)
    expired = profile_with(pair["access"])
    assert (expired.status_code, expired.json()["code"]) == (401, "token_not_valid")
    assert expired["WWW-Authenticate"].startswith("Bearer")
    time_machine.move_to("2030-01-08T00:00:01Z", tick=False)
    assert refresh(rest, pair["refresh"]).status_code == 401


def test_a_changed_password_ends_every_token(rest, signed_in, alice):
    alice.set_password("another long password")
    alice.save()
    assert profile_with(signed_in["access"]).status_code == 401
    assert refresh(rest, signed_in["refresh"]).status_code == 401


def test_a_suspended_or_deleted_person_is_out(rest, signed_in, alice):
    User.objects.update(is_active=False)
    assert profile_with(signed_in["access"]).status_code == 401
    assert refresh(rest, signed_in["refresh"]).status_code == 401
    alice.delete()
    assert profile_with(signed_in["access"]).status_code == 401
    assert refresh(rest, signed_in["refresh"]).status_code == 401


def test_signing_out_ends_the_family_and_may_be_repeated(rest, signed_in):
    newer = refresh(rest, signed_in["refresh"]).json()
    for token in (newer["refresh"], newer["refresh"], signed_in["refresh"]):
        answer = rest.post("/api/auth/logout", {"refresh": token})
        assert (answer.status_code, answer.content) == (204, b"")
    assert refresh(rest, newer["refresh"]).status_code == 401


def test_signing_out_after_the_end_is_fine(rest, alice, time_machine):
    time_machine.move_to("2030-01-01T00:00:00Z")
    pair = rest.post("/api/auth/login", {"username": "alice", "password": PASSWORD}).json()
    time_machine.move_to("2030-01-09T00:00:00Z")
    assert rest.post("/api/auth/logout", {"refresh": pair["refresh"]}).status_code == 204


def forged(payload, key, algorithm="HS256"):
    return jwt.encode(payload, key, algorithm=algorithm)


def wrong_tokens(signed_in):
    good = claims(signed_in["refresh"])
    own = django_settings.SIMPLE_JWT["SIGNING_KEY"]
    header = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    body = base64.urlsafe_b64encode(json.dumps(good).encode()).rstrip(b"=").decode()
    without_family = {name: value for name, value in good.items() if name != "fam"}
    return {
        "garbage": "garbage",
        "dots": "..",
        "an access token": signed_in["access"],
        "foreign key": forged(good, "x" * 40),
        "alg none": f"{header}.{body}.",
        "the session key": forged(good, django_settings.SECRET_KEY),
        "no family": forged(without_family, own),
        "unknown": forged(good | {"jti": f"{good['fam']}.unknown"}, own),
        "cut": signed_in["refresh"][:-4],
    }


def test_no_forged_or_foreign_token_refreshes(rest, signed_in):
    for name, token in wrong_tokens(signed_in).items():
        answer = refresh(rest, token)
        assert (answer.status_code, answer.json()["code"]) == (401, "token_not_valid"), name


def test_no_forged_or_foreign_token_reads(rest, signed_in):
    for name, token in wrong_tokens(signed_in).items():
        if name != "an access token":
            assert profile_with(token).status_code == 401, name


@pytest.mark.parametrize("path", [REFRESH, "/api/auth/logout"])
@pytest.mark.parametrize("body", [{}, {"refresh": None}, {"refresh": 5}, {"refresh": "x" * 5000}, {"refresh": ""}])
def test_a_malformed_body_is_400(rest, path, body):
    answer = rest.post(path, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
