from __future__ import annotations

import stat

import pytest

from accounts.demo import DemoRefused, ensure_demo_people, read_demo_login
from accounts.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def home(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    return tmp_path


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


def test_the_login_page_shows_the_demo_login_at_home_only(client, settings):
    password = ensure_demo_people()["password"]
    assert password in client.get("/login").content.decode()
    settings.LOOPBACK = False
    assert password not in client.get("/login").content.decode()


@pytest.mark.parametrize("setting", ["LOOPBACK", "EMBEDDED"])
def test_there_are_no_demo_people_in_the_open(settings, setting):
    setattr(settings, setting, False)
    with pytest.raises(DemoRefused):
        ensure_demo_people()
    assert not User.objects.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"username": "demo"}'])
def test_a_broken_file_is_made_anew(home, client, text):
    (home / "demo_login.json").write_text(text)
    assert read_demo_login() is None
    login = ensure_demo_people()
    assert can_sign_in(client, login["username"], login["password"])
