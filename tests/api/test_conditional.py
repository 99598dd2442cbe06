"""ETag, If-Match and If-None-Match: nobody's change is lost, and nobody is told that they have what they have not."""

from __future__ import annotations

import gzip
import threading

import pytest
from django.db import connection

from accounts.models import User
from sessions_app.models import CodeSession, Collaborator

pytestmark = pytest.mark.django_db
PROFILE = "/api/auth/profile"


@pytest.fixture
def path(session):
    return f"/api/sessions/{session.pk}"


@pytest.fixture(params=["session", "profile"])
def thing(request):
    """(path, a change, another change) of both resources that have versions."""
    if request.param == "profile":
        return PROFILE, {"preferences": {"theme": "dark"}}, {"preferences": {"theme": "light"}}
    session = request.getfixturevalue("session")
    return f"/api/sessions/{session.pk}", {"title": "One"}, {"title": "Two"}


def patch(client, path, body, tag):
    return client.patch(path, body, headers={"If-Match": tag})


def test_a_change_made_against_an_older_state_is_refused_and_changes_nothing(thing, api, alice):
    path, change, other = thing
    client = api(alice)
    tag = client.get(path)["ETag"]
    first = patch(client, path, change, tag)
    assert first.status_code == 200 and first["ETag"] not in ("", tag)
    before = client.get(path).json()
    lost = patch(client, path, other, tag)
    assert (lost.status_code, lost.json()["code"]) == (412, "changed_meanwhile")
    assert client.get(path).json() == before
    assert patch(client, path, other, first["ETag"]).status_code == 200


def test_put_and_delete_are_guarded_too(path, api, alice):
    client = api(alice)
    old = client.get(path)["ETag"]
    client.patch(path, {"title": "Moved on"})
    whole = {"title": "Lost", "language": "python"}
    assert client.put(path, whole, headers={"If-Match": old}).status_code == 412
    assert client.delete(path, headers={"If-Match": old}).status_code == 412
    assert client.get(path).json()["title"] == "Moved on"
    assert client.delete(path, headers={"If-Match": client.get(path)["ETag"]}).status_code == 204


def test_one_of_several_tags_is_enough_and_a_star_stands_for_any(thing, api, alice):
    path, change, other = thing
    client = api(alice)
    tag = client.get(path)["ETag"]
    assert patch(client, path, change, f'"99", {tag}').status_code == 200
    assert patch(client, path, other, "*").status_code == 200
    assert patch(client, path, change, '"99"').status_code == 412
    assert patch(client, path, change, "nonsense").status_code == 412


def test_a_tag_that_compression_weakened_still_guards(thing, api, alice):
    """A client that takes gzip reads W/"..." and has nothing else to send."""
    path, change, other = thing
    client = api(alice)
    answer = client.get(path, headers={"Accept-Encoding": "gzip"})
    tag = answer["ETag"]
    if answer.get("Content-Encoding") == "gzip":
        assert gzip.decompress(answer.content) and tag.startswith('W/"')
    tag = tag if tag.startswith("W/") else f"W/{tag}"
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 304
    assert patch(client, path, change, tag).status_code == 200
    assert patch(client, path, other, tag).status_code == 412


def test_what_one_has_is_not_sent_again(thing, api, alice):
    path, change, _ = thing
    client = api(alice)
    tag = client.get(path)["ETag"]
    same = client.get(path, headers={"If-None-Match": f'"0", {tag}'})
    assert (same.status_code, same.content, same["ETag"]) == (304, b"", tag)
    client.patch(path, change)
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_a_text_that_was_edited_is_sent_again_though_the_row_is_the_same(path, api, alice, bob):
    reader, tag = api(alice), api(alice).get(path)["ETag"]
    api(bob).patch(path, {"content": "print(2)\n"})
    fresh = reader.get(path, headers={"If-None-Match": tag})
    assert (fresh.status_code, fresh.json()["content"]) == (200, "print(2)\n")
    # The edit touched no field of the row, so the title may still be changed by who read it before.
    assert patch(reader, path, {"title": "Mine"}, tag).status_code == 200


def test_another_permission_is_another_answer(path, api, bob):
    tag = api(bob).get(path)["ETag"]
    Collaborator.objects.filter(user=bob).update(permission="read")
    demoted = api(bob).get(path, headers={"If-None-Match": tag})
    assert (demoted.status_code, demoted.json()["permission"]) == (200, "read")


def test_who_lost_access_is_not_told_that_nothing_changed(path, api, bob):
    tag = api(bob).get(path)["ETag"]
    Collaborator.objects.filter(user=bob).delete()
    assert api(bob).get(path, headers={"If-None-Match": tag}).status_code == 404


def test_an_owner_of_another_name_is_another_answer(path, api, alice, bob):
    tag = api(bob).get(path)["ETag"]
    api(alice).patch(PROFILE, {"username": "alix"})
    assert api(bob).get(path, headers={"If-None-Match": tag}).json()["owner"]["username"] == "alix"


def test_the_version_grows_by_one_with_every_change_of_the_row(path, api, alice):
    client = api(alice)
    for number, change in enumerate(
        ({"title": "a"}, {"is_public": True}, {"metadata": {"k": 1}}, {"language": "c"}), 2
    ):
        assert client.patch(path, change).json()["version"] == number
    client.patch(path, {"content": "int mine;\n"})
    assert client.get(path).json()["version"] == 5
    client.delete(path)
    assert client.post(f"{path}/restore").json()["version"] == 7


@pytest.mark.django_db(transaction=True)
def test_of_many_changes_at_once_against_one_state_one_is_made(thing, api, alice):
    path, change, _ = thing
    tag = api(alice).get(path)["ETag"]
    clients, seen, start = [api(alice) for _ in range(12)], [], threading.Barrier(12)

    def race(client):
        start.wait()
        try:
            seen.append(patch(client, path, change, tag).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=race, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (seen.count(200), seen.count(412)) == (1, 11)
    assert CodeSession.objects.filter(version=2).count() + User.objects.filter(version=2).count() == 1
