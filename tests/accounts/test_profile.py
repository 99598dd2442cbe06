from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from tests.accounts.conftest import codes

pytestmark = pytest.mark.django_db
URL = "/api/auth/profile"


def test_the_signed_out_get_401_and_how_to_sign_in(rest):
    answer = rest.get(URL)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_patch_changes_only_what_it_names(as_alice):
    answer = as_alice.patch(URL, {"preferences": {"theme": "dark"}})
    assert answer.status_code == 200
    answer = as_alice.patch(URL, {"preferences": {"editor_settings": {"font_size": 15, "keymap": "vim", "wrap": True}}})
    body = answer.json()
    assert body["preferences"] == {
        "theme": "dark",
        "editor_settings": {"font_size": 15, "keymap": "vim", "wrap": True},
    }
    assert (body["username"], body["email"]) == ("alice", "alice@example.org")
    assert as_alice.get(URL).json() == body


def test_put_takes_the_whole_and_names_what_is_missing(as_alice):
    as_alice.patch(URL, {"preferences": {"theme": "dark"}})
    answer = as_alice.put(URL, {"username": "Alix", "email": "Alix@example.org", "preferences": {}})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["username"], body["email"]) == ("Alix", "alix@example.org")
    assert body["preferences"] == {"theme": "system", "editor_settings": {}}
    answer = as_alice.put(URL, {"username": "Alix"})
    assert codes(answer, "email") == ["required"]


def test_the_case_of_ones_own_name_can_change(as_alice):
    assert as_alice.patch(URL, {"username": "ALICE"}).json()["username"] == "ALICE"


def test_a_name_or_address_of_somebody_else_is_refused(as_alice, bob):
    answer = as_alice.patch(URL, {"username": "BOB"})
    assert answer.status_code == 400
    assert codes(answer, "username") == ["username_taken"]
    answer = as_alice.patch(URL, {"email": "BOB@example.org"})
    assert codes(answer, "email") == ["email_taken"]


def test_the_role_cannot_be_changed(as_alice, alice):
    answer = as_alice.patch(URL, {"role": "admin", "is_superuser": True, "id": "5", "version": 99})
    assert answer.status_code == 200
    alice.refresh_from_db()
    assert (alice.role, alice.is_superuser, alice.version) == ("user", False, 1)


def test_a_lost_update_is_refused(as_alice):
    tag = as_alice.get(URL)["ETag"]
    first = as_alice.patch(URL, {"preferences": {"theme": "dark"}}, headers={"If-Match": tag})
    assert first.status_code == 200
    assert first["ETag"] != tag
    lost = as_alice.patch(URL, {"preferences": {"theme": "light"}}, headers={"If-Match": tag})
    assert (lost.status_code, lost.json()["code"]) == (412, "changed_meanwhile")
    assert as_alice.get(URL).json()["preferences"]["theme"] == "dark"
    again = as_alice.patch(URL, {"preferences": {"theme": "light"}}, headers={"If-Match": first["ETag"]})
    assert again.status_code == 200


@pytest.mark.parametrize(
    "preferences",
    [
        "dark",
        [],
        {"theme": "purple"},
        {"theme": ["dark"]},
        {"theme": None},
        {"colour": "red"},
        {"editor_settings": []},
        {"editor_settings": {"Bad Name": 1}},
        {"editor_settings": {"x" * 41: 1}},
        {"editor_settings": {"a": "x" * 101}},
        {"editor_settings": {"a": "nul \x00"}},
        {"editor_settings": {"a": {"b": 1}}},
        {"editor_settings": {"a": [1]}},
        {"editor_settings": {"a": 10**12}},
        {"editor_settings": {f"key{n}": n for n in range(33)}},
    ],
)
def test_preferences_are_bounded(as_alice, preferences):
    answer = as_alice.patch(URL, {"preferences": preferences})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert all(name.startswith("preferences") for name in answer.json()["errors"])


@pytest.mark.parametrize(
    "preferences",
    [
        r'{"editor_settings": {"a": "\ud800"}}',
        r'{"editor_settings": {"\ud800": 1}}',
        r'{"\ud800": 1}',
        r'{"theme": "\ud800"}',
    ],
)
def test_half_a_character_in_preferences_is_refused(as_alice, preferences):
    body = f'{{"preferences": {preferences}}}'
    answer = as_alice.generic("PATCH", URL, body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


def test_a_cookie_also_opens_the_api_but_changes_nothing_without_a_csrf_token(alice):
    page = APIClient(enforce_csrf_checks=True)
    page.force_login(alice)
    assert page.get(URL).status_code == 200
    refused = page.patch(URL, {"username": "Eve"})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


def test_the_browsable_api_shows_the_profile_to_a_cookie(client, alice):
    client.force_login(alice)
    answer = client.get(URL, headers={"Accept": "text/html"})
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/html")
