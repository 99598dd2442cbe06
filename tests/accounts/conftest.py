from __future__ import annotations

import pytest
from django.core.cache import cache
from rest_framework.test import APIClient

from tests.conftest import PASSWORD


@pytest.fixture(autouse=True)
def _fresh_counters():
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def rest():
    """An API client that nobody has signed in."""
    return APIClient()


@pytest.fixture
def signed_in(rest, alice):
    """What the API answered to Alice's sign-in."""
    answer = rest.post("/api/auth/login", {"username": "alice", "password": PASSWORD})
    assert answer.status_code == 200, answer.content
    return answer.json()


@pytest.fixture
def as_alice(signed_in):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {signed_in['access']}")
    return client


def codes(answer, field):
    return [error["code"] for error in answer.json()["errors"][field]]
