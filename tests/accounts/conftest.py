from __future__ import annotations

import pytest
from django.core.cache import cache
from rest_framework.test import APIClient

from accounts.models import User

SECRET = "correct horse battery"


@pytest.fixture(autouse=True)
def _fresh_counters():
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def anna(db):
    return User.objects.create_user("Anna", "anna@example.org", SECRET)


@pytest.fixture
def ben(db):
    return User.objects.create_user("ben", "ben@example.org", SECRET)


@pytest.fixture
def rest():
    """An API client that nobody has signed in."""
    return APIClient()


@pytest.fixture
def signed_in(rest, anna):
    """What the API answered to Anna's sign-in."""
    answer = rest.post("/api/auth/login", {"username": "anna", "password": SECRET})
    assert answer.status_code == 200, answer.content
    return answer.json()


@pytest.fixture
def as_anna(signed_in):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {signed_in['access']}")
    return client


def codes(answer, field):
    return [error["code"] for error in answer.json()["errors"][field]]
