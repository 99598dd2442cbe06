"""Submissions with test cases, through the front door: compiled once, judged case by case, hidden ones kept hidden."""

from __future__ import annotations

import json
import time
from datetime import datetime

import pytest
from websockets import Subprotocol
from websockets.sync.client import connect

from tests.live import LiveServer, Person

DOUBLE = "n = int(input())\nprint(2 * n)\n"
DOUBLE_IN_C = '#include <stdio.h>\nint main(void) { int n; scanf("%d", &n); printf("%d\\n", 2 * n); }'


@pytest.fixture(scope="module")
def live(server: LiveServer) -> LiveServer:
    server.wait_for_languages()
    return server


@pytest.fixture(scope="module")
def alice(live: LiveServer) -> Person:
    return live.person("alice")


def judge(person: Person, code: str, tests: list[dict], language: str = "python", **request: object) -> dict:
    body = {"language": language, "code": code, "tests": tests, **request}
    return person.call("POST", "/api/execute?wait=30", 200, json=body)


def verdicts(run: dict) -> list[str | None]:
    return [case["verdict"] for case in run["cases"]]


@pytest.mark.parametrize(("language", "code"), [("python", DOUBLE), ("c", DOUBLE_IN_C)])
def test_each_case_gets_its_own_verdict(language, code, alice):
    tests = [{"stdin": f"{n}\n", "expected": f"{2 * n}\n"} for n in range(5)]
    tests.append({"name": "impossible", "stdin": "4\n", "expected": "9\n"})
    done = judge(alice, code, tests, language)
    assert done["status"] == "completed", done
    assert verdicts(done) == ["passed"] * 5 + ["wrong_output"]
    assert (done["stats"]["cases"], done["stats"]["cases_passed"]) == (6, 5)
    last = done["cases"][-1]
    assert (last["name"], last["stdout"], last["expected"], last["exit_code"]) == ("impossible", "8\n", "9\n", 0)


def test_what_stops_one_case_does_not_stop_the_next(alice):
    code = (
        "import sys\nwhat = input()\n"
        "if what == 'loop':\n    while True: pass\n"
        "if what == 'eat':\n    x = [b'x' * 10**6 for _ in range(10**6)]\n"
        "if what == 'fail': sys.exit(3)\n"
        "print(what)"
    )
    tests = [{"stdin": word, "expected": word} for word in ("fine", "loop", "eat", "fail", "fine")]
    done = judge(alice, code, tests, limits={"cpu_ms": 400})
    assert verdicts(done) == ["passed", "timed_out", "out_of_memory", "failed", "passed"], done
    assert done["status"] == "timed_out"
    assert done["cases"][3]["exit_code"] == 3


def test_nothing_of_one_case_reaches_the_next(alice):
    code = (
        "import os, pathlib\n"
        "for folder in ('.', '/tmp', '/dev/shm'):\n"
        "    mark = pathlib.Path(folder, 'mark')\n"
        "    print(mark.exists())\n"
        "    mark.write_text('left')\n"
        "if os.fork() == 0:\n    os.setsid()\n    import time\n    time.sleep(9)\n"
    )
    tests = [{"expected": "False\nFalse\nFalse\n"}] * 3
    assert verdicts(judge(alice, code, tests)) == ["passed"] * 3


def test_the_first_failure_ends_it_when_asked(alice):
    tests = [{"stdin": "1", "expected": "2"}, {"stdin": "1", "expected": "3"}, {"stdin": "2", "expected": "4"}]
    assert verdicts(judge(alice, DOUBLE, tests, stop_on_failure=True)) == ["passed", "wrong_output", None]


def test_a_program_that_does_not_compile_runs_no_case(alice):
    done = judge(alice, "int main(void) { oops }", [{"expected": ""}], "c")
    assert (done["status"], verdicts(done)) == ("compile_error", [None])
    assert "oops" in done["compile_output"]


# What it reads decides how it ends, how long it takes and how much it prints and uses.
TELLTALE = """
import os, sys, time
word = sys.stdin.read()
if word == "visible": print("visible"); sys.exit(0)
n = ord(word[0])
time.sleep(n / 400)
sum(range(n * 10_000))
room = bytearray(n * 200_000)
print("x" * n * 20_000)
if word[1] == "k": os.kill(os.getpid(), n % 2 + 10)
if word[1] == "l": open("/dev/stdout", "wb").write(b"x" * 2**21)
sys.exit(n if word[1] == "e" else 0)
"""


def told(person: Person, job_id: str) -> dict:
    """What somebody is told of it once it is over for them, less what differs between any two runs."""
    deadline = time.monotonic() + 30
    while (seen := person.call("GET", f"/api/execute/status/{job_id}", 200))["status"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return seen


def steady(value: object) -> object:
    """Without what two runs of the same program differ in: names, moments, what was measured of visible cases."""
    varies = {
        "job_id",
        "created_at",
        "started_at",
        "finished_at",
        "wall_ms",
        "cpu_ms",
        "memory_bytes",
        "processes_peak",
        "queue_ms",
        "start",
    }
    if isinstance(value, dict):
        return {name: steady(inner) for name, inner in value.items() if name not in varies}
    return [steady(inner) for inner in value] if isinstance(value, list) else value


def test_of_a_hidden_case_others_are_told_passed_or_failed_and_nothing_else(alice, live):
    bob = live.person("bob")
    session = alice.new_session(content=TELLTALE)
    alice.let_in(session["id"], bob)
    seen = []
    for word in ("\x20e", "\x7ee", "Ak", "~k", "Zl"):
        tests = [
            {"stdin": word, "hidden": True, "name": word[1:], "args": ["secret"]},
            {"stdin": "visible", "expected": "visible"},
        ]
        body = {"session_id": session["id"], "tests": tests, "limits": {"wall_ms": 5000}}
        done = alice.call("POST", "/api/execute?wait=30", 200, json=body)
        assert done["cases"][0]["stdin"] == word and done["status"] in ("failed", "output_limit")
        assert bob.call("GET", f"/api/execute/{done['job_id']}/output?case=1", 403)["code"] == "not_allowed"
        seen.append(told(bob, done["job_id"]))
        history = bob.call("GET", f"/api/execute/history/{session['id']}", 200)["results"][0]
        assert history == {name: seen[-1][name] for name in history}
    assert [steady(one) for one in seen] == [steady(seen[0])] * len(seen)
    one = seen[0]
    assert one["cases"][0] == {"number": 1, "hidden": True, "verdict": "failed"}
    assert (one["status"], one["exit_code"], one["truncated"]) == ("completed", 0, False)
    assert (one["stats"]["cases"], one["stats"]["cases_passed"], one["stats"]["output_bytes"]) == (2, 1, 8)
    for one in seen:
        begun, ended = (datetime.fromisoformat(one[name]) for name in ("started_at", "finished_at"))
        assert (ended - begun).total_seconds() in (1, 2, 4, 8, 16)
        assert (
            one["stats"]["memory_bytes"] < 12 * 2**20 and one["stats"]["wall_ms"] == one["cases"][1]["stats"]["wall_ms"]
        )


def test_the_room_hears_of_hidden_cases_no_more_and_no_sooner(alice, live):
    session = alice.new_session(content=TELLTALE)
    address, protocol = alice.socket_url(session["id"]), Subprotocol("codecrafter.json.v1")
    with connect(address, additional_headers=alice.headers, subprotocols=[protocol]) as room:
        room.send(json.dumps({"type": "join-session", "unit": "code_points"}))
        while json.loads(room.recv(timeout=30))["type"] != "state":
            pass
        body = {"session_id": session["id"], "tests": [{"stdin": " e", "hidden": True}, {"stdin": "visible"}]}
        job = alice.call("POST", "/api/execute?wait=30", 200, json=body)["job_id"]
        states = []
        while not states or states[-1]["finished_at"] is None:
            message = json.loads(room.recv(timeout=30))
            if message["type"] == "run.state" and message["run"]["job_id"] == job:
                states.append(message["run"])
            assert message["type"] != "run.output"
    assert [state["status"] for state in states] == ["queued", "running", "completed"]
    begun, ended = (datetime.fromisoformat(states[-1][name]) for name in ("started_at", "finished_at"))
    assert (ended - begun).total_seconds() in (1, 2, 4, 8)
    assert datetime.now(ended.tzinfo) >= ended
    assert states[-1]["exit_code"] == 0 and states[-1]["stats"]["cases_passed"] == 0


def test_a_hidden_case_shares_its_sandbox_with_no_other(alice):
    code = (
        "import os, sys\n"
        "for _ in range(ord(sys.stdin.read()[0])):\n"
        "    if (child := os.fork()) == 0: os._exit(0)\n"
        "    os.waitpid(child, 0)\n"
        "print(os.getpid())\n"
    )
    tests = [{"stdin": word, "hidden": is_hidden} for word, is_hidden in (("Z", True), ("A", True), ("\x01", False))]
    first = judge(alice, code, tests)["cases"]
    second = judge(alice, code, tests[::-1])["cases"]
    # Each of the children of another case would have taken a number.
    assert all(int(case["stdout"]) < ord("A") for case in (*first, *second)), first


def test_what_is_told_of_a_stopped_or_refused_run_says_nothing_of_its_hidden_cases(alice, live):
    bob = live.person("bob")
    session = alice.new_session(language="c")
    alice.let_in(session["id"], bob)
    body = {"session_id": session["id"], "code": "int main(void) { oops }", "tests": [{"stdin": "x", "hidden": True}]}
    job = alice.call("POST", "/api/execute?wait=30", 200, json=body)["job_id"]
    refused = bob.call("GET", f"/api/execute/status/{job}", 200)
    assert refused["status"] == "compile_error" and "oops" in refused["compile_output"]
    assert refused["cases"] == [{"number": 1, "hidden": True, "verdict": None}]
    slow = {"session_id": session["id"], "language": "python", "code": "import time; time.sleep(int(input()))"}
    tests = [{"stdin": "0", "hidden": True}, {"stdin": "30", "hidden": True}]
    job = alice.call("POST", "/api/execute", 202, json={**slow, "tests": tests})["job_id"]
    while alice.call("GET", f"/api/execute/status/{job}", 200)["cases"][0]["verdict"] is None:
        time.sleep(0.05)
    alice.call("POST", f"/api/execute/{job}/cancel", 202)
    stopped = told(bob, job)
    assert (stopped["status"], stopped["exit_code"], "cases_passed" in stopped["stats"]) == ("cancelled", None, False)
    # When it was stopped was somebody's choice; which cases had been passed by then would tell how long they took.
    assert verdicts(stopped) == [None, None]


def test_an_expectation_is_nowhere_in_the_sandbox(alice):
    code = (
        "import os, sys\n"
        "found = [name for name, value in os.environ.items() if 'QX7Z' in value]\n"
        "for folder, _, names in os.walk('/work'):\n"
        "    for name in names:\n"
        "        if name != 'main.py' and 'QX7Z' in open(os.path.join(folder, name), errors='replace').read():\n"
        "            found.append(name)\n"
        "print(found)"
    )
    done = judge(alice, code.replace("QX7Z", "QX' + '7Z"), [{"expected": "QX7Z", "hidden": True}])
    assert done["cases"][0]["stdout"] == "[]\n"


def test_name_that_others_read_is_one_line_without_hidden_characters(alice):
    assert judge(alice, "", [{"name": "one\u202e\r\ntwo"}])["cases"][0]["name"] == "one two"


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"tests": []}, "tests"),
        ({"tests": [{}] * 101}, "tests"),
        ({"tests": [{"checker": "vibes"}]}, "tests.0.checker"),
        ({"tests": [{"args": ["\0"]}]}, "args"),
        ({"tests": [{"args": ["x" * 4097]}]}, "args"),
        ({"tests": [{}], "stdin": "x"}, "tests"),
        ({"tests": [{}], "interactive": True}, "tests"),
    ],
)
def test_wrong_tests_are_refused(extra, field, alice):
    problem = alice.call("POST", "/api/execute", 400, json={"language": "python", "code": "", **extra})
    assert field in problem["errors"], problem
