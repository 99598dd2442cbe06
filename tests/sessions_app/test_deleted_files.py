"""A deleted file can be brought back, with all that was typed into it, and the history covers every file."""

from __future__ import annotations

import pycrdt
import pytest

from activity.log import recent
from sessions_app.document import blocks, changes, contents, slices, texts, update_log, updates
from sessions_app.document.opening import Limits
from sessions_app.document.replica import Replica
from sessions_app.document.texts import DELETED, listed_files
from sessions_app.document.update_log import Entry
from tests.realtime.test_compaction_keeps_everything import Author


@pytest.fixture
def path(session):
    return f"/api/sessions/{session.pk}/files"


def paths(client, path):
    return {row["id"]: row["path"] for row in client.get(path).json()}


def device(session):
    """The document as a device holds it that goes offline now."""
    return updates.merge(update_log.read_log(session.pk).parts)


def typed_late(session, before, file_id, text, client_id=99):
    """What a device sends that has not heard of anything since `before`."""
    update = Author(before, client_id, file_id).edit(1, 0, text)
    update_log.append({session.pk: [Entry(update, None, "socket")]})


def test_a_deleted_file_is_listed_with_who_and_when_and_comes_back_as_it_was(session, bob, carol, path, api):
    writer, reader = api(bob), api(carol)
    made = writer.post(path, {"path": "lib/words.py", "content": "WORDS = 1\n"}).json()
    assert reader.get(f"{path}/deleted").json() == []
    assert writer.delete(f"{path}/{made['id']}").status_code == 204
    (row,) = reader.get(f"{path}/deleted").json()
    assert row.pop("deleted_at")
    person = {"id": str(bob.pk), "username": "bob", "hue": bob.hue}
    assert row == {"id": made["id"], "path": "lib/words.py", "size_bytes": 10, "deleted_by": person}
    assert reader.get(f"{path}/deleted/{made['id']}").json()["content"] == "WORDS = 1\n"
    answer = writer.post(f"{path}/deleted/{made['id']}/restore")
    assert (answer.status_code, answer.json()["path"], answer.json()["content"]) == (200, "lib/words.py", "WORDS = 1\n")
    assert reader.get(f"{path}/deleted").json() == []
    assert paths(reader, path) == {"main": "main.py", made["id"]: "lib/words.py"}
    again = writer.post(f"{path}/deleted/{made['id']}/restore")
    assert (again.status_code, again.json()["code"]) == (404, "file_not_found")


def test_it_comes_back_under_a_free_name_or_under_the_one_that_is_asked_for(session, bob, path, api):
    client = api(bob)
    gone = []
    for _ in range(3):
        gone.append(client.post(path, {"path": "a.txt", "content": "x"}).json()["id"])
        client.delete(f"{path}/{gone[-1]}")
    client.post(path, {"path": "A.txt"})
    assert client.post(f"{path}/deleted/{gone[0]}/restore").json()["path"] == "a (2).txt"
    for wrong, status in (("a.TXT", 409), ("../a", 400), ("main.py/a", 409)):
        assert client.post(f"{path}/deleted/{gone[1]}/restore", {"path": wrong}).status_code == status
    assert client.post(f"{path}/deleted/{gone[1]}/restore", {"path": "b.txt"}).json()["path"] == "b.txt"
    assert [row["id"] for row in client.get(f"{path}/deleted").json()] == [gone[2]]


def test_what_devices_typed_before_they_heard_of_it_is_in_its_place(session, bob, path, api):
    client = api(bob)
    made = client.post(path, {"path": "a.txt", "content": "one\ntwo\n"}).json()
    before = device(session)
    client.delete(f"{path}/{made['id']}")
    for number in range(3):
        typed_late(session, before, made["id"], f"late {number}\n", client_id=90 + number)
    (row,) = client.get(f"{path}/deleted").json()
    back = client.post(f"{path}/deleted/{made['id']}/restore").json()
    assert back["size_bytes"] == row["size_bytes"]
    assert back["content"].startswith("one\ntwo\n")
    assert sorted(back["content"].splitlines()[2:]) == [f"late {number}" for number in range(3)]


def test_a_file_that_a_page_took_from_the_list_itself_can_be_brought_back(session, bob, path, api):
    client = api(bob)
    made = client.post(path, {"path": "a.txt", "content": "text"}).json()

    def unlist(update):
        return changes.changed(update, lambda doc, _: doc.get("files", type=pycrdt.Map).__delitem__(made["id"]))

    contents.edit(session.pk, bob.pk, unlist)
    (row,) = client.get(f"{path}/deleted").json()
    assert (row["id"], row["deleted_by"], row["deleted_at"]) == (made["id"], None, None)
    assert client.post(f"{path}/deleted/{made['id']}/restore").json()["content"] == "text"


def test_the_texts_of_deleted_files_are_bounded_and_the_newest_stay(session, bob, path, api, settings):
    settings.DOCUMENT_MAX_BYTES = 4000
    client = api(bob)
    for number in range(5):
        made = client.post(path, {"path": f"{number}.txt", "content": "x" * 300}).json()
        assert client.delete(f"{path}/{made['id']}").status_code == 204
    assert [row["path"] for row in client.get(f"{path}/deleted").json()] == ["4.txt", "3.txt", "2.txt"]
    assert contents.files_at_head(session.pk)[1] == {"main.py": b"print(1)\n"}


@pytest.fixture
def past(session, bob, path, api):
    """(client, id of a file, revision at which it and the entry file had their first texts)"""
    client = api(bob)
    file_id = client.post(path, {"path": "a.txt", "content": "first\n"}).json()["id"]
    revision = update_log.heads([session.pk])[session.pk]
    client.patch(f"{path}/{file_id}", {"content": "second\n"})
    client.patch(f"{path}/main", {"content": "print(2)\n"})
    return client, file_id, revision


def test_the_history_has_every_file_of_a_revision(session, path, past):
    client, file_id, revision = past
    history = f"/api/sessions/{session.pk}/history"
    client.delete(f"{path}/{file_id}")
    then = client.get(f"{history}/{revision}", {"file": file_id}).json()
    assert (then["path"], then["content"]) == ("a.txt", "first\n")
    assert [(row["id"], row["is_deleted"]) for row in then["files"]] == [("main", False), (file_id, False)]
    now = client.get(f"{history}/{update_log.heads([session.pk])[session.pk]}", {"file": file_id}).json()
    assert (now["content"], now["files"][1]["is_deleted"]) == ("second\n", True)
    assert client.get(f"{history}/{revision}").json()["content"] == "print(1)\n"
    assert client.get(f"{history}/{revision}", {"file": "f_" + "0" * 32}).json()["code"] == "file_not_found"
    assert client.get(f"{history}/{revision}", {"fil": file_id}).status_code == 400


def test_one_file_is_restored_and_the_others_stay(session, path, past):
    client, file_id, revision = past
    client.delete(f"{path}/{file_id}")
    answer = client.post(f"/api/sessions/{session.pk}/history/{revision}/restore", {"file": file_id})
    assert answer.status_code == 200
    assert client.get(f"{path}/{file_id}").json()["content"] == "first\n"
    assert client.get(f"{path}/main").json()["content"] == "print(2)\n"


def test_all_files_are_restored_and_what_was_made_or_typed_since_is_not_lost(session, path, past):
    client, file_id, revision = past
    newer = client.post(path, {"path": "newer.txt", "content": "newer\n"}).json()["id"]
    before = device(session)
    client.delete(f"{path}/{file_id}")
    assert client.post(f"/api/sessions/{session.pk}/history/{revision}/restore").status_code == 200
    typed_late(session, before, file_id, "typed meanwhile\n")
    texts = contents.files_at_head(session.pk)[1]
    assert texts["main.py"] == b"print(1)\n"
    assert texts["newer.txt"] == b"newer\n"
    assert texts["a.txt"].startswith(b"first\n") and b"typed meanwhile\n" in texts["a.txt"]
    assert set(paths(client, path)) == {"main", file_id, newer}


@pytest.mark.parametrize("note", ["1", "[", "x"])
def test_what_a_socket_puts_in_the_place_of_a_note_stops_nobody(session, bob, path, api, note):
    client = api(bob)
    first, second = (client.post(path, {"path": name, "content": name}).json()["id"] for name in ("a.txt", "b.txt"))
    client.delete(f"{path}/{first}")
    value = next(block for block in blocks.read(device(session))[0] if block.root == DELETED.encode())
    beside = b"".join(map(slices.varuint, (value.client, value.clock)))
    hostile = b"\x01\x01" + slices.varuint(99) + b"\x00\x84" + beside + bytes([len(note)]) + note.encode() + b"\x00"
    replica = Replica(device(session), Limits(512 * 1024, 8 * 1024 * 1024))
    assert replica.apply(hostile)
    replica.close()
    update_log.append({session.pk: [Entry(hostile, bob.pk, "socket")]})
    assert client.delete(f"{path}/{second}").status_code == 204
    assert [row["path"] for row in client.get(f"{path}/deleted").json()] == ["b.txt", first]
    assert client.post(f"{path}/deleted/{first}/restore", {"path": "a.txt"}).json()["content"] == "a.txt"


@pytest.mark.django_db(transaction=True)
def test_a_rename_that_somebody_else_made_first_is_noted_once(session, alice, bob, path, api, monkeypatch):
    client = api(bob)
    made = client.post(path, {"path": "a.txt"}).json()["id"]
    real, others = listed_files, iter([True])

    def overtaken(update):
        found = real(update)
        if next(others, False):
            api(alice).patch(f"{path}/{made}", {"path": "b.txt"})
        return found

    monkeypatch.setattr(texts, "listed_files", overtaken)
    client.patch(f"{path}/{made}", {"path": "b.txt"})
    noted = [entry for entry in recent(session_id=session.pk) if entry.action == "file.renamed"]
    assert [entry.user_id for entry in noted] == [alice.pk]
