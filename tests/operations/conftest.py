from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codecrafter import health

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import Client

    from accounts.models import User


@pytest.fixture(autouse=True)
def _fresh_report() -> Iterator[None]:
    """What one test's dependencies answered is not told to the next."""
    health.checker.forget()
    yield
    health.checker.forget()


@pytest.fixture
def root(db: None) -> User:
    from accounts.models import User

    return User.objects.create_superuser("root", "root@example.org", "correct horse battery")


@pytest.fixture
def moderator(mod: User, root: User) -> User:
    """A moderator by the door that makes moderators."""
    from accounts.actions import set_role
    from accounts.models import Role

    set_role(mod, Role.MODERATOR, by=root)
    mod.refresh_from_db()
    return mod


@pytest.fixture
def mod_client(client: Client, moderator: User) -> Client:
    client.force_login(moderator)
    return client
