"""What is kept is never out of date, a permission least of all; and lists take a fixed number of queries."""

from __future__ import annotations

import pytest
from django.core.cache import cache, caches
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from execution import availability
from execution.models import AvailableLanguage, Run
from sessions_app.models import ChatMessage, CodeSession, Collaborator
from web import answers

pytestmark = pytest.mark.django_db
LANGUAGES = "/api/execute/languages"


@pytest.fixture
def path(session):
    return f"/api/sessions/{session.pk}"


def queries(call):
    with CaptureQueriesContext(connection) as asked:
        assert call().status_code == 200
    return [query["sql"] for query in asked]


# A session


def test_a_session_read_again_takes_one_look_at_the_person_and_one_at_their_place(path, api, alice, bob):
    for person in (alice, bob):
        client = api(person)
        first = client.get(path)
        assert first.json()["content"] == "print(1)\n"
        assert len(queries(lambda: client.get(path))) == 2  # noqa: B023
        again = client.get(path)
        assert (again.json(), again["ETag"], again["Content-Type"]) == (
            first.json(),
            first["ETag"],
            first["Content-Type"],
        )


def test_what_is_kept_is_kept_for_five_minutes_and_dropped_then(path, api, alice, time_machine):
    time_machine.move_to("2030-01-01T00:00:00Z", tick=False)
    client = api(alice)
    client.get(path)
    time_machine.shift(299)
    assert len(queries(lambda: client.get(path))) == 2
    time_machine.shift(2)
    assert len(queries(lambda: client.get(path))) == 3


def test_a_title_that_changed_is_seen_at_once_by_everybody(path, api, alice, bob):
    for client in (api(alice), api(bob)):
        client.get(path)
    api(alice).patch(path, {"title": "Renamed"})
    assert [api(person).get(path).json()["title"] for person in (alice, bob)] == ["Renamed"] * 2


def test_a_change_past_the_api_of_another_process_is_seen_at_once(path, api, alice, session):
    """No message tells this process; the version of the row does."""
    client = api(alice)
    client.get(path)
    CodeSession.objects.filter(pk=session.pk).update(title="Elsewhere", version=7)
    assert (client.get(path).json()["title"], client.get(path).json()["version"]) == ("Elsewhere", 7)


def test_a_text_that_changed_is_seen_at_once(path, api, alice, bob):
    api(alice).get(path)
    api(bob).patch(path, {"content": "print(2)\n"})
    assert api(alice).get(path).json()["content"] == "print(2)\n"


def test_a_demoted_person_sees_it_at_once_and_cannot_edit(path, api, bob, carol):
    assert [api(person).get(path).json()["permission"] for person in (bob, carol)] == ["write", "read"]
    Collaborator.objects.filter(user=bob).update(permission="read")
    assert api(bob).get(path).json()["permission"] == "read"
    assert api(bob).patch(path, {"content": "mine"}).status_code == 403


def test_a_removed_person_sees_nothing_at_once(path, api, bob):
    client = api(bob)
    client.get(path)
    Collaborator.objects.filter(user=bob).delete()
    assert client.get(path).status_code == 404


def test_a_suspended_person_a_private_session_and_an_archived_one_are_gone_at_once(path, api, session, bob, mallory):
    CodeSession.objects.filter(pk=session.pk).update(is_public=True)
    stranger, writer = api(mallory), api(bob)
    assert (stranger.get(path).status_code, writer.get(path).status_code) == (200, 200)
    CodeSession.objects.filter(pk=session.pk).update(is_public=False)
    assert stranger.get(path).status_code == 404
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert writer.get(path).status_code == 401
    User.objects.filter(pk=bob.pk).update(is_active=True)
    CodeSession.objects.filter(pk=session.pk).update(archived_at=timezone.now())
    assert writer.get(path).status_code == 404


def test_nobody_gets_what_was_kept_for_another_permission(path, api, alice, bob, carol, session, mallory):
    CodeSession.objects.filter(pk=session.pk).update(is_public=True)
    people = (alice, bob, carol, mallory)
    for _ in range(2):
        seen = [api(person).get(path).json()["permission"] for person in people]
        assert seen == ["owner", "write", "read", "read"]


def test_an_answer_that_is_too_large_to_keep_is_made_each_time(api, alice):
    text = "x" * answers.PRIVATE_MAX_BYTES
    made = api(alice).post("/api/sessions", {"title": "Large", "content": text}).json()
    for _ in range(2):
        assert api(alice).get(f"/api/sessions/{made['id']}").json()["content"] == text
    assert not any(made["id"] in key for key in caches["answers"]._cache)


def test_the_browsable_page_of_a_kept_session_is_still_a_page(path, client, api, alice):
    api(alice).get(path)
    client.force_login(alice)
    answer = client.get(path, HTTP_ACCEPT="text/html")
    assert answer["Content-Type"].startswith("text/html") and "print(1)" in answer.content.decode()


# The languages


@pytest.fixture
def shared(settings):
    """The cache of the tests stands for Redis, whose commands Django's caches have in common."""
    settings.REDIS_URL = "redis://stands-for.example"


def available(client):
    return {row["key"] for row in client.get(LANGUAGES).json() if row["available"]}


def test_the_languages_are_asked_for_once(shared, client):
    first = client.get(LANGUAGES)
    assert queries(lambda: client.get(LANGUAGES)) == []
    again = client.get(LANGUAGES)
    assert (again.json(), again["Content-Type"]) == (first.json(), first["Content-Type"])


def test_a_language_that_comes_goes_fails_or_is_switched_is_seen_at_once(shared, client):
    assert available(client) == set()
    availability.keep_self_test("python", "3.11", "")
    assert available(client) == {"python"}
    assert availability.switch_off("python", "for now")
    assert available(client) == set()
    assert availability.switch_on("python")
    assert available(client) == {"python"}
    availability.keep_self_test("python", "3.11", "prints nothing")
    assert available(client) == set()
    availability.keep_self_test("c", "gcc", "")
    assert available(client) == {"c"}
    availability.withdraw_untried({})
    assert available(client) == set()


@pytest.mark.django_db(transaction=True)
def test_what_was_read_of_the_old_state_while_a_change_was_on_its_way_is_not_kept(shared, client):
    """Who reads while the change is in its transaction reads the old state, and must not keep it for others."""
    with transaction.atomic():
        availability.keep_self_test("python", "3.11", "")
        # Another process, which does not see the uncommitted row, makes its answer now.
        generation = cache.get("generation:languages", "")
        cache.set("answer:languages", (generation, "[]"), answers.KEPT_SECONDS)
    assert available(client) == {"python"}


@pytest.fixture
def no_redis(settings):
    settings.CACHES = settings.CACHES | {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:9/0",
            "OPTIONS": {"socket_connect_timeout": 1},
        }
    }


def test_without_the_cache_a_ticket_is_refused_and_the_reason_told(no_redis, api, session, alice):
    answer = api(alice).post(f"/api/sessions/{session.pk}/ticket")
    assert (answer.status_code, answer.json()["code"]) == (503, "tickets_unavailable")


def test_without_the_cache_the_languages_are_there(shared, no_redis, client):
    AvailableLanguage.objects.create(key="python", version="3.11", checked_at=timezone.now())
    assert available(client) == {"python"}


def test_without_redis_what_another_process_changes_is_seen_at_once(client):
    assert available(client) == set()
    # As in `manage.py selftest` beside the server.
    AvailableLanguage.objects.bulk_create([AvailableLanguage(key="c", version="12", checked_at=timezone.now())])
    assert available(client) == {"c"}


# Lists


def fill(session, people, count):
    owner, writer = people
    for number in range(count):
        made = CodeSession.objects.create(owner=owner if number % 2 else writer, title=f"s{number}", is_public=True)
        Collaborator.objects.create(
            session=made, user=owner if made.owner_id == writer.pk else writer, permission="read"
        )
        ChatMessage.objects.create(session=session, user=people[number % 2], text=f"said {number}")
        Run.objects.create(session=session, user=people[number % 2], language="python", cancelled_by=owner)
        person = User.objects.create_user(f"extra{number}", f"extra{number}@example.org")
        Collaborator.objects.create(session=session, user=person, permission="read")


LISTS = {
    "sessions": "/api/sessions?page_size=100",
    "sessions found": "/api/sessions?page_size=100&search=s&language=javascript&ordering=title",
    "archived sessions": "/api/sessions?archived=true",
    "chat": "/api/sessions/{id}/chat?page_size=100",
    "collaborators": "/api/sessions/{id}/collaborators",
    "invites": "/api/sessions/{id}/invites",
    "text history": "/api/sessions/{id}/history",
    "files": "/api/sessions/{id}/files",
    "runs": "/api/execute/history/{id}?page_size=100",
    "tokens": "/api/auth/tokens",
    "bots": "/api/auth/bots",
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_takes_as_many_queries_for_thirty_rows_as_for_three(name, api, session, alice, bob):
    path = LISTS[name].format(id=session.pk)
    fill(session, (alice, bob), 3)
    client = api(alice)
    few = queries(lambda: client.get(path))
    fill_more = [f"more{number}" for number in range(27)]
    for title in fill_more:
        made = CodeSession.objects.create(owner=alice, title=title)
        ChatMessage.objects.create(session=session, user=bob, text=title)
        Run.objects.create(session=session, user=bob, language="python")
        person = User.objects.create_user(title, f"{title}@example.org")
        Collaborator.objects.create(session=session, user=person, permission="read")
        Collaborator.objects.create(session=made, user=bob, permission="write")
    many = queries(lambda: client.get(path))
    assert len(many) == len(few) <= 6, many
