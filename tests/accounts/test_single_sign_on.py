"""Logging in through an OpenID Connect provider: a real server of ours, a real flow, a browser's cookies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.accounts.oidc import CLIENT_ID, CLIENT_SECRET, Provider
from tests.live import PASSWORD, LiveServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live import Person


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as started:
        yield started


@pytest.fixture(scope="module")
def live(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    settings = {
        "OIDC_URL": provider.url,
        "OIDC_NAME": "Example School",
        "OIDC_CLIENT_ID": CLIENT_ID,
        "OIDC_CLIENT_SECRET": CLIENT_SECRET,
    }
    with LiveServer(tmp_path_factory.mktemp("oidc") / "data", settings) as started:
        yield started


class Browser:
    def __init__(self, live: LiveServer) -> None:
        self.http = httpx.Client(base_url=live.url, timeout=60, follow_redirects=True, headers={"Referer": live.url})

    def press(self, path: str, words: str, **fields: str) -> httpx.Response:
        """Submit the form of the page that has a button with these words."""
        page = self.http.get(path).text
        form = next(form for form in re.findall(r"<form.*?</form>", page, re.DOTALL) if words in form)
        action = re.search(r'action="([^"]*)"', form)
        return self.http.post(
            action[1].replace("&amp;", "&") if action else path,
            data={**dict(re.findall(r'name="(\w+)" value="([^"]*)"', form)), **fields},
        )

    def log_in_at_school(self) -> httpx.Response:
        return self.press("/login", "Log in with Example School")

    def log_in(self, person: Person) -> None:
        self.press("/login", 'name="password"', login=person.username, password=PASSWORD)
        assert self.username == person.username

    @property
    def username(self) -> str | None:
        """Of whom this browser is signed in as."""
        answer = self.http.get("/api/auth/profile")
        assert answer.status_code in (200, 401), answer.text
        return answer.json()["username"] if answer.status_code == 200 else None


def test_newcomer_gets_an_account_and_comes_back_to_it(live, provider):
    provider.person = {"sub": "1", "preferred_username": "grace", "email": "grace@school.example"}
    assert Browser(live).log_in_at_school().url.path == "/sessions"
    again = Browser(live)
    again.log_in_at_school()
    assert again.username == "grace"
    # Whatever is renamed there, it is the same person.
    provider.person |= {"preferred_username": "hopper", "email": "hopper@school.example"}
    renamed = Browser(live)
    renamed.log_in_at_school()
    assert renamed.username == "grace"


def test_newcomer_whose_name_is_taken_here_chooses_another(live, provider):
    alice = live.person("alice")
    provider.person = {"sub": "8", "preferred_username": alice.username.upper(), "email": "other@school.example"}
    browser = Browser(live)
    asked = browser.log_in_at_school()
    assert (asked.status_code, asked.url.path) == (200, "/account/social/signup/")
    browser.press(asked.url.path, "Create account", username="other-alice", email="other@school.example")
    assert browser.username == "other-alice"


def test_address_is_not_made_a_name(live, provider):
    provider.person = {"sub": "9", "email": "ann@school.example", "email_verified": "true"}
    browser = Browser(live)
    browser.log_in_at_school()
    assert browser.username == "ann"


@pytest.mark.parametrize("is_verified", [True, False])
def test_address_of_somebody_here_opens_nothing(live, provider, is_verified):
    alice = live.person("alice")
    email = f"{alice.username}@example.org"
    provider.person = {"sub": f"2{is_verified}", "preferred_username": alice.username, "email": email.upper()}
    provider.person["email_verified"] = is_verified
    stranger = Browser(live)
    stranger.log_in_at_school()
    assert stranger.username is None


def test_connected_account_logs_its_owner_in_until_it_is_disconnected(live, provider):
    alice, browser = live.person("alice"), Browser(live)
    provider.person = {"sub": "3", "preferred_username": "alice-at-school", "email": "alice@school.example"}
    browser.log_in(alice)
    page = browser.press("/account/social/", "Connect an account at Example School")
    assert page.url.path == "/account/social/"
    assert "Disconnect" in page.text
    other = Browser(live)
    other.log_in_at_school()
    assert other.username == alice.username
    assert "Disconnect" not in browser.press("/account/social/", "Disconnect", account=connected(browser)).text
    stranger = Browser(live)
    stranger.log_in_at_school()
    assert stranger.username != alice.username


def connected(browser: Browser) -> str:
    found = re.search(r'name="account" value="(\d+)"', browser.http.get("/account/social/").text)
    assert found
    return found[1]


def test_account_of_somebody_else_is_connected_to_nobody_new(live, provider):
    provider.person = {"sub": "4", "preferred_username": "ada", "email": "ada@school.example"}
    Browser(live).log_in_at_school()
    mallory, browser = live.person("mallory"), Browser(live)
    browser.log_in(mallory)
    answer = browser.press("/account/social/", "Connect an account at Example School")
    assert "connected to somebody else here" in answer.text
    assert "Disconnect" not in answer.text
    again = Browser(live)
    again.log_in_at_school()
    assert again.username == "ada"


def test_answer_that_nobody_asked_for_signs_nobody_in(live, provider):
    provider.person = {"sub": "5", "preferred_username": "eve", "email": "eve@school.example"}
    callback = f"{live.url}/account/social/oidc/oidc/login/callback/"
    victim = Browser(live)
    victim.log_in_at_school()
    victim.press("/sessions", "Log out")
    for state in ("", "forged"):
        answer = victim.http.get(provider.authorize({"redirect_uri": callback, "state": state}))
        assert "was not requested by this browser" in answer.text
        assert victim.username is None


def test_who_says_no_there_is_told_and_not_signed_in(live, provider):
    provider.says_no = True
    try:
        browser = Browser(live)
        answer = browser.log_in_at_school()
    finally:
        provider.says_no = False
    assert "You came back without logging in to the other service." in answer.text
    assert browser.username is None


def test_provider_that_is_away_or_talks_nonsense_is_no_failure_of_ours(live, provider):
    for says in ("nothing", "nonsense", "{}", "[]", "later"):
        provider.fails_with = says
        try:
            browser = Browser(live)
            answer = browser.log_in_at_school()
        finally:
            provider.fails_with = ""
        assert (answer.status_code, "did not respond" in answer.text) == (502, True)
        assert browser.username is None
    assert browser.http.get("/account/social/oidc/another/login/").status_code == 404


def test_second_factor_is_asked_for_at_this_door_too(live, provider):
    provider.person = {"sub": "7", "preferred_username": "dora", "email": "dora@school.example"}
    Browser(live).log_in_at_school()
    live.manage("shell", "-v", "0", "-c", SECOND_FACTOR)
    browser = Browser(live)
    assert browser.log_in_at_school().url.path.rstrip("/") == "/account/mfa/authenticate"
    assert browser.username is None


SECOND_FACTOR = """
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from accounts.models import User

TOTP.activate(User.objects.get(username="dora"), generate_totp_secret())
"""


def test_suspended_person_does_not_come_in_this_way(live, provider):
    provider.person = {"sub": "6", "preferred_username": "carol", "email": "carol@school.example"}
    Browser(live).log_in_at_school()
    live.manage("shell", "-v", "0", "-c", SUSPEND)
    refused = Browser(live)
    assert "Too loud" in refused.log_in_at_school().text
    assert refused.username is None


SUSPEND = """
from accounts.actions import suspend
from accounts.models import User

moderator = User.objects.create_user("warden", "warden@example.org", role="moderator")
suspend(User.objects.get(username="carol"), by=moderator, reason="Too loud")
"""
