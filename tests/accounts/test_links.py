"""Absolute links lead to PUBLIC_URL, never to the host that a request names."""

from __future__ import annotations

import re

import pytest
from django.core import mail

from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
PUBLIC = "https://code.example.org"
ELSEWHERE = {"HTTP_HOST": "web:4444"}


@pytest.fixture(autouse=True)
def public_url(settings):
    settings.PUBLIC_URL = PUBLIC
    settings.ALLOWED_HOSTS = ["code.example.org", "web", "testserver"]


def ask_for_a_new_password(client):
    client.post("/account/password/reset", {"email": "alice@example.org"}, **ELSEWHERE)


def ask_for_an_unknown_address(client):
    client.post("/account/password/reset", {"email": "nobody@example.org"}, **ELSEWHERE)


def sign_up(client):
    form = {"username": "eve", "email": "eve@example.org", "password1": PASSWORD}
    client.post("/signup", form, **ELSEWHERE)


def sign_up_with_a_taken_address(client):
    form = {"username": "eve", "email": "alice@example.org", "password1": PASSWORD}
    client.post("/signup", form, **ELSEWHERE)


def register(client):
    body = {"username": "eve", "email": "eve@example.org", "password": PASSWORD}
    client.post("/api/auth/register", body, content_type="application/json", **ELSEWHERE)


def change_the_password(client):
    client.post("/login", {"login": "alice", "password": PASSWORD})
    form = {"oldpassword": PASSWORD, "password1": "another horse battery", "password2": "another horse battery"}
    client.post("/account/password/change", form, **ELSEWHERE)


@pytest.mark.parametrize("act", [ask_for_a_new_password, sign_up, register])
def test_links_in_mails_lead_to_the_public_url(client, alice, act):
    act(client)
    (sent,) = mail.outbox
    links = re.findall(r"https?://\S+", sent.body)
    assert links and all(link.startswith(f"{PUBLIC}/") for link in links), sent.body


@pytest.mark.parametrize(
    "act",
    [
        ask_for_a_new_password,
        ask_for_an_unknown_address,
        sign_up,
        sign_up_with_a_taken_address,
        register,
        change_the_password,
    ],
)
def test_no_mail_names_the_host_of_the_request(client, alice, act):
    act(client)
    for sent in mail.outbox:
        assert "web:4444" not in f"{sent.subject}{sent.body}{sent.extra_headers}", sent.body


def test_invites_and_pages_of_lists_lead_to_the_public_url(api, alice, session):
    client = api(alice)
    made = client.post(f"/api/sessions/{session.pk}/invites", {"permission": "read"}, **ELSEWHERE).json()
    assert made["url"].startswith(f"{PUBLIC}/join/")
    for number in range(2):
        client.post("/api/sessions", {"title": f"s{number}"})
    assert client.get("/api/sessions?page_size=1", **ELSEWHERE).json()["next"].startswith(f"{PUBLIC}/api/sessions?")
