"""Two demo users for the embedded default: ordinary users, with one random password per DATA_DIR."""

from __future__ import annotations

import json
import os
import secrets
from typing import TypedDict

from django.conf import settings

from accounts.access import people_at
from accounts.models import User
from web.client import serves_this_machine_only
from web.problems import Forbidden

USERNAMES = ("demo", "demo2")
FILE_NAME = "demo_login.json"


class DemoLogin(TypedDict):
    username: str
    other_username: str
    password: str


class DemoRefused(Forbidden):
    code = "demo_refused"
    detail = (
        "Demo users exist only in an embedded installation that nobody else can reach (loopback HOST and "
        "ALLOWED_HOSTS, no proxy, no HTTPS), because anybody could read their password."
    )


def may_have_demo_people() -> bool:
    return bool(settings.EMBEDDED and serves_this_machine_only())


def read_demo_login() -> DemoLogin | None:
    """Return the login that ensure_demo_people() saved, if any. Show it only to callers on this machine."""
    if not may_have_demo_people():
        return None
    try:
        kept = json.loads((settings.DATA_DIR / FILE_NAME).read_text())
        return DemoLogin(username=kept["username"], other_username=kept["other_username"], password=kept["password"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def ensure_demo_people() -> DemoLogin:
    """Create the missing demo users and return their login. Raises DemoRefused if others can reach the server."""
    if not may_have_demo_people():
        raise DemoRefused
    kept = read_demo_login()
    password = kept["password"] if kept else secrets.token_urlsafe(9)
    first, second = (_ensure_person(username, password) for username in USERNAMES)
    login = DemoLogin(username=first, other_username=second, password=password)
    if login != kept:
        _write(login)
    return login


def _ensure_person(username: str, password: str) -> str:
    """Find the demo user by their undeliverable address, because they may have changed their name, or create them."""
    email = f"{username}@demo.invalid"
    person = people_at(email).first() or User(username=username, email=email)
    if not person.check_password(password):
        person.set_password(password)
        person.save()
    return person.username


def _write(login: DemoLogin) -> None:
    path = settings.DATA_DIR / FILE_NAME
    made = path.with_name(f"{FILE_NAME}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(login, file)
    made.replace(path)
