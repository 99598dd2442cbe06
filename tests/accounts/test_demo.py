from __future__ import annotations

import stat

import pytest
from django.test import Client

from accounts.demo import DemoRefused, ensure_demo_people, read_demo_login
from accounts.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def home(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    # Without the name that Django's test client uses by default.
    settings.ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
    return tmp_path


@pytest.fixture
def client():
    return Client(SERVER_NAME="localhost")


OPEN = [
    {"LOOPBACK": False},
    {"EMBEDDED": False},
    {"ALLOWED_HOSTS": ["localhost", "code.example.org"]},
    {"ALLOWED_HOSTS": ["*"]},
    {"ALLOWED_HOSTS": ["192.0.2.1", "localhost"]},
    {"TRUSTED_PROXIES": 1},
    {"HTTPS": True},
]


def can_sign_in(client, username, password):
    answer = client.post("/api/auth/login", {"username": username, "password": password}, "application/json")
    return answer.status_code == 200


def test_both_demo_people_can_sign_in_and_are_ordinary(client):
    login = ensure_demo_people()
    for name in (login["username"], login["other_username"]):
        assert can_sign_in(client, name, login["password"])
    assert not User.objects.exclude(role="user", is_staff=False, is_superuser=False).exists()


def test_the_login_is_kept_for_its_owner_alone(home):
    ensure_demo_people()
    assert stat.S_IMODE((home / "demo_login.json").stat().st_mode) == 0o600
    assert [path.name for path in home.iterdir()] == ["demo_login.json"]


def test_repeating_changes_nothing():
    login = ensure_demo_people()
    before = list(User.objects.order_by("pk").values())
    assert ensure_demo_people() == login
    assert list(User.objects.order_by("pk").values()) == before


def test_each_home_has_its_own_password(settings, tmp_path):
    first = ensure_demo_people()
    settings.DATA_DIR = tmp_path / "other"
    settings.DATA_DIR.mkdir()
    second = ensure_demo_people()
    assert first["password"] != second["password"]
    assert User.objects.count() == 2


def test_the_demo_login_follows_a_changed_name_and_password(client):
    login = ensure_demo_people()
    demo = User.objects.get(username="demo")
    demo.username = "renamed"
    demo.set_password("another long password")
    demo.save()
    again = ensure_demo_people()
    assert (again["username"], again["password"]) == ("renamed", login["password"])
    assert can_sign_in(client, "renamed", again["password"])


@pytest.mark.parametrize("changed", OPEN, ids=str)
def test_the_login_page_shows_the_demo_login_at_home_only(client, settings, changed):
    password = ensure_demo_people()["password"]
    assert password in client.get("/login").content.decode()
    for name, value in changed.items():
        setattr(settings, name, value)
    page = client.get("/login")
    assert page.status_code == 200
    assert password not in page.content.decode()


@pytest.mark.parametrize(
    "sent",
    [
        {"REMOTE_ADDR": "192.0.2.7"},
        {"HTTP_X_FORWARDED_FOR": "192.0.2.7"},
        {"HTTP_X_FORWARDED_HOST": "code.example.org"},
        {"HTTP_FORWARDED": "for=192.0.2.7"},
        {"HTTP_VIA": "1.1 proxy"},
    ],
    ids=str,
)
def test_the_demo_login_is_not_shown_through_a_proxy_that_no_setting_tells_of(client, sent):
    password = ensure_demo_people()["password"]
    assert password not in client.get("/login", **sent).content.decode()


@pytest.mark.parametrize("changed", OPEN, ids=str)
def test_there_are_no_demo_people_in_the_open(settings, changed):
    for name, value in changed.items():
        setattr(settings, name, value)
    with pytest.raises(DemoRefused):
        ensure_demo_people()
    assert not User.objects.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"username": "demo"}'])
def test_a_broken_file_is_made_anew(home, client, text):
    (home / "demo_login.json").write_text(text)
    assert read_demo_login() is None
    login = ensure_demo_people()
    assert can_sign_in(client, login["username"], login["password"])
