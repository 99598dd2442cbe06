"""One person cannot fill the disk: what they keep is counted where it is made, and refused in words."""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from types import SimpleNamespace

import pytest
from asgiref.sync import sync_to_async
from django.core.cache import caches
from django.core.management import call_command

import languages
from accounts.actions import delete_account, make_bot
from sessions_app import actions, storage
from sessions_app.access import access_to, permissions_in
from sessions_app.document import compaction, update_log
from sessions_app.models import CodeSession, Collaborator, Document, Segment, Snapshot, Update

pytestmark = pytest.mark.django_db
MIB = 1024 * 1024


def archive():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("main.py", "print(1)\n")
    return buffer.getvalue()


WAYS_TO_MAKE_ONE = {
    "create": lambda rest, path: rest.post("/api/sessions", {"title": "One more"}),
    "fork": lambda rest, path: rest.post(f"{path}/fork"),
    "import": lambda rest, path: rest.post("/api/sessions/import", archive(), content_type="application/zip"),
}


@pytest.mark.parametrize("way", WAYS_TO_MAKE_ONE)
def test_a_session_too_many_is_refused_whatever_it_is_made_of(api, alice, session, settings, way):
    settings.QUOTA_SESSIONS = 1
    answer = WAYS_TO_MAKE_ONE[way](api(alice), f"/api/sessions/{session.pk}")
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_sessions")
    assert CodeSession.objects.count() == Document.objects.count() == 1


@pytest.mark.parametrize("path", ["/sessions/new", "/sessions/{id}/fork"])
def test_a_page_refuses_it_in_words(client, alice, session, settings, path):
    settings.QUOTA_SESSIONS = 1
    client.force_login(alice)
    answer = client.post(path.format(id=session.pk), {"language": "c", "title": "One more"})
    assert answer.status_code == 409
    assert "You have reached the limit of" in answer.content.decode()


def test_sessions_of_bots_and_archived_ones_count_until_they_are_deleted(api, alice, session, settings):
    settings.QUOTA_SESSIONS = 2
    bot = make_bot(alice, "alice-bot")
    made = actions.create_session(bot, language=languages.get("python"))
    assert api(alice).post("/api/sessions", {"title": "Third"}).status_code == 409
    with pytest.raises(storage.TooManySessions):
        actions.create_session(bot, language=languages.get("python"))
    path = f"/api/sessions/{session.pk}"
    assert api(alice).delete(path).status_code == 204
    assert api(alice).post("/api/sessions", {"title": "Third"}).status_code == 409
    assert api(alice).delete(f"{path}?archived=true").status_code == 204
    assert not CodeSession.objects.filter(pk=session.pk).exists()
    assert api(alice).post("/api/sessions", {"title": "Third"}).status_code == 201
    assert made.owner_id == bot.pk


def test_what_a_retired_bot_owned_can_be_deleted_to_make_room(api, alice, settings):
    settings.QUOTA_SESSIONS = 1
    bot = make_bot(alice, "alice-bot")
    made = actions.create_session(bot, language=languages.get("python"))
    Collaborator.objects.create(session=made, user=alice, permission="read")
    assert api(alice).delete(f"/api/auth/bots/{bot.pk}").status_code == 204
    path = f"/api/sessions/{made.pk}"
    assert api(alice).get(path).json()["permission"] == "owner"
    assert api(alice).delete(path).status_code == 204
    assert api(alice).delete(f"{path}?archived=true").status_code == 204
    assert api(alice).post("/api/sessions", {"title": "Room again"}).status_code == 201


def test_only_an_archived_session_of_ones_own_is_deleted_for_good(api, alice, bob, session):
    path = f"/api/sessions/{session.pk}?archived=true"
    assert api(alice).delete(path).status_code == 404, "it is not archived"
    api(alice).delete(f"/api/sessions/{session.pk}")
    assert api(bob).delete(path).status_code == 404
    assert CodeSession.objects.filter(pk=session.pk).exists()


def test_the_page_asks_before_it_deletes_for_good(client, alice, bob, session):
    client.force_login(alice)
    page = f"/sessions/{session.pk}/delete"
    assert client.get(page).status_code == 404, "it is not archived"
    CodeSession.objects.update(archived_at=session.created_at)
    assert page in client.get("/sessions?filter=archived").content.decode()
    assert "This cannot be undone." in client.get(page).content.decode()
    client.force_login(bob)
    assert client.post(page).status_code == 404
    client.force_login(alice)
    assert client.post(page)["Location"] == "/sessions?filter=archived"
    assert not CodeSession.objects.exists() and not Update.objects.exists()


def test_what_a_moderator_closed_is_not_deleted(api, alice, session):
    CodeSession.objects.update(archived_at=session.created_at, closed_at=session.created_at)
    answer = api(alice).delete(f"/api/sessions/{session.pk}?archived=true")
    assert (answer.status_code, answer.json()["code"]) == (403, "closed_by_moderator")
    assert CodeSession.objects.exists()


def test_a_full_owner_has_sessions_that_everybody_reads(api, alice, bob, session, settings):
    path = f"/api/sessions/{session.pk}"
    settings.QUOTA_BYTES = storage.usage_of(alice.pk).bytes
    for person in (alice, bob):
        for call in (
            api(person).patch(path, {"content": "print(2)\n"}),
            api(person).post(f"{path}/files", {"path": "more.py", "content": "x"}),
        ):
            assert (call.status_code, call.json()["code"]) == (403, "storage_full")
    assert permissions_in([(session.pk, alice)]) == {(session.pk, alice.pk): "read"}
    assert api(bob).get(path).json()["content"] == "print(1)\n"
    # Somebody else's quota is theirs.
    assert api(bob).post("/api/sessions", {"title": "Mine", "content": ""}).status_code == 201
    answer = api(bob).post("/api/sessions", {"title": "Too large", "content": "x" * 1000})
    assert (answer.status_code, answer.json()["code"]) == (403, "storage_full")


def test_history_counts_before_and_after_it_is_compacted(alice, session, settings):
    settings.COMPACT_TAIL_ROWS = 1
    for number in range(20):
        actions.write_content(access_to(alice, session.pk), alice, f"{number}\n" * 2000)
    stored = lambda: sum(  # noqa: E731
        len(row.payload) for table in (Update, Segment, Snapshot) for row in table.objects.filter(document=session.pk)
    )
    assert storage.usage_of(alice.pk).bytes == stored() > 20 * 2000
    for _ in range(2):
        assert compaction.compact(session.pk) is compaction.Outcome.DONE
        assert storage.usage_of(alice.pk).bytes == stored()
        actions.write_content(access_to(alice, session.pk), alice, "the end\n")
    assert Segment.objects.exists()


def test_the_chat_counts_for_the_owner_and_ends_where_they_have_no_more_room(api, alice, bob, session, settings):
    before = storage.usage_of(alice.pk).bytes
    said = f"/api/sessions/{session.pk}/chat"
    assert api(bob).post(said, {"text": "x" * 2000}).status_code == 201
    assert storage.usage_of(alice.pk).bytes == storage.bytes_of([session.pk]) == before + 2000
    settings.QUOTA_BYTES = before + 1
    caches["answers"].clear()
    answer = api(bob).post(said, {"text": "more"})
    assert (answer.status_code, answer.json()["code"]) == (403, "storage_full")


def test_nobody_fills_anothers_storage_by_handing_over(api, alice, bob, session, settings):
    settings.QUOTA_SESSIONS = 1
    actions.create_session(bob, language=languages.get("python"))
    answer = api(alice).post(f"/api/sessions/{session.pk}/transfer", {"username": "bob"})
    assert (answer.status_code, answer.json()["detail"]) == (403, "bob has no room for this session.")
    session.refresh_from_db()
    assert session.owner_id == alice.pk


@pytest.mark.parametrize("quota", ["QUOTA_SESSIONS", "QUOTA_BYTES"])
def test_nobody_fills_anothers_storage_by_deleting_an_account(alice, bob, session, settings, quota):
    second = actions.create_session(alice, language=languages.get("python"))
    Collaborator.objects.create(session=second, user=bob, permission="read")
    # Each fits alone, both do not.
    most = {"QUOTA_SESSIONS": 1, "QUOTA_BYTES": storage.usage_of(alice.pk).bytes - 1}
    setattr(settings, quota, most[quota])
    with pytest.raises(storage.StorageFull, match="bob has no room for these sessions"):
        delete_account(alice, {session.pk: bob.pk, second.pk: bob.pk})
    assert CodeSession.objects.filter(owner=alice).count() == 2, "nothing was handed over"
    delete_account(alice, {session.pk: bob.pk})
    assert list(CodeSession.objects.values_list("owner__username", "pk")) == [("bob", session.pk)]


def test_nothing_new_is_taken_while_the_disk_is_nearly_full(api, alice, bob, session, settings):
    if storage.connection.vendor != "sqlite":
        pytest.skip("the database is on another disk")
    settings.DISK_RESERVE_BYTES = 2**60
    path = f"/api/sessions/{session.pk}"
    calls = [
        api(alice).post("/api/sessions", {"title": "One more"}),
        api(alice).patch(path, {"content": "print(2)\n"}),
        api(alice).post("/api/execute", {"language": "python", "code": "print(1)"}),
        api(bob).post(f"{path}/chat", {"text": "hello"}),
    ]
    assert [(call.status_code, call.json()["code"]) for call in calls] == [(507, "disk_low")] * 4
    assert api(alice).get(path).json()["content"] == "print(1)\n"


@pytest.mark.parametrize(("free", "status"), [(5, 507), (50, 201)])
def test_a_small_folder_of_temporary_files_counts_as_a_disk(free, status, api, alice, settings, monkeypatch, tmp_path):
    if storage.connection.vendor != "sqlite":
        pytest.skip("the database is on another disk")
    statvfs, temporary = os.statvfs, tmp_path / "temporary"
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    small = SimpleNamespace(f_bavail=free, f_blocks=100, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda path: small if path == str(temporary) else statvfs(path))
    settings.DISK_RESERVE_BYTES = MIB
    assert api(alice).post("/api/sessions", {"title": "One more"}).status_code == status


def test_people_see_what_they_use(api, client, alice, session, settings):
    settings.QUOTA_SESSIONS, settings.QUOTA_BYTES = 7, 3 * MIB
    told = {row["name"]: (row["used"], row["limit"]) for row in api(alice).get("/api/limits").json()["storage"]}
    assert told["sessions"] == (1, 7)
    assert told["session_bytes"] == (len(update_log.read_log(session.pk).tail[0].payload), 3 * MIB)
    client.force_login(alice)
    page = client.get("/profile").content.decode()
    assert "1 of 7" in page and "3.0\xa0MB" in page
    assert api(None).get("/api/limits").json()["storage"] == []


@pytest.mark.django_db(transaction=True)
async def test_a_socket_of_a_full_owner_only_reads(session, alice, settings):
    from tests.sessions_app.test_guests import socket_of

    def sign_in():
        from django.test import Client

        client = Client()
        client.force_login(alice)
        settings.QUOTA_BYTES = storage.usage_of(alice.pk).bytes
        return client

    socket = socket_of(await sync_to_async(sign_in)(), session)
    await socket.connect(30)
    hello = await socket.receive_json_from(30)
    assert (hello["type"], hello["permission"]) == ("hello", "read")
    assert "no storage left" in hello["measure"]
    await socket.disconnect()


def test_a_demo_starts_without_its_sample_session_while_the_disk_is_nearly_full(alice, settings, capsys):
    settings.DISK_RESERVE_BYTES = 2**60
    call_command("demo_session", "alice")
    assert "disk of this server is nearly full" in capsys.readouterr().err
    assert not CodeSession.objects.exists()
