"""Runs through the front door: a real server, its real worker, a real sandbox."""

from __future__ import annotations

import base64
import json
import sqlite3
import subprocess
import sys
import time
import uuid
from contextlib import closing

import pytest
from websockets.sync.client import connect

from tests.live import DATABASE_FILE, ROOT, LiveServer, Person, free_port


@pytest.fixture(scope="module")
def live(server: LiveServer) -> LiveServer:
    server.wait_for_languages()
    return server


@pytest.fixture(scope="module")
def alice(live: LiveServer) -> Person:
    return live.person("alice")


def run(person: Person, **request: object) -> dict:
    """Submit and wait for the end."""
    return person.call("POST", "/api/execute?wait=30", 200, json=request)


def wait_until(person: Person, job_id: str, *states: str) -> dict:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = person.call("GET", f"/api/execute/status/{job_id}", 200)
        if found["status"] in states:
            return found
        time.sleep(0.05)
    raise AssertionError(found)


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "print('Hello,', input() + '!')"),
        (
            "c",
            '#include <stdio.h>\nint main(void) { char n[99]; scanf("%98s", n); printf("Hello, %s!\\n", n); }',
        ),
        ("javascript", "console.log('Hello, ' + require('fs').readFileSync(0, 'utf8').trim() + '!')"),
    ],
)
def test_a_program_reads_its_input_and_prints(language, code, alice):
    done = run(alice, language=language, code=code, stdin="Ada\n")
    assert (done["status"], done["exit_code"], done["stdout"]) == ("completed", 0, "Hello, Ada!\n"), done
    assert done["stats"]["wall_ms"] >= 0 and done["stats"]["memory_bytes"] > 0
    assert done["finished_at"] >= done["started_at"] >= done["created_at"]


def test_the_answer_is_202_with_a_location_that_leads_to_the_result(alice):
    answer = alice.http.post("/api/execute", json={"language": "python", "code": "print(6 * 7)"})
    assert answer.status_code == 202
    assert answer.json()["status"] in ("queued", "running")
    assert answer.headers["Location"] == f"/api/execute/status/{answer.json()['job_id']}"
    assert wait_until(alice, answer.json()["job_id"], "completed")["stdout"] == "42\n"


def test_every_final_state_is_told_apart(alice):
    assert run(alice, language="python", code="raise SystemExit(3)")["exit_code"] == 3
    crashed = run(alice, language="python", code="import os; os.kill(os.getpid(), 11)")
    assert (crashed["status"], crashed["signal"]) == ("failed", "SIGSEGV")
    broken = run(alice, language="c", code="int main(void) { return nothing; }")
    assert broken["status"] == "compile_error" and "nothing" in broken["compile_output"]
    slow = run(alice, language="python", code="print('kept', flush=True)\nwhile True: pass", limits={"cpu_ms": 300})
    assert (slow["status"], slow["stats"]["limit"], slow["stdout"]) == ("timed_out", "cpu", "kept\n")
    asleep = run(alice, language="python", code="import time; time.sleep(60)", limits={"wall_ms": 500})
    assert (asleep["status"], asleep["stats"]["limit"]) == ("timed_out", "wall")
    greedy = run(alice, language="python", code="x = bytearray(400_000_000)\nx[::4096] = b'a' * len(x[::4096])")
    assert greedy["status"] == "out_of_memory"
    loud = run(alice, language="python", code="while True: print('x' * 999)")
    assert (loud["status"], loud["truncated"]) == ("output_limit", True)
    assert len(loud["stdout"]) <= 1024 * 1024 + 1000


def test_output_that_is_no_text_arrives_exactly(alice):
    data = bytes(range(256))
    done = run(alice, language="python", code=f"import sys; sys.stdout.buffer.write({data!r})")
    assert base64.b64decode(done["stdout_base64"]) == data
    piece = alice.call("GET", f"/api/execute/{done['job_id']}/output?from=100", 200)
    assert base64.b64decode(piece["data_base64"]) == data[100:]
    assert (piece["next"], piece["total"]) == (256, 256)


def test_several_files_and_arguments_reach_the_program(alice):
    files = [
        {"path": "main.py", "content": "import sys\nfrom pack.more import word\nprint(word, sys.argv[1:])\n"},
        {"path": "pack/more.py", "content": "word = 'more'\n"},
        {"path": "data.bin", "content_base64": base64.b64encode(b"\0\xff").decode()},
    ]
    done = run(alice, language="python", files=files, args=["a b", "$(id)"])
    assert done["stdout"] == "more ['a b', '$(id)']\n"


def test_the_sessions_saved_text_runs_and_its_revision_is_kept(alice):
    session = alice.new_session(content="print('from the document')\n")
    done = run(alice, session_id=session["id"])
    assert (done["stdout"], done["revision"]) == ("from the document\n", 1)
    alice.call("PATCH", f"/api/sessions/{session['id']}", 200, json={"content": "print('changed')\n"})
    again = run(alice, session_id=session["id"])
    assert (again["stdout"], again["revision"]) == ("changed\n", 2)
    sent = run(alice, session_id=session["id"], code="print('sent along')\n")
    assert (sent["stdout"], sent["revision"]) == ("sent along\n", None)
    history = alice.call("GET", f"/api/execute/history/{session['id']}", 200)["results"]
    assert [row["job_id"] for row in history] == [sent["job_id"], again["job_id"], done["job_id"]]
    assert "stdout" not in history[0]


def test_a_running_program_is_stopped_and_what_it_printed_is_kept(alice):
    code = "import time\nprint('begun', flush=True)\ntime.sleep(60)"
    job = alice.call("POST", "/api/execute", 202, json={"language": "python", "code": code})["job_id"]
    wait_until(alice, job, "running")
    deadline = time.monotonic() + 10
    while not alice.call("GET", f"/api/execute/{job}/output", 200)["total"] and time.monotonic() < deadline:
        time.sleep(0.05)
    alice.call("POST", f"/api/execute/{job}/cancel", 202)
    ended = wait_until(alice, job, "cancelled", "completed", "failed", "timed_out")
    assert (ended["status"], ended["stdout"]) == ("cancelled", "begun\n")
    assert ended["cancelled_by"]["username"] == alice.username
    assert alice.call("POST", f"/api/execute/{job}/cancel", 202)["status"] == "cancelled"


def test_output_is_announced_as_it_is_printed_while_nothing_can_be_stored(alice, live):
    code = "import time\nfor step in range(1, 6):\n    print('line', step, flush=True)\n    time.sleep(0.3)\n"
    session = alice.new_session(content=code)
    database = sqlite3.connect(live.data_dir / DATABASE_FILE, isolation_level=None)
    room = connect(alice.socket_url(session["id"]), additional_headers=alice.headers, subprotocols=["codecrafter.v1"])
    printed = b""
    with closing(database), room as socket:
        job = alice.call("POST", "/api/execute", 202, json={"session_id": session["id"]})["job_id"]
        while b"line 5\n" not in printed:
            # Shorter than the server waits for its database.
            frame = socket.recv(timeout=10)
            message = json.loads(frame) if isinstance(frame, str) else {}
            if message.get("type") != "run.output":
                continue
            if not printed:
                database.execute("BEGIN IMMEDIATE")
            assert message["offset"] == len(printed)
            printed += base64.b64decode(message["data_base64"])
        database.execute("ROLLBACK")
    assert wait_until(alice, job, "completed", "error")["stdout"].encode() == printed


def test_a_person_types_into_a_running_program(alice):
    code = "name = input('Who? ')\nprint('Hello,', name)\nprint('last', input())"
    job = alice.call("POST", "/api/execute", 202, json={"language": "python", "code": code, "interactive": True})[
        "job_id"
    ]
    alice.call("POST", f"/api/execute/{job}/input", 204, json={"text": "Ada\n"})
    alice.call("POST", f"/api/execute/{job}/input", 204, json={"text": "words\n", "eof": True})
    done = wait_until(alice, job, "completed", "failed", "timed_out", "error")
    assert done["status"] == "completed", done
    assert done["stdout"] == "Who? Hello, Ada\nlast words\n"
    answer = alice.http.post(f"/api/execute/{job}/input", json={"text": "late\n"})
    assert (answer.status_code, answer.json()["code"]) == (409, "takes_no_input")


def test_the_same_idempotency_key_runs_once(alice):
    key = {"Idempotency-Key": uuid.uuid4().hex}
    body = {"language": "python", "code": "print(1)"}
    first = alice.http.post("/api/execute", json=body, headers=key).json()
    assert alice.http.post("/api/execute", json=body, headers=key).json()["job_id"] == first["job_id"]
    other = alice.http.post("/api/execute", json={**body, "code": "print(2)"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"language": "klingon", "code": "x"}, "language"),
        ({"code": "x"}, "language"),
        ({"language": "python"}, "code"),
        ({"language": "python", "code": "x", "files": [{"path": "main.py", "content": ""}]}, "code"),
        ({"language": "python", "code": "x" * (512 * 1024 + 1)}, "code"),
        ({"language": "python", "files": [{"path": "../main.py", "content": ""}]}, "files.0.path"),
        ({"language": "python", "files": [{"path": "/etc/passwd", "content": ""}]}, "files.0.path"),
        ({"language": "python", "files": [{"path": "a", "content": ""}, {"path": "a", "content": ""}]}, "files"),
        ({"language": "python", "files": [{"path": "a", "content_base64": "?"}]}, "files.0"),
        ({"language": "python", "files": [{"path": "a", "content": ""}, {"path": "b", "content": ""}]}, "files"),
        ({"language": "python", "code": "x", "limits": {"cpu_ms": 10**9}}, "limits.cpu_ms"),
        ({"language": "python", "code": "x", "limits": {"cpu_ms": -1}}, "limits.cpu_ms"),
        ({"language": "python", "code": "x", "args": ["\0"]}, "args"),
        ({"language": "python", "code": "x", "session_id": "no"}, "session_id"),
    ],
)
def test_a_bad_request_names_the_field(body, field, alice):
    problem = alice.call("POST", "/api/execute", 400, json=body)
    assert problem["code"] == "invalid"
    assert field in problem["errors"], problem


def test_broken_json_and_unknown_parameters_are_refused(alice):
    answer = alice.http.post("/api/execute", content="{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")
    assert alice.http.post("/api/execute?sync=1", json={"language": "python", "code": "1"}).status_code == 400


def test_a_body_over_ten_megabytes_is_refused_before_it_is_read(alice):
    answer = alice.http.post(
        "/api/execute", content=b"[" + b" " * (10 * 1024 * 1024 + 1), headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_somebody_elses_run_looks_absent(alice, live):
    mallory = live.person("mallory")
    job = run(alice, language="python", code="print('secret')")["job_id"]
    for method, path in (
        ("GET", f"/api/execute/status/{job}"),
        ("GET", f"/api/execute/{job}/output"),
        ("POST", f"/api/execute/{job}/cancel"),
        ("POST", f"/api/execute/{job}/input"),
    ):
        assert mallory.call(method, path, 404, json={} if method == "POST" else None)["code"] == "run_not_found"


def test_languages_are_listed_with_the_version_that_runs(live):
    import httpx

    rows = {row["key"]: row for row in httpx.get(f"{live.url}/api/execute/languages").json()}
    assert {"python", "javascript", "c", "cpp", "java", "rust", "ruby", "go", "php", "perl", "lua", "bash"} <= set(rows)
    assert rows["python"]["available"] and rows["python"]["version"].startswith("3.")
    assert all(row["available"] == (row["version"] is not None) for row in rows.values())


def test_every_languages_hello_world_runs(alice, live):
    import httpx

    for row in httpx.get(f"{live.url}/api/execute/languages").json():
        if row["available"]:
            session = alice.new_session(language=row["key"])
            done = run(alice, session_id=session["id"])
            assert done["status"] == "completed" and done["stdout"].strip(), (row["key"], done)


def test_a_killed_servers_runs_are_finished_after_its_restart(tmp_path):
    with LiveServer(tmp_path / "data", {"WORKER_CONCURRENCY": "1"}) as live:
        live.wait_for_languages()
        alice = live.person("alice")
        code = "import time\ntime.sleep(1.5)\nprint('done')"
        jobs = [
            alice.call("POST", "/api/execute", 202, json={"language": "python", "code": code})["job_id"]
            for _ in range(3)
        ]
        wait_until(alice, jobs[0], "running")
        live.kill()
        live.start()
        for job in jobs:
            assert wait_until(alice, job, "completed", "error", "failed")["stdout"] == "done\n"


def test_archiving_stops_a_sessions_runs_and_their_owner_still_sees_them(alice):
    session = alice.new_session(content="import time\nprint('begun', flush=True)\ntime.sleep(14)\n")
    job = alice.call("POST", "/api/execute", 202, json={"session_id": session["id"]})["job_id"]
    wait_until(alice, job, "running")
    alice.call("DELETE", f"/api/sessions/{session['id']}", 204)
    assert wait_until(alice, job, "cancelled", "completed")["status"] == "cancelled"


def test_a_removed_collaborator_can_still_stop_what_they_started(alice, live):
    bob = live.person("bob")
    session = alice.new_session(content="import time\ntime.sleep(14)\n")
    alice.let_in(session["id"], bob)
    job = bob.call("POST", "/api/execute", 202, json={"session_id": session["id"]})["job_id"]
    wait_until(bob, job, "running")
    alice.call("DELETE", f"/api/sessions/{session['id']}/collaborators/{bob.id}", 204)
    bob.call("POST", f"/api/execute/{job}/cancel", 202)
    assert wait_until(bob, job, "cancelled", "completed")["status"] == "cancelled"
    bob.call("GET", f"/api/execute/history/{session['id']}", 404)


def test_a_person_with_many_runs_does_not_keep_others_waiting(alice, live):
    mallory = live.person("mallory")
    greedy = {"language": "python", "code": "import time; time.sleep(14)"}
    jobs = [mallory.call("POST", "/api/execute", 202, json=greedy)["job_id"] for _ in range(8)]
    done = run(alice, language="python", code="print('still served')")
    assert done["stdout"] == "still served\n"
    states = [mallory.call("GET", f"/api/execute/status/{job}", 200)["status"] for job in jobs]
    assert states.count("running") <= 4 and "queued" in states
    for job in jobs:
        mallory.call("POST", f"/api/execute/{job}/cancel", 202)


def test_a_persons_waiting_run_starts_when_another_of_theirs_ends(live):
    bob = live.person("bob")
    body = {"language": "python", "code": "import time; time.sleep(0.3); print('done')"}
    jobs = [bob.call("POST", "/api/execute", 202, json=body)["job_id"] for _ in range(7)]
    for job in jobs:
        assert wait_until(bob, job, "completed", "failed", "error")["stdout"] == "done\n"


def test_typed_input_is_bounded(alice):
    body = {"language": "python", "code": "import time; time.sleep(60)", "interactive": True}
    job = alice.call("POST", "/api/execute", 202, json=body)["job_id"]
    piece = {"text": "x" * 65536}
    for _ in range(16):
        alice.call("POST", f"/api/execute/{job}/input", 204, json=piece)
    assert alice.call("POST", f"/api/execute/{job}/input", 413, json=piece)["code"] == "too_much_input"
    alice.call("POST", f"/api/execute/{job}/cancel", 202)


@pytest.mark.parametrize(
    "files",
    [
        [{"path": "main.py", "content": ""}, {"path": "main.py/x", "content": ""}],
        [{"path": "main.py", "content_base64": "é"}],
    ],
)
def test_files_that_no_sandbox_could_hold_are_the_callers_mistake(files, alice):
    problem = alice.call("POST", "/api/execute", 400, json={"language": "python", "files": files})
    assert problem["code"] == "invalid"


def test_a_server_that_is_told_to_stop_does_not_wait_for_programs(tmp_path):
    with LiveServer(tmp_path / "data") as live:
        live.wait_for_languages()
        alice = live.person("alice")
        body = {"language": "python", "code": "import time; time.sleep(3); print('after all')", "interactive": True}
        slow = {"language": "python", "code": "import time; time.sleep(300)", "interactive": True}
        job = alice.call("POST", "/api/execute", 202, json=body)["job_id"]
        endless = alice.call("POST", "/api/execute", 202, json=slow)["job_id"]
        wait_until(alice, endless, "running")
        # LiveServer gives a process 30 s to end.
        assert live.stop() == 0
        live.start()
        assert wait_until(alice, job, "completed", "error")["stdout"] == "after all\n"
        alice.call("POST", f"/api/execute/{endless}/cancel", 202)
        assert wait_until(alice, endless, "cancelled", "error")["status"] == "cancelled"


def test_a_second_server_on_the_same_data_is_refused_before_it_touches_anything(tmp_path):
    with LiveServer(tmp_path / "data") as live:
        live.wait_for_languages()
        alice = live.person("alice")
        body = {"language": "python", "code": "import time; time.sleep(2); print('once')"}
        job = alice.call("POST", "/api/execute", 202, json=body)["job_id"]
        wait_until(alice, job, "running")
        other_port, other_data = str(free_port()), str(tmp_path / "other")
        for environment, words in (({"PORT": other_port}, "already runs on"), ({"DATA_DIR": other_data}, "is in use")):
            second = subprocess.run(
                [sys.executable, "manage.py", "up"],
                cwd=ROOT,
                env=live.environment | environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert second.returncode == 1
            assert words in second.stderr and "Traceback" not in second.stderr, second.stderr
        done = wait_until(alice, job, "completed", "error")
        assert (done["stdout"], done["status"]) == ("once\n", "completed")
