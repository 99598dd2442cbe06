"""Submissions with test cases, through the front door: compiled once, judged case by case, hidden ones kept hidden."""

from __future__ import annotations

import pytest

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


def test_a_hidden_case_shows_its_verdict_and_nothing_else_to_others(alice, live):
    bob = live.person("bob")
    session = alice.new_session(content=DOUBLE)
    alice.let_in(session["id"], bob)
    tests = [{"stdin": "1", "expected": "2"}, {"stdin": "7", "expected": "14", "hidden": True}]
    body = {"session_id": session["id"], "tests": tests}
    done = alice.call("POST", "/api/execute?wait=30", 200, json=body)
    assert done["cases"][1]["expected"] == "14"
    seen = bob.call("GET", f"/api/execute/status/{done['job_id']}", 200)
    assert verdicts(seen) == ["passed", "passed"]
    assert seen["cases"][0]["expected"] == "2"
    assert not {"stdin", "expected", "stdout", "stderr", "args"} & set(seen["cases"][1])


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


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"tests": []}, "tests"),
        ({"tests": [{}] * 101}, "tests"),
        ({"tests": [{"checker": "vibes"}]}, "tests.0.checker"),
        ({"tests": [{"args": ["\0"]}]}, "args"),
        ({"tests": [{}], "stdin": "x"}, "tests"),
        ({"tests": [{}], "interactive": True}, "tests"),
    ],
)
def test_wrong_tests_are_refused(extra, field, alice):
    problem = alice.call("POST", "/api/execute", 400, json={"language": "python", "code": "", **extra})
    assert field in problem["errors"], problem
