"""What a submission may print is bounded as a whole: what is kept, what one answer weighs, what is in memory."""

from __future__ import annotations

import base64
import sqlite3
import tracemalloc
from contextlib import closing

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import privacy
from execution.models import Run, RunOutput, TestCase
from tests.live import DATABASE_FILE

MIB = 1024 * 1024
CASES = 8
# In JSON each takes six bytes.
FLOOD = b"\x01" * MIB


@pytest.fixture
def run(alice):
    return Run.objects.create(user=alice, language="python", status="completed", stdin=FLOOD)


def printed(run, stream: str, data: bytes, size: int = 64 * 1024) -> None:
    RunOutput.objects.bulk_create(
        RunOutput(run=run, stream=stream, offset=start, data=data[start : start + size])
        for start in range(0, len(data), size)
    )


def read_all(client, run, stream: str, **more) -> bytes:
    found, begin = b"", 0
    while True:
        answer = client.get(f"/api/execute/{run.pk}/output", {"stream": stream, "from": begin, **more})
        assert answer.status_code == 200 and len(answer.content) < MIB, answer.content[:200]
        piece = answer.json()
        found += base64.b64decode(piece["data_base64"])
        begin = piece["next"]
        if begin >= piece["total"]:
            return found


def test_all_cases_of_a_submission_keep_no_more_than_one_run_may_print(server):
    server.wait_for_languages()
    alice = server.person("alice")
    body = {
        "language": "python",
        "code": "import sys; sys.stdout.write(chr(1) * 2**20); sys.exit(int(input()))",
        "tests": [{"stdin": str(number % 2), "expected": "\x01" * 1000, "checker": "exact"} for number in range(CASES)],
    }
    answer = alice.http.post("/api/execute?wait=30", json=body)
    done = answer.json()
    assert [case["verdict"] for case in done["cases"]] == ["wrong_output", "failed"] * (CASES // 2)
    assert len(answer.content) < MIB
    assert all(case["truncated"] and case["stdout_truncated"] and case["stdout"] for case in done["cases"])
    assert sum(case["stdout_bytes"] for case in done["cases"]) <= MIB
    with closing(sqlite3.connect(server.data_dir / DATABASE_FILE)) as database:
        kept = "SELECT sum(length(stdout) + length(stderr)) FROM execution_testcase WHERE run_id = ?"
        assert 0.9 * MIB < database.execute(kept, [done["job_id"].replace("-", "")]).fetchone()[0] <= MIB


def test_a_case_is_judged_by_all_that_it_printed(server):
    server.wait_for_languages()
    alice = server.person("alice")
    code = "import sys; n = int(input()); print('x' * n + str(n)); print('trace', file=sys.stderr)"
    tests = [{"stdin": str(n), "expected": "x" * n + str(n)} for n in (400_000, 400_001, 400_002)]
    body = {"language": "python", "code": code, "tests": tests, "limits": {"output_bytes": 500_000}}
    done = alice.call("POST", "/api/execute?wait=30", 200, json=body)
    assert [case["verdict"] for case in done["cases"]] == ["passed"] * 3
    assert sum(case["stdout_bytes"] + case["stderr_bytes"] for case in done["cases"]) <= 500_000
    assert all(case["truncated"] and case["stderr"] == "trace\n" for case in done["cases"])


def test_an_answer_shows_the_beginning_and_says_so(run, alice, api):
    printed(run, "stdout", FLOOD)
    printed(run, "stderr", "é".encode() * 200_000)
    printed(run, "compile", b"\xff" + b"w" * 100)
    answer = api(alice).get(f"/api/execute/status/{run.pk}")
    body = answer.json()
    assert len(answer.content) < 256 * 1024
    assert FLOOD.startswith(body["stdout"].encode()) and len(body["stdout"]) > 9000
    assert (body["stdout_bytes"], body["stdout_truncated"]) == (MIB, True)
    assert set(body["stderr"]) == {"é"} and (body["stderr_bytes"], body["stderr_truncated"]) == (400_000, True)
    assert (body["compile_output_bytes"], body["compile_output_truncated"]) == (101, False)
    assert base64.b64decode(body["compile_output_base64"]) == b"\xff" + b"w" * 100


def test_a_status_of_a_hundred_cases_is_bounded_whatever_is_in_them(run, alice, api):
    TestCase.objects.bulk_create(
        TestCase(run=run, number=n, stdin=FLOOD[:40_000], expected=FLOOD[:40_000], stdout=FLOOD[:20_000],
                 args=["\x01" * 4000] * 8, checker="lines", verdict="passed")
        for n in range(1, 101)
    )  # fmt: skip
    answer = api(alice).get(f"/api/execute/status/{run.pk}")
    assert len(answer.content) < MIB
    case = answer.json()["cases"][99]
    assert case["stdin"] and case["stdin_truncated"] and case["stdin_bytes"] == 40_000
    assert case["args_truncated"] and (case["stdout_bytes"], case["stderr_truncated"]) == (20_000, False)


@pytest.mark.parametrize("size", [64 * 1024, MIB, 1])
def test_all_of_it_is_read_by_the_piece(run, alice, api, size):
    data = bytes(range(256)) * (2 if size == 1 else 1500)
    printed(run, "stdout", data, size)
    printed(run, "stderr", b"other")
    assert read_all(api(alice), run, "stdout") == data
    past = api(alice).get(f"/api/execute/{run.pk}/output?from={2**31 - 2}").json()
    assert (past["total"], past["data_base64"]) == (len(data), "")


def test_the_texts_of_a_case_are_read_by_the_piece(run, alice, api):
    TestCase.objects.create(run=run, number=1, checker="lines", stdin=b"in", expected=FLOOD, stdout=FLOOD[:300_000])
    for name, whole in (("stdin", b"in"), ("expected", FLOOD), ("stdout", FLOOD[:300_000]), ("stderr", b"")):
        assert read_all(api(alice), run, name, case=1) == whole
    assert api(alice).get(f"/api/execute/{run.pk}/output?case=2").status_code == 404
    assert api(alice).get(f"/api/execute/{run.pk}/output?case=1&stream=compile").status_code == 400
    assert api(alice).get(f"/api/execute/{run.pk}/output?from={2**31}").status_code == 400


def test_lists_and_states_of_runs_load_none_of_their_input_or_output(session, run, alice, api):
    Run.objects.filter(pk=run.pk).update(session=session)
    client = api(alice)
    for path in (f"/api/execute/history/{session.pk}", f"/api/execute/status/{run.pk}"):
        with CaptureQueriesContext(connection) as asked:
            assert client.get(path).status_code == 200
        assert not [query["sql"] for query in asked if '"execution_run"."stdin"' in query["sql"]]


def test_a_download_of_ones_data_holds_one_row_in_memory(run, alice):
    for _ in range(12):
        printed(Run.objects.create(user=alice, language="python", stdin=FLOOD), "stdout", FLOOD)
    tracemalloc.start()
    sent = sum(len(piece) for piece in privacy.archive(alice))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A row of a megabyte is there as bytes, as text and as JSON of six times its size.
    assert sent > 10_000 and peak < 24 * MIB
