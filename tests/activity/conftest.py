"""Both stores of the activity log, so that one set of promises is tried on each."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import pytest

from activity import log
from tests.services.fixtures import with_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import Settings


@pytest.fixture
def mongo_store_url(request: pytest.FixtureRequest) -> str:
    """A collection of its own, on a real mongod where CODECRAFTER_TEST_MONGODB_URL names one."""
    url: str = os.environ.get("CODECRAFTER_TEST_MONGODB_URL") or request.getfixturevalue("mongodb_url")
    base, _, query = url.partition("?")
    scheme, _, rest = base.partition("://")
    host, _, database = rest.partition("/")
    collection = f"activity_{uuid.uuid4().hex[:8]}"
    return f"{scheme}://{host}/{database or 'codecrafter'}.{collection}" + (f"?{query}" if query else "")


@pytest.fixture(params=["sql", with_server("mongo")])
def store(request: pytest.FixtureRequest, settings: Settings, transactional_db: None) -> Iterator[log.Store]:
    settings.MONGODB_URL = request.getfixturevalue("mongo_store_url") if request.param == "mongo" else ""
    yield log.store()
    assert log.store().flush(10)
