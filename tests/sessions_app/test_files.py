"""The files of a session over REST: what may be named how, and that everybody sees what was done."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from sessions_app import files
from sessions_app.access import access_to
from sessions_app.document import contents
from sessions_app.errors import PathTaken, TooManyFiles
from sessions_app.limits import FILES_MAX
from sessions_app.models import Document, Update


@pytest.fixture
def path(session):
    return f"/api/sessions/{session.pk}/files"


def texts(session):
    return contents.files_at_head(session.pk)[1]


def test_a_file_is_made_renamed_rewritten_and_deleted(session, alice, bob, carol, path, api):
    writer, reader = api(bob), api(carol)
    answer = writer.post(path, {"path": "lib/words.py", "content": "WORDS = 1\r\n"})
    made = answer.json()
    assert answer.status_code == 201 and answer["Location"] == f"{path}/{made['id']}"
    assert (made["path"], made["content"], made["is_entry"]) == ("lib/words.py", "WORDS = 1\n", False)
    assert reader.get(f"{path}/{made['id']}").json() == made
    assert [(row["id"], row["path"]) for row in reader.get(path).json()] == [
        ("main", "main.py"),
        (made["id"], "lib/words.py"),
    ]
    changed = writer.patch(f"{path}/{made['id']}", {"path": "lib/more.py", "content": "WORDS = 2\n"}).json()
    assert (changed["path"], changed["content"], changed["size_bytes"]) == ("lib/more.py", "WORDS = 2\n", 10)
    assert texts(session) == {"main.py": b"print(1)\n", "lib/more.py": b"WORDS = 2\n"}
    assert writer.delete(f"{path}/{made['id']}").status_code == 204
    assert texts(session) == {"main.py": b"print(1)\n"}
    for call in (reader.get, writer.delete, writer.patch):
        answer = call(f"{path}/{made['id']}")
        assert (answer.status_code, answer.json()["code"]) == (404, "file_not_found")


def test_what_is_done_to_files_is_in_the_log_under_the_persons_name(session, bob, path, api):
    made = api(bob).post(path, {"path": "a.txt"}).json()
    api(bob).patch(f"{path}/{made['id']}", {"path": "b.txt"})
    api(bob).delete(f"{path}/{made['id']}")
    rows = list(Update.objects.filter(document=session.pk).order_by("seq"))
    assert [(row.seq, row.user, row.origin) for row in rows[1:]] == [(n, bob, "server") for n in (2, 3, 4)]


REFUSED = [
    "", " ", ".", "..", "/", "a/", "/etc/passwd", "../up.py", "a/../b", "a/./b", "a//b", "a\\b", "C:\\a", "c:/a",
    "a\x00b", "a\nb", "a\x1bb", "a\u202eb", "a\u200bb", "\ufeffa", "a|b", "a?", "a*", "a<b", 'a"b', " a", "a ", "a.",
    "con", "NUL.txt", "lib/com1.py", ".build/program", ".BUILD", "x" * 101, "é" * 128, "/".join("abcdefghi"),
]  # fmt: skip


@pytest.mark.parametrize("wrong", REFUSED)
def test_a_path_that_would_leave_or_mislead_is_refused(wrong, session, bob, path, api):
    before = Document.objects.get(pk=session.pk).head
    answer = api(bob).post(path, {"path": wrong})
    assert answer.status_code == 400 and "path" in answer.json()["errors"], answer.content
    made = api(bob).post(path, {"path": "good.txt"}).json()
    assert api(bob).patch(f"{path}/{made['id']}", {"path": wrong}).status_code == 400
    assert Document.objects.get(pk=session.pk).head == before + 1


@pytest.mark.parametrize("name", ["a.txt", ".env", "Ünïcode.py", "名前.py", "a b.txt", "-x.py", "a/b/c/d/e/f/g/h"])
def test_an_ordinary_path_is_taken(name, session, bob, path, api):
    assert api(bob).post(path, {"path": name}).json()["path"] == name


def test_one_name_however_it_is_written_is_one_name(session, bob, path, api):
    client = api(bob)
    composed, decomposed = "caf\u00e9.txt", "cafe\u0301.txt"
    assert client.post(path, {"path": decomposed}).json()["path"] == composed
    for taken in (composed, decomposed, "CAF\u00c9.txt", "MAIN.py", "main.py/inside", "ma\uff49n.py"):
        answer = client.post(path, {"path": taken})
        assert (answer.status_code, answer.json()["code"]) == (409, "path_taken"), taken
    client.post(path, {"path": "lib/a.py"})
    assert client.post(path, {"path": "LIB"}).json()["code"] == "path_taken"
    other = client.post(path, {"path": "other.txt"}).json()
    assert client.patch(f"{path}/{other['id']}", {"path": "Main.PY"}).json()["code"] == "path_taken"
    # A file may change the case of its own name.
    assert client.patch(f"{path}/{other['id']}", {"path": "Other.txt"}).json()["path"] == "Other.txt"


def test_the_entry_file_is_edited_but_neither_renamed_nor_deleted(session, bob, path, api):
    client = api(bob)
    assert client.patch(f"{path}/main", {"content": "print(2)\n"}).json()["content"] == "print(2)\n"
    assert client.patch(f"{path}/main", {"path": "main.py"}).status_code == 200
    for answer in (client.patch(f"{path}/main", {"path": "x.py"}), client.delete(f"{path}/main")):
        assert (answer.status_code, answer.json()["code"]) == (409, "entry_file_stays")


@pytest.mark.parametrize("file_id", ["files", "f_1", "f_" + "0" * 32, "main ", "MAIN", "__proto__"])
def test_what_is_no_listed_file_is_absent(file_id, session, bob, path, api):
    client = api(bob)
    for call in (client.get, client.delete, client.patch):
        assert call(f"{path}/{file_id}").status_code == 404


def test_there_are_fifty_files_at_most(session, alice, bob, path, api):
    access = access_to(alice, session.pk)
    for number in range(FILES_MAX - 1):
        files.create_file(access, alice, f"{number}.txt")
    answer = api(bob).post(path, {"path": "more.txt"})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_files")
    gone = api(bob).get(path).json()[-1]["id"]
    assert api(bob).delete(f"{path}/{gone}").status_code == 204
    assert api(bob).post(path, {"path": "more.txt"}).status_code == 201


def test_files_are_bounded_one_by_one_and_together(session, bob, path, api, settings):
    settings.TEXT_MAX_BYTES, settings.DOCUMENT_MAX_BYTES = 1000, 2500
    client = api(bob)
    assert client.post(path, {"path": "a.txt", "content": "x" * 1001}).status_code == 400
    for name in ("a.txt", "b.txt"):
        assert client.post(path, {"path": name, "content": "x" * 1000}).status_code == 201
    answer = client.post(path, {"path": "c.txt", "content": "x" * 1000})
    assert (answer.status_code, answer.json()["code"]) == (413, "text_too_large")
    # What is deleted makes room, and a full document can be made smaller.
    gone = client.get(path).json()[1]["id"]
    assert client.delete(f"{path}/{gone}").status_code == 204
    assert client.post(path, {"path": "c.txt", "content": "x" * 900}).status_code == 201


def test_a_change_made_against_an_older_text_is_refused_when_asked_to(session, bob, path, api):
    made = api(bob).post(path, {"path": "a.txt", "content": "1"}).json()
    api(bob).patch(f"{path}/main", {"content": "else"})
    answer = api(bob).patch(f"{path}/{made['id']}", {"content": "2", "base_revision": made["revision"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "revision_passed")


def test_a_reader_changes_no_file_and_a_stranger_sees_none(session, bob, carol, mallory, path, api):
    made = api(bob).post(path, {"path": "a.txt"}).json()
    head = Document.objects.get(pk=session.pk).head
    for person, status in ((carol, 403), (mallory, 404), (None, 401)):
        client = api(person)
        for answer in (
            client.post(path, {"path": "b.txt"}),
            client.patch(f"{path}/{made['id']}", {"path": "c.txt"}),
            client.delete(f"{path}/{made['id']}"),
        ):
            assert answer.status_code == status
    assert api(mallory).get(path).status_code == 404
    assert Document.objects.get(pk=session.pk).head == head


def test_the_entry_file_follows_the_language(session, alice, bob, path, api):
    api(alice).patch(f"/api/sessions/{session.pk}", {"language": "ruby"})
    assert list(texts(session)) == ["main.rb"]
    # Not over a file that somebody made.
    api(bob).post(path, {"path": "main.go", "content": "mine"})
    api(alice).patch(f"/api/sessions/{session.pk}", {"language": "go"})
    assert texts(session)["main.go"] == b"mine"


@pytest.mark.django_db(transaction=True)
def test_of_many_who_take_one_name_at_once_one_gets_it(session, alice):
    access = access_to(alice, session.pk)
    barrier = Barrier(5, timeout=60)

    def take(number):
        try:
            barrier.wait()
            files.create_file(access, alice, "one.txt", str(number))
            return number
        except PathTaken:
            return None
        finally:
            connection.close()

    with ThreadPoolExecutor(5) as pool:
        won = [number for number in pool.map(take, range(5)) if number is not None]
    assert len(won) == 1
    assert texts(session)["one.txt"] == str(won[0]).encode()


@pytest.mark.django_db(transaction=True)
def test_the_last_place_for_a_file_is_taken_once(session, alice):
    access = access_to(alice, session.pk)
    for number in range(FILES_MAX - 2):
        files.create_file(access, alice, f"{number}.txt")
    barrier = Barrier(3, timeout=60)

    def take(number):
        try:
            barrier.wait()
            files.create_file(access, alice, f"new{number}.txt")
            return True
        except TooManyFiles:
            return False
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(take, range(3))) == 1
    assert len(texts(session)) == FILES_MAX
