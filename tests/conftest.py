"""The people of every test: alice owns, bob writes, carol reads, mallory is a stranger, mod moderates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rest_framework.test import APIClient

from tests.live import LiveServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from accounts.models import User

pytest_plugins = ["tests.services.fixtures"]

PASSWORD = "correct horse battery"


def _person(name: str, **fields: Any) -> User:
    from accounts.models import User

    return User.objects.create_user(name, f"{name}@example.org", PASSWORD, **fields)


@pytest.fixture(autouse=True)
def nothing_is_kept() -> None:
    """What one test's database held is rolled back; answers that were kept of it must not outlive it."""
    from django.core.cache import cache, caches

    cache.clear()
    caches["answers"].clear()


@pytest.fixture
def password() -> str:
    return PASSWORD


@pytest.fixture
def alice(db: None) -> User:
    return _person("alice")


@pytest.fixture
def bob(db: None) -> User:
    return _person("bob")


@pytest.fixture
def carol(db: None) -> User:
    return _person("carol")


@pytest.fixture
def mallory(db: None) -> User:
    return _person("mallory")


@pytest.fixture
def mod(db: None) -> User:
    return _person("mod", role="moderator")


@pytest.fixture
def api() -> Callable[[User | None], APIClient]:
    """A REST client for a person, with a real token; for None, nobody's."""

    def client(user: User | None) -> APIClient:
        from accounts import tokens

        made = APIClient()
        if user is not None:
            made.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens.issue(user).access}")
        return made

    return client


@pytest.fixture
def session(alice: User, bob: User, carol: User) -> Any:
    """Alice's private session, in which bob writes and carol reads."""
    import languages
    from sessions_app import actions
    from sessions_app.models import Collaborator

    made = actions.create_session(alice, language=languages.get("python"), title="Together", content="print(1)\n")
    Collaborator.objects.create(session=made, user=bob, permission="write")
    Collaborator.objects.create(session=made, user=carol, permission="read")
    return made


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A real server process on the embedded defaults, shared by the tests of one pytest worker."""
    with LiveServer(tmp_path_factory.mktemp("server") / "data") as live:
        yield live
