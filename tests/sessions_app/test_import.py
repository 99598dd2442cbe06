"""A session of a zip archive: what was exported comes back, and what an archive may do to its reader is refused."""

from __future__ import annotations

import io
import stat
import struct
import tracemalloc
import zipfile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from sessions_app import zips
from sessions_app.document import contents
from sessions_app.models import CodeSession

GOOD = {"main.py": b"print(1)\n"}


def archive(files, **fields):
    """A zip of (name, content) pairs, whatever the names; `fields` are set on every entry."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        for name, content in files.items() if isinstance(files, dict) else files:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0 if name.endswith("/") else 0o100644 << 16
            for field, value in fields.items():
                setattr(entry, field, value)
            # The library mends a name only when it is made.
            entry.filename = name
            made.writestr(entry, content)
    return packed.getvalue()


def send(client, data, query=""):
    return client.post(f"/api/sessions/import{query}", data, content_type="application/zip")


def texts(answer):
    return contents.files_at_head(answer.json()["id"])[1]


def refused(answer, *words, status=400, code="archive_refused"):
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content
    assert all(word in answer.json()["detail"] for word in words), answer.json()
    assert not CodeSession.objects.exists()


def test_what_was_exported_comes_back(session, alice, bob, api):
    path = f"/api/sessions/{session.pk}"
    api(alice).post(f"{path}/files", {"path": "lib/wörter.txt", "content": "eins\nzwei\n"})
    answer = send(api(bob), api(bob).get(f"{path}/export.zip").content, "?title=Again")
    assert answer.status_code == 201, answer.content
    made = answer.json()
    assert (made["title"], made["language"], made["permission"]) == ("Again", "python", "owner")
    assert answer["Location"] == f"/api/sessions/{made['id']}"
    assert texts(answer) == {"main.py": b"print(1)\n", "lib/wörter.txt": b"eins\nzwei\n"}


@pytest.mark.parametrize(
    ("files", "query", "language", "paths"),
    [
        ({"notes.txt": b"x", "main.rb": b"puts 1"}, "", "ruby", ["main.rb", "notes.txt"]),
        ({"solve.py": b"x"}, "", "python", ["main.py"]),
        ({"solve.py": b"x", "data.txt": b""}, "?language=py", "python", ["main.py", "data.txt"]),
        ({"top/src/main.go": b"x", "top/src/a.go": b""}, "", "go", ["main.go", "a.go"]),
        ({"main.py": b"x", "__MACOSX/._main.py": b"\xff", ".DS_Store": b"\xff"}, "", "python", ["main.py"]),
    ],
)
def test_the_language_and_the_entry_are_found_by_the_names(files, query, language, paths, alice, api):
    answer = send(api(alice), archive(files), query)
    assert answer.status_code == 201, answer.content
    assert answer.json()["language"] == language
    assert list(texts(answer)) == paths


@pytest.mark.parametrize(
    ("files", "query"),
    [
        ({"a.txt": b"", "b.txt": b""}, ""),
        ({"one.py": b"", "two.py": b""}, "?language=python"),
        ({"main.py": b""}, "?language=ruby"),
    ],
)
def test_an_archive_that_does_not_say_where_to_start_is_refused(files, query, alice, api):
    refused(send(api(alice), archive(files), query), "start")


@pytest.mark.parametrize(
    "name",
    [
        "../evil.py", "a/../../evil.py", "/etc/passwd", "\\windows\\evil", "C:\\evil.py", "c:evil.py", "a\\..\\b",
        "./main.py", "a//b.py", "nul.txt", "a\nb", "\u202egpj.exe", "", "a\u200b.py", ".build/program", "x" * 300,
        "/".join("abcdefghi"), "a/./b", "..", "dir/../",
    ],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_refuses_the_whole_archive(name, alice, api):
    refused(send(api(alice), archive({**GOOD, name: b"x"})), "name")


def test_a_name_with_a_nul_is_not_cut_short(alice, api):
    data = archive({**GOOD, "evilX.txt": b"x"}).replace(b"evilX.txt", b"evil\0.txt")
    refused(send(api(alice), data), "name")


@pytest.mark.parametrize(
    "files",
    [
        [("main.py", b"1"), ("main.py", b"2")],
        [("main.py", b"1"), ("MAIN.PY", b"2")],
        [("main.py", b"1"), ("main.py/inside", b"2")],
        [("caf\u00e9", b"1"), ("cafe\u0301", b"2")],
    ],
)
def test_two_files_of_one_name_are_refused(files, alice, api):
    refused(send(api(alice), archive(files)), "Two files")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFBLK, stat.S_IFDIR])
def test_links_and_devices_are_refused(kind, alice, api):
    data = archive({"main.py": b"/etc/passwd"}, external_attr=(kind | 0o777) << 16)
    refused(send(api(alice), data), "regular file")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"caf\xe9", b"\xed\xa0\x80", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_utf8_is_refused_by_name(content, alice, api):
    refused(send(api(alice), archive({**GOOD, "logo.png": content})), "logo.png", "UTF-8")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_unusual_compression_is_refused(method, alice, api):
    refused(send(api(alice), archive(GOOD, compress_type=method)), "compression")


def test_an_encrypted_file_is_refused(alice, api):
    data = bytearray(archive(GOOD))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    refused(send(api(alice), bytes(data)), "encrypted")


@pytest.mark.parametrize(
    "data",
    [
        b"PK", b"not a zip at all", b"\x1f\x8b\x08", archive({}), archive(GOOD)[:-10], archive(GOOD)[10:],
        archive({"folder/": b""}),
    ],
)  # fmt: skip
def test_what_is_no_archive_is_refused(data, alice, api):
    refused(send(api(alice), data), "archive")


def test_a_damaged_content_is_refused(alice, api):
    data = archive({"main.py": b"print(1)\n"}).replace(b"print(1)", b"print(2)")
    refused(send(api(alice), data), "readable")


def test_too_many_files_are_refused(alice, api):
    refused(
        send(api(alice), archive({f"{number}.py": b"" for number in range(51)})),
        "50 files",
        status=413,
        code="archive_too_large",
    )


def test_a_list_without_end_is_refused_before_it_is_looked_at(alice, api):
    data = archive({f"d{number}/": b"" for number in range(zips.ENTRIES_MAX + 1)})
    refused(send(api(alice), data), "entries", status=413, code="archive_too_large")


def test_a_bomb_is_not_unpacked(alice, api, settings):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("main.py", b"x" * 64 * 1024 * 1024)
    data = packed.getvalue()
    assert len(data) < 100_000
    client = api(alice)
    tracemalloc.start()
    try:
        refused(send(client, data), "larger", status=413, code="archive_too_large")
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_a_bomb_that_lies_about_its_size_is_stopped_where_its_lie_ends(alice, api, settings):
    settings.TEXT_MAX_BYTES = 1000
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("main.py", b"x" * 10_000_000)
    data = bytearray(packed.getvalue())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.index(signature) + offset, 10)
    refused(send(api(alice), bytes(data)), "readable")


def test_many_files_are_bounded_together(alice, api, settings):
    settings.TEXT_MAX_BYTES, settings.DOCUMENT_MAX_BYTES = 1000, 2500
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        for name in ("main.py", "b.py", "c.py"):
            made.writestr(name, b"x" * 900)
    refused(send(api(alice), packed.getvalue()), "add up", status=413, code="archive_too_large")


def test_entries_that_share_their_bytes_do_not_get_past_the_bounds(alice, api):
    """A flat bomb: many entries of the directory that point at one and the same content."""
    kernel = archive({"a.py": b"y" * 500_000})
    central = kernel[kernel.index(b"PK\x01\x02") : kernel.index(b"PK\x05\x06")]
    local = kernel[: kernel.index(b"PK\x01\x02")]
    many = b"".join(central.replace(b"a.py", f"{number:02}py".encode()[:4]) for number in range(40))
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 40, 40, len(many), len(local), 0)
    answer = send(api(alice), local + many + end)
    assert answer.status_code in (400, 413), answer.content
    assert not CodeSession.objects.exists()


def test_an_archive_over_the_bound_is_refused(alice, api, settings):
    settings.DOCUMENT_MAX_BYTES = 1000
    refused(send(api(alice), archive({"main.py": b"x" * 2000})), "more than", status=413, code="archive_too_large")


@pytest.mark.parametrize("query", ["?language=klingon", "?title=" + "x" * 121, "?owner=bob"])
def test_a_wrong_query_is_refused(query, alice, api):
    assert send(api(alice), archive(GOOD), query).status_code == 400
    assert not CodeSession.objects.exists()


def test_who_is_not_signed_in_imports_nothing(db, client, api):
    assert send(api(None), archive(GOOD)).status_code == 401
    answer = client.post("/sessions/import", {"archive": SimpleUploadedFile("a.zip", archive(GOOD))})
    assert answer["Location"].startswith("/login")


def test_a_form_imports_too(alice, api):
    answer = api(alice).post(
        "/api/sessions/import", {"archive": SimpleUploadedFile("a.zip", archive(GOOD))}, format="multipart"
    )
    assert answer.status_code == 201 and answer.json()["content"] == "print(1)\n"
    assert api(alice).post("/api/sessions/import", {"a": "b"}, format="multipart").status_code == 400
    assert send(api(alice), b"").status_code == 400
    assert api(alice).post("/api/sessions/import", {"a": "b"}, format="json").status_code == 415


def test_the_page_imports_and_says_what_is_wrong(alice):
    client = Client()
    client.force_login(alice)
    upload = SimpleUploadedFile("homework.zip", archive(GOOD))
    answer = client.post("/sessions/import", {"archive": upload, "language": ""})
    session = CodeSession.objects.get()
    assert (answer["Location"], session.title) == (f"/sessions/{session.pk}", "homework")
    evil = SimpleUploadedFile("evil.zip", archive({"../<b>evil": b""}))
    shown = client.post("/sessions/import", {"archive": evil}, follow=True).text
    assert "Nothing was imported." in shown and "&lt;b&gt;evil" in shown and "<b>evil" not in shown
    assert CodeSession.objects.count() == 1


def directory_of(count: int, extra: bytes = b"") -> bytes:
    """An archive that lists one file so many times."""
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, len(extra), 0, 0, 0, 0, 0)
    listed = (entry + b"a" + extra) * count
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count & 0xFFFF, count & 0xFFFF, len(listed), len(local), 0)
    return local + listed + end


@pytest.mark.parametrize("made", [directory_of(100_000), directory_of(5, b"\x99\0\0\0" * 16_000)])
def test_table_of_contents_is_not_read_when_it_is_long(alice, api, monkeypatch, made):
    opened: list[object] = []
    monkeypatch.setattr(zipfile.ZipFile, "__init__", lambda *args, **named: opened.append(args))
    answer = send(api(alice), made)
    assert (answer.status_code, answer.json()["code"]) == (413, "archive_too_large")
    assert not opened
