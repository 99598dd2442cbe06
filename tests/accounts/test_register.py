from __future__ import annotations

import json

import pytest

from accounts.models import User
from activity.log import recent
from tests.accounts.conftest import codes
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
URL = "/api/auth/register"


def fields(**changes):
    return {"username": "Alice", "email": "alice@example.org", "password": PASSWORD} | changes


def test_registering_answers_201_with_a_user_and_tokens_that_work(rest):
    answer = rest.post(URL, fields(email="Alice@Example.ORG"))
    assert answer.status_code == 201
    body = answer.json()
    assert set(body) == {"user", "access", "refresh"}
    user = body["user"]
    assert set(user) == {"id", "username", "email", "role", "is_bot", "preferences", "created_at"}
    assert (user["username"], user["email"], user["role"]) == ("Alice", "alice@example.org", "user")
    assert user["preferences"] == {"theme": "system", "editor_settings": {}}
    assert answer["Cache-Control"] == "no-store"
    rest.credentials(HTTP_AUTHORIZATION=f"Bearer {body['access']}")
    assert rest.get("/api/auth/profile").json() == user


def test_the_password_is_kept_as_bcrypt_over_sha256_however_long(rest, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.BCryptSHA256PasswordHasher"]
    long = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. " * 4
    assert rest.post(URL, fields(password=long)).status_code == 201
    assert User.objects.get().password.startswith("bcrypt_sha256$")
    login = "/api/auth/login"
    assert rest.post(login, {"username": "alice", "password": long}).status_code == 200
    assert rest.post(login, {"username": "alice", "password": long[:72]}).status_code == 401


@pytest.mark.parametrize("prefix", ["/api/auth/register/", "/api/v1/auth/register", "/api/v1/auth/register/"])
def test_every_spelling_of_the_path_is_served(rest, prefix):
    assert rest.post(prefix, fields()).status_code == 201


def test_a_taken_username_is_named_whatever_its_case(rest, alice):
    answer = rest.post(URL, fields(username="aLICe", email="other@example.org"))
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "username_taken"
    assert codes(answer, "username") == ["username_taken"]


def test_a_taken_address_is_named_whatever_its_case(rest, alice):
    answer = rest.post(URL, fields(username="other", email="ALICE@example.org"))
    assert (answer.status_code, answer.json()["code"]) == (400, "email_taken")
    assert codes(answer, "email") == ["email_taken"]


def test_both_taken_are_both_named(rest, alice):
    answer = rest.post(URL, fields())
    assert codes(answer, "username") == ["username_taken"]
    assert codes(answer, "email") == ["email_taken"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "ab"),
        ("username", "a" * 31),
        ("username", "alice@example.org"),
        ("username", "al ice"),
        ("username", "älice"),
        ("username", "alice\nb"),
        ("username", "al\x00ice"),
        ("username", 12345),
        ("username", None),
        ("username", ["alice"]),
        ("email", "not an address"),
        ("email", "a" * 250 + "@example.org"),
        ("email", {"a": 1}),
        ("email", "a\x00@example.org"),
        ("password", "short"),
        ("password", "12345678"),
        ("password", 1234567890),
        ("password", "x" * 1025),
        ("password", "with \x00 inside it"),
        ("password", ""),
        ("password", "alice@example.org"),
    ],
)
def test_a_wrong_field_is_named_and_nobody_is_created(rest, field, value):
    answer = rest.post(URL, fields(**{field: value}))
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid"
    assert list(answer.json()["errors"]) == [field]
    assert not User.objects.exists()


@pytest.mark.parametrize("field", ["username", "email", "password"])
def test_half_a_character_is_refused(rest, field):
    body = json.dumps(fields(**{field: "alice\ud800alice"}))
    answer = rest.generic("POST", URL, body, content_type="application/json")
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [field]


@pytest.mark.parametrize("field", ["username", "email", "password"])
def test_a_missing_field_is_named(rest, field):
    body = fields()
    del body[field]
    answer = rest.post(URL, body)
    assert codes(answer, field) == ["required"]


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b'{"username": NaN}', b"[" * 50])
def test_broken_json_is_refused(rest, body):
    answer = rest.post(URL, body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"3", b"null", b""])
def test_json_that_is_no_object_is_refused(rest, body):
    answer = rest.post(URL, body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["code"] in ("invalid", "invalid_json")


def test_forms_are_not_taken(rest):
    assert rest.post(URL, fields(), format=None, content_type="text/plain").status_code in (400, 415)


def test_nobody_gives_themselves_a_role(rest):
    answer = rest.post(URL, fields(role="admin", is_superuser=True, is_staff=True))
    assert answer.status_code == 201
    user = User.objects.get()
    assert (user.role, user.is_superuser, user.is_staff) == ("user", False, False)


def test_a_stale_token_does_not_stop_a_registration(rest):
    rest.credentials(HTTP_AUTHORIZATION="Bearer stale")
    assert rest.post(URL, fields()).status_code == 201


def test_registering_has_its_own_limit(rest, settings):
    settings.RATE_LIMITS = True
    settings.RATES = settings.RATES | {"register": "2/3600"}
    for number in range(2):
        body = fields(username=f"person{number}", email=f"p{number}@example.org")
        assert rest.post(URL, body).status_code == 201
    refused = rest.post(URL, fields())
    assert refused.status_code == 429
    assert int(refused["Retry-After"]) > 0


def test_registering_is_noted_without_secrets(rest, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        rest.post(URL, fields())
    entry = recent()[0]
    assert entry.action == "user.registered"
    assert PASSWORD not in str(entry)
