"""The files of a session as a zip: what comes out, under which names, and who was told."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activity.log import recent
from sessions_app import zips


def unpacked(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        return {entry.filename: opened.read(entry) for entry in opened.infolist()}


@pytest.mark.django_db(transaction=True)
def test_reader_downloads_the_files_and_it_is_noted(session, carol, alice, api):
    alice_api, reader = api(alice), api(carol)
    alice_api.patch(f"/api/sessions/{session.pk}", {"title": 'A "title"\r\n../ö', "content": "print('é')\n"})
    answer = reader.get(f"/api/sessions/{session.pk}/export.zip", HTTP_ACCEPT="application/zip")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/zip"
    assert answer["Content-Disposition"].startswith("attachment; filename")
    assert "\n" not in answer["Content-Disposition"] and "/" not in answer["Content-Disposition"]
    assert unpacked(answer.content) == {"main.py": "print('é')\n".encode()}
    assert int(answer["X-Revision"]) >= 2
    again = reader.get(f"/api/v1/sessions/{session.pk}/export.zip")
    assert again.content == answer.content
    noted = [entry for entry in recent(session_id=session.pk) if entry.action == "session.exported"]
    assert [entry.user_id for entry in noted] == [carol.pk, carol.pk]


def test_who_may_not_see_the_session_gets_no_archive(session, mallory, api):
    answer = api(mallory).get(f"/api/sessions/{session.pk}/export.zip", HTTP_ACCEPT="application/zip")
    assert answer.status_code == 404
    assert answer.json()["code"] == "session_not_found"
    assert api(None).get(f"/api/sessions/{session.pk}/export.zip").status_code == 401


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("main.py", "main.py"),
        ("src/deep/é.py", "src/deep/é.py"),
        ("/etc/passwd", "etc/passwd"),
        ("../../up.py", "up.py"),
        ("a/./../b", "a/b"),
        ("..\\..\\up.py", "up.py"),
        ("C:\\Windows\\x.dll", "C_/Windows/x.dll"),
        ("\\\\server\\share", "server/share"),
        ("nul.txt", "_nul.txt"),
        ("COM1", "_COM1"),
        ("a\x00b\x1b[31m.py", "ab[31m.py"),
        ("in\u202egnp.exe", "ingnp.exe"),
        ("zero\u200bwidth", "zerowidth"),
        ("trailing. . ", "trailing"),
        ("...", "file"),
        ("", "file"),
        ("e\u0301.py", "\u00e9.py"),
        ("x" * 500, "x" * 100),
    ],
)
def test_name_is_safe_wherever_it_is_unpacked(path, name):
    assert zips.safe_name(path) == name


def test_names_that_would_meet_are_told_apart():
    files = {
        "a.py": b"1",
        "A.py": b"2",
        "./a.py": b"3",
        "lib": b"4",
        "lib/x": b"5",
        "LIB/x": b"6",
        "x/y": b"7",
        "x": b"8",
    }
    assert unpacked(zips.pack(files)) == {
        "a.py": b"1",
        "A (2).py": b"2",
        "a (3).py": b"3",
        "lib": b"4",
        "lib (2)/x": b"5",
        "LIB (2)/x (2)": b"6",
        "x/y": b"7",
        "x (2)": b"8",
    }


@given(st.dictionaries(st.text(max_size=30), st.binary(max_size=20), max_size=8))
def test_no_file_is_lost_and_none_leaves_the_folder(files):
    found = unpacked(zips.pack(files))
    assert sorted(found.values()) == sorted(files.values())
    for name in found:
        assert name and not name.startswith("/") and "\\" not in name and ":" not in name
        assert all(part not in ("", ".", "..") for part in name.split("/"))
    assert len({name.casefold() for name in found}) == len(files)
    assert zips.pack(files) == zips.pack(files)
