"""The table of the API, row by row, as a client written against it would call it: with tokens from its own doors.

Everything is tried twice: as /api/..., and as /api/v1/... with a trailing slash.
"""

from __future__ import annotations

import base64
import io
import uuid
import zipfile

import pytest
from django.utils import timezone

import languages
from execution.models import AvailableLanguage
from tests.api.caller import PASSWORD, Caller

pytestmark = pytest.mark.django_db

USER = {"id", "username", "email", "role", "is_bot", "preferences", "created_at"}
LISTED_SESSION = {
    "id", "title", "language", "is_public", "permission", "owner", "metadata", "allows_guests", "forked_from",
    "version", "created_at", "updated_at",
}  # fmt: skip
SESSION = LISTED_SESSION | {"content"}
RUN_SUMMARY = {
    "job_id", "status", "language", "session_id", "revision", "exit_code", "signal", "truncated", "stats",
    "created_at", "started_at", "finished_at", "user", "interactive", "limits", "error_id", "cancelled_by",
}  # fmt: skip
STREAMS = {"stdout", "stderr", "compile_output"}
RUN = RUN_SUMMARY | {"cases"} | {f"{name}{more}" for name in STREAMS for more in ("", "_bytes", "_truncated")}
LANGUAGE = {"key", "name", "aliases", "version", "file_name", "limits", "available", "unavailable_reason"}
LIMITS = {"cpu_ms", "wall_ms", "memory_bytes", "output_bytes"}
FILE = {"id", "path", "is_entry", "size_bytes", "content", "revision"}
PAGE = {"next", "previous", "results"}


@pytest.fixture(params=[("/api", ""), ("/api/v1", "/")], ids=["api", "v1"])
def anybody(request) -> Caller:
    return Caller(*request.param)


@pytest.fixture
def ada(anybody) -> Caller:
    caller = anybody.beside()
    caller.register("ada")
    return caller


@pytest.fixture
def grace(anybody) -> Caller:
    caller = anybody.beside()
    caller.register("grace")
    return caller


@pytest.fixture
def python_runs(db):
    """A worker has said that it can run Python; it is not here to do so."""
    AvailableLanguage.objects.create(key="python", version="3.11", checked_at=timezone.now())


def new(caller, **fields):
    return caller("POST", "/sessions", 201, {"title": "Together", **fields}).json()


def let_in(owner, session, username, permission):
    body = {"username": username, "permission": permission}
    return owner("POST", f"/sessions/{session['id']}/collaborators", 201, body).json()


# /auth


def test_register(anybody):
    made = anybody.register("ada")
    assert set(made) == {"user", "access", "refresh"}
    assert set(made["user"]) == USER
    assert (made["user"]["username"], made["user"]["role"]) == ("ada", "user")
    again = {"username": "ADA", "email": "other@example.org", "password": PASSWORD}
    assert anybody("POST", "/auth/register", 400, again).json()["code"] == "username_taken"
    again = {"username": "other", "email": "Ada@example.org", "password": PASSWORD}
    assert anybody("POST", "/auth/register", 400, again).json()["code"] == "email_taken"
    for wrong in ({"password": "short12"}, {"username": "ab"}, {"username": "a@b.org"}, {"email": "nowhere"}):
        anybody("POST", "/auth/register", 400, {"username": "new", "email": "n@b.org", "password": PASSWORD} | wrong)


def test_login(anybody, django_user_model):
    anybody.register("ada")
    for name in ({"username": "Ada"}, {"email": "ADA@example.org"}, {"username": "ada@example.org"}):
        signed_in = anybody("POST", "/auth/login", 200, {**name, "password": PASSWORD}).json()
        assert set(signed_in) == {"user", "access", "refresh"}
        assert set(signed_in["user"]) == USER
    assert django_user_model.objects.get().last_login is not None
    refused = [
        anybody("POST", "/auth/login", 401, {"username": name, "password": "wrong wrong"}).json()
        for name in ("ada", "nobody")
    ]
    assert refused[0] == refused[1]


def test_refresh_and_logout(anybody):
    first = anybody.register("ada")
    second = anybody("POST", "/auth/refresh", 200, {"refresh": first["refresh"]}).json()
    assert set(second) == {"access", "refresh"}
    third = anybody("POST", "/auth/refresh", 200, {"refresh": second["refresh"]}).json()
    anybody("POST", "/auth/refresh", 401, {"refresh": first["refresh"]})
    # The old one ended the whole family.
    anybody("POST", "/auth/refresh", 401, {"refresh": third["refresh"]})
    again = anybody("POST", "/auth/login", 200, {"username": "ada", "password": PASSWORD}).json()
    assert anybody("POST", "/auth/logout", 204, {"refresh": again["refresh"]}).content == b""
    anybody("POST", "/auth/refresh", 401, {"refresh": again["refresh"]})


def test_profile(anybody, ada):
    profile = ada("GET", "/auth/profile", 200).json()
    assert set(profile) == USER
    assert profile["preferences"] == {"theme": "system", "editor_settings": {}}
    preferences = {"theme": "dark", "editor_settings": {"tab_size": 4}}
    changed = ada("PATCH", "/auth/profile", 200, {"preferences": preferences, "role": "admin"}).json()
    assert (changed["preferences"], changed["role"]) == (preferences, "user")
    whole = {"username": "lovelace", "email": "l@example.org", "preferences": {"theme": "light"}}
    assert ada("PUT", "/auth/profile", 200, whole).json()["username"] == "lovelace"
    ada("PUT", "/auth/profile", 400, {"username": "lovelace"})
    anybody("GET", "/auth/profile", 401)


# /sessions


def test_create_and_read_a_session(anybody, ada):
    answer = ada("POST", "/sessions", 201, {"title": "First"})
    made = answer.json()
    assert set(made) == SESSION
    assert (made["language"], made["content"]) == ("javascript", languages.get("javascript").hello)
    assert (made["permission"], made["is_public"], made["metadata"], made["version"]) == ("owner", False, {}, 1)
    assert set(made["owner"]) == {"id", "username"} and made["owner"]["username"] == "ada"
    assert uuid.UUID(made["id"]).version == 4
    assert ada.client.get(answer["Location"]).json() == made
    assert ada("GET", f"/sessions/{made['id']}", 200).json() == made

    full = {"title": "Full", "language": "py", "content": "print(1)\n", "is_public": True, "metadata": {"course": 7}}
    made = ada("POST", "/sessions", 201, full).json()
    assert {name: made[name] for name in full} == {**full, "language": "python"}
    assert new(ada, content="")["content"] == ""
    # 16 KiB of metadata, and not a byte more.
    fits = {"k": "x" * (16 * 1024 - len('{"k": ""}'))}
    assert new(ada, metadata=fits)["metadata"] == fits
    ada("POST", "/sessions", 400, {"title": "a", "metadata": {"k": fits["k"] + "x"}})
    ada("POST", "/sessions", 400, {})
    for unknown in ("1", "me", str(uuid.uuid4()), str(uuid.uuid1())):
        ada("GET", f"/sessions/{unknown}", 404)
    anybody("POST", "/sessions", 401, {"title": "First"})
    anybody("GET", f"/sessions/{made['id']}", 401)


def test_list_sessions(anybody, ada, grace):
    for number, language in enumerate(("python", "c", "python")):
        new(ada, title=f"Work {number}", language=language, is_public=number == 2)
    new(grace, title="Foreign")
    page = ada("GET", "/sessions", 200).json()
    assert set(page) == PAGE
    assert [set(row) for row in page["results"]] == [LISTED_SESSION] * 3

    def titles(query):
        return [row["title"] for row in ada("GET", f"/sessions?{query}", 200).json()["results"]]

    assert titles("") == ["Work 2", "Work 1", "Work 0"]
    assert titles("ordering=title") == titles("ordering=created_at") == ["Work 0", "Work 1", "Work 2"]
    assert titles("search=work+1") == ["Work 1"]
    assert titles("language=c") == ["Work 1"]
    assert titles("is_public=true") == ["Work 2"]
    assert titles("archived=true") == []
    first = ada("GET", "/sessions?page_size=2&ordering=title", 200).json()
    assert [row["title"] for row in first["results"]] == ["Work 0", "Work 1"]
    rest = ada.client.get(first["next"]).json()
    assert [row["title"] for row in rest["results"]] == ["Work 2"] and rest["next"] is None
    for wrong in ("order=title", "ordering=owner", "page=2", "is_public=yes", "language=klingon"):
        assert ada("GET", f"/sessions?{wrong}", 400).json()["code"] == "invalid"
    anybody("GET", "/sessions", 401)


def test_change_a_session(ada, grace):
    session = new(ada, language="python")
    path = f"/sessions/{session['id']}"
    changed = ada("PATCH", path, 200, {"title": "Renamed", "metadata": {"week": 2}, "is_public": True}).json()
    assert set(changed) == SESSION
    assert (changed["title"], changed["version"], changed["content"]) == ("Renamed", 2, session["content"])
    assert ada("PATCH", path, 200, {"content": "print(2)\n"}).json()["content"] == "print(2)\n"
    put = ada("PUT", path, 200, {"title": "Put", "language": "python", "content": "print(3)\n", "is_public": False})
    assert (put.json()["title"], put.json()["content"]) == ("Put", "print(3)\n")
    ada("PUT", path, 400, {"title": "No language"})
    assert ada("PATCH", path, 409, {"content": "x", "base_revision": 1}).json()["code"] == "revision_passed"
    grace("PATCH", path, 404, {"title": "Mine"})
    let_in(ada, session, "grace", "read")
    assert grace("PATCH", path, 403, {"content": "x"}).json()["code"] == "not_allowed"


def test_archive_and_restore(ada, grace):
    session = new(ada)
    path = f"/sessions/{session['id']}"
    let_in(ada, session, "grace", "admin")
    grace("DELETE", path, 403)
    assert ada("DELETE", path, 204).content == b""
    for caller in (ada, grace):
        caller("GET", path, 404)
        assert caller("GET", "/sessions", 200).json()["results"] == []
    assert [row["id"] for row in ada("GET", "/sessions?archived=true", 200).json()["results"]] == [session["id"]]
    assert grace("GET", "/sessions?archived=true", 200).json()["results"] == []
    grace("POST", f"{path}/restore", 404)
    assert ada("POST", f"{path}/restore", 200).json()["content"] == session["content"]
    grace("GET", path, 200)


def test_join(anybody, ada, grace):
    private, public = new(ada), new(ada, is_public=True)
    assert grace("GET", f"/sessions/{public['id']}", 200).json()["permission"] == "read"
    joined = grace("POST", f"/sessions/{public['id']}/join", 200, {}).json()
    assert (set(joined), joined["permission"]) == (SESSION, "read")
    grace("POST", f"/sessions/{private['id']}/join", 404, {})
    token = ada("POST", f"/sessions/{private['id']}/invites", 201).json()["token"]
    assert grace("POST", f"/sessions/{private['id']}/join", 404, {"invite": "x" * 22}).json()["code"] == (
        "invite_not_found"
    )
    joined = grace("POST", f"/sessions/{private['id']}/join", 200, {"invite": token}).json()
    assert joined["permission"] == "write"
    anybody("POST", f"/sessions/{private['id']}/join", 401, {"invite": token})


def test_collaborators(ada, grace):
    session = new(ada)
    path = f"/sessions/{session['id']}/collaborators"
    added = let_in(ada, session, "grace", "write")
    assert set(added) == {"user", "permission", "added_at"}
    assert (added["user"]["username"], added["permission"]) == ("grace", "write")
    assert ada("GET", path, 200).json() == [added]
    one = f"{path}/{added['user']['id']}"
    for permission in ("read", "admin"):
        assert ada("PATCH", one, 200, {"permission": permission}).json()["permission"] == permission
        assert grace("GET", f"/sessions/{session['id']}", 200).json()["permission"] == permission
    assert ada("PATCH", one, 400, {"permission": "owner"}).json()["code"] == "invalid"
    assert ada("DELETE", one, 204).content == b""
    grace("GET", f"/sessions/{session['id']}", 404)


def test_invites(ada, grace):
    session = new(ada)
    path = f"/sessions/{session['id']}/invites"
    made = ada("POST", path, 201, {"permission": "read", "expires_in": 3600, "uses": 1}).json()
    assert made["url"].endswith(f"/join/{made['token']}")
    assert len(base64.urlsafe_b64decode(made["token"] + "==")) == 16
    (listed,) = ada("GET", path, 200).json()
    assert set(made) - set(listed) == {"token", "url"}
    assert (listed["permission"], listed["uses_left"]) == ("read", 1) and listed["expires_at"]
    rotated = ada("POST", f"{path}/{made['id']}/rotate", 200).json()
    assert rotated["token"] != made["token"]
    join = f"/sessions/{session['id']}/join"
    assert grace("POST", join, 404, {"invite": made["token"]}).json()["code"] == "invite_not_found"
    assert grace("POST", join, 200, {"invite": rotated["token"]}).json()["permission"] == "read"
    grace("GET", path, 403)
    assert ada("DELETE", f"{path}/{made['id']}", 204).content == b""
    assert ada("GET", path, 200).json() == []


def test_leave_and_transfer(ada, grace):
    session = new(ada)
    path = f"/sessions/{session['id']}"
    assert ada("POST", f"{path}/leave", 409).json()["code"] == "owner_stays"
    assert ada("POST", f"{path}/transfer", 400, {"username": "grace"}).json()["code"] == "person_not_found"
    let_in(ada, session, "grace", "write")
    grace("POST", f"{path}/transfer", 403, {"username": "grace"})
    handed = ada("POST", f"{path}/transfer", 200, {"username": "grace"}).json()
    assert (set(handed), handed["permission"], handed["owner"]["username"]) == (SESSION, "admin", "grace")
    assert grace("GET", path, 200).json()["permission"] == "owner"
    assert ada("POST", f"{path}/leave", 204).content == b""
    ada("GET", path, 404)


def test_files_fork_and_import(ada, grace):
    session = new(ada, language="python", content="import more\n")
    path = f"/sessions/{session['id']}"
    (main,) = ada("GET", f"{path}/files", 200).json()
    assert (main["id"], main["path"], main["is_entry"]) == ("main", "main.py", True)
    answer = ada("POST", f"{path}/files", 201, {"path": "more.py", "content": "a = 1\n"})
    made = answer.json()
    assert set(made) == FILE and ada.client.get(answer["Location"]).json() == made
    one = f"{path}/files/{made['id']}"
    assert ada("PATCH", one, 200, {"path": "most.py"}).json()["path"] == "most.py"
    assert ada("PATCH", one, 200, {"content": "a = 2\n"}).json()["content"] == "a = 2\n"
    assert ada("POST", f"{path}/files", 409, {"path": "MOST.py"}).json()["code"] == "path_taken"
    grace("GET", f"{path}/files", 404)
    grace("POST", f"{path}/fork", 404, {})

    ada("PATCH", path, 200, {"is_public": True})
    answer = grace("POST", f"{path}/fork", 201, {"title": "Mine"})
    fork = answer.json()
    assert (set(fork), fork["permission"], fork["forked_from"]) == (SESSION, "owner", session["id"])
    assert (fork["title"], fork["is_public"], fork["content"]) == ("Mine", False, "import more\n")
    assert [file["path"] for file in grace("GET", f"/sessions/{fork['id']}/files", 200).json()] == [
        "main.py",
        "most.py",
    ]
    assert session["id"] in [row["id"] for row in grace("GET", "/sessions/public", 200).json()["results"]]

    archive = ada("GET", f"{path}/export.zip", 200).content
    target = f"{ada.base}/sessions/import{ada.slash}?title=Back"
    answer = ada.client.generic("POST", target, archive, content_type="application/zip")
    assert (answer.status_code, set(answer.json()), answer.json()["title"]) == (201, SESSION, "Back")
    assert ada("DELETE", one, 204).content == b""
    ada("GET", one, 404)


def test_ticket(ada, grace):
    session = new(ada)
    made = ada("POST", f"/sessions/{session['id']}/ticket", 201).json()
    assert set(made) == {"ticket", "expires_in"} and made["expires_in"] == 30
    grace("POST", f"/sessions/{session['id']}/ticket", 404)


def test_export(ada, grace):
    session = new(ada, language="python", content="print(1)\n")
    answer = ada("GET", f"/sessions/{session['id']}/export.zip", 200)
    assert answer["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"main.py": b"print(1)\n"}
    grace("GET", f"/sessions/{session['id']}/export.zip", 404)


# /execute


def test_execute_without_waiting(anybody, ada, python_runs):
    body = {"language": "python", "code": "print(6 * 7)"}
    answer = ada("POST", "/execute", 202, body)
    assert set(answer.json()) == RUN
    assert answer.json()["status"] == "queued"
    assert ada.client.get(answer["Location"]).json() == answer.json()
    assert ada("GET", f"/execute/status/{answer.json()['job_id']}", 200).json() == answer.json()
    anybody("POST", "/execute", 401, body)
    for wrong in ({}, {"code": "x"}, {"language": "klingon", "code": "x"}, {"language": "python"}):
        ada("POST", "/execute", 400, wrong)
    assert ada("POST", "/execute", 503, {"language": "c", "code": "x"}).json()["code"] == "language_unavailable"
    ada("POST", "/execute?wait=31", 400, body)
    ada("POST", "/execute?hurry=1", 400, body)


def test_an_idempotency_key_makes_one_run(ada, grace, python_runs):
    body = {"language": "python", "code": "print(1)"}
    first = ada("POST", "/execute", 202, body, Idempotency_Key="k1").json()
    assert ada("POST", "/execute", 202, body, Idempotency_Key="k1").json() == first
    other = ada("POST", "/execute", 422, {**body, "code": "print(2)"}, Idempotency_Key="k1")
    assert other.json()["code"] == "idempotency_key_reused"
    # A key is its sender's own.
    assert grace("POST", "/execute", 202, body, Idempotency_Key="k1").json()["job_id"] != first["job_id"]


def test_a_run_is_looked_at_stopped_and_remembered(ada, grace, python_runs):
    session = new(ada, language="python", content="print('text')\n")
    job = ada("POST", "/execute", 202, {"session_id": session["id"]}).json()
    assert (job["session_id"], job["revision"], job["language"]) == (session["id"], 1, "python")
    piece = ada("GET", f"/execute/{job['job_id']}/output?from=0", 200).json()
    assert set(piece) == {"job_id", "stream", "from", "next", "total", "text", "data_base64"}
    assert (piece["from"], piece["next"], piece["total"], piece["text"]) == (0, 0, 0, "")
    ada("GET", f"/execute/{job['job_id']}/output?from=-1", 400)

    history = ada("GET", f"/execute/history/{session['id']}", 200).json()
    assert set(history) == PAGE
    assert [(set(row), row["job_id"]) for row in history["results"]] == [(RUN_SUMMARY, job["job_id"])]

    stopped = ada("POST", f"/execute/{job['job_id']}/cancel", 202).json()
    assert (set(stopped), stopped["status"]) == (RUN, "cancelled")
    for method, path in (
        ("GET", f"/execute/status/{job['job_id']}"),
        ("GET", f"/execute/{job['job_id']}/output"),
        ("POST", f"/execute/{job['job_id']}/cancel"),
        ("GET", f"/execute/history/{session['id']}"),
    ):
        grace(method, path, 404)
        ada(method, path.replace(job["job_id"], str(uuid.uuid4())).replace(session["id"], str(uuid.uuid4())), 404)


def test_languages(anybody, python_runs):
    rows = anybody("GET", "/execute/languages", 200).json()
    assert [set(row) for row in rows] == [LANGUAGE] * len(languages.LANGUAGES)
    assert {frozenset(row["limits"]) for row in rows} == {frozenset(LIMITS)}
    python = next(row for row in rows if row["key"] == "python")
    assert (python["available"], python["version"], python["file_name"]) == (True, "3.11", "main.py")
    assert {row["key"] for row in rows if row["available"]} == {"python"}


# Operations


def test_limits(anybody, ada, python_runs, settings):
    limits = ada("GET", "/limits", 200).json()
    assert set(limits) == {"rates", "runs", "sizes", "storage"}
    counts = {"active", "active_max", "running_max", "interactive_max", "submission_wall_ms"}
    assert set(limits["runs"]) == counts | {"limits_max", "interactive_limits_max"}
    assert set(limits["runs"]["limits_max"]) == set(limits["runs"]["interactive_limits_max"]) == LIMITS
    assert limits["runs"]["active"] == 0
    ada("POST", "/execute", 202, {"language": "python", "code": "print(1)"})
    assert ada("GET", "/limits", 200).json()["runs"]["active"] == 1
    assert anybody("GET", "/limits", 200).json()["runs"]["active"] == 0
    settings.RATE_LIMITS = True
    scopes = [[rate["scope"] for rate in caller("GET", "/limits", 200).json()["rates"]] for caller in (ada, anybody)]
    assert scopes == [["user", "run", "status", "chat"], ["anonymous", "register"]]


def test_operations(client, alice):
    assert client.get("/health").status_code == 200
    assert client.get("/health/ready").status_code in (200, 503)
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.1").status_code == 404
    assert client.get("/metrics").status_code == 200
    assert client.get("/api/schema").status_code == 200
    docs = client.get("/api/docs").content.decode()
    assert "https://" not in docs and "//cdn" not in docs


# What only a worker can show


def test_a_run_waited_for_has_the_whole_result(server):
    """On a real server, with its real worker and sandbox."""
    server.wait_for_languages()
    ada = server.person("ada")
    body = {"language": "python", "code": "import sys\nprint('héllo')\nprint('oh', file=sys.stderr)", "limits": {}}
    run = ada.call("POST", "/api/execute?wait=30", 200, json=body)
    assert set(run) == RUN
    assert (run["status"], run["exit_code"], run["signal"], run["truncated"]) == ("completed", 0, None, False)
    assert (run["stdout"], run["stderr"], run["compile_output"], run["cases"]) == ("héllo\n", "oh\n", "", [])
    assert set(run["stats"]) >= {"limit", "wall_ms", "cpu_ms", "memory_bytes", "queue_ms", "start"}
    assert set(run["stats"]) >= {"pids_limit_hit", "child_oom", "disk_full"}
    piece = ada.call("GET", f"/api/execute/{run['job_id']}/output?from=3", 200)
    assert (piece["text"], piece["from"], piece["next"], piece["total"]) == ("llo\n", 3, 7, 7)
    session = ada.new_session(content="print(input())\n")
    judged = ada.call(
        "POST",
        "/api/v1/execute?wait=30",
        200,
        json={"session_id": session["id"], "tests": [{"stdin": "a\n", "expected": "a\n"}, {"expected": "b"}]},
    )
    assert [case["verdict"] for case in judged["cases"]] == ["passed", "failed"]
    assert ada.call("GET", f"/api/execute/history/{session['id']}", 200)["results"][0]["job_id"] == judged["job_id"]
