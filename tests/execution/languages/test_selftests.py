"""Every language that can run here passes its self-test in a real sandbox, and one that cannot says why."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from execution.sandbox.bubblewrap import BubblewrapBackend
from execution.sandbox.errors import SandboxFault
from execution.sandbox.job import Status
from execution.sandbox.selftest import program, run, self_test, try_program
from execution.sandbox.versions import ask_versions
from languages import LANGUAGES
from languages.families import FAMILIES
from tests.services.fixtures import START_SECONDS, missing

LIGHT = [key for key, language in LANGUAGES.items() if FAMILIES[language.family].light]
ALWAYS = {"python", "bash", "dash", "perl"}


@pytest.fixture(scope="module")
def bubblewrap():
    try:
        return BubblewrapBackend()
    except SandboxFault as fault:
        missing(str(fault))


@pytest.fixture(scope="module")
def found_here(bubblewrap):
    return ask_versions(bubblewrap)


@pytest.mark.timeout(START_SECONDS)
@pytest.mark.parametrize("key", LIGHT)
def test_a_light_language_passes_on_its_image(docker_backend, key):
    result = self_test(LANGUAGES[key], docker_backend)
    assert (result.ok, result.reason) == (True, "")


@pytest.mark.timeout(START_SECONDS)
@pytest.mark.xdist_group("bubblewrap")
def test_the_languages_of_this_host_pass_or_say_why_not(bubblewrap, found_here):
    """A package of the host may be broken; those that every installation has are not."""
    assert set(found_here) >= ALWAYS
    results = {result.key: result for result in run(found_here, bubblewrap)}
    assert {key: results[key].reason for key in ALWAYS} == dict.fromkeys(ALWAYS, "")
    assert {key: result.version for key, result in results.items()} == found_here
    assert all(result.ok or result.reason for result in results.values())


@pytest.mark.xdist_group("bubblewrap")
@pytest.mark.parametrize("key", ["r", "pascal"])
def test_a_language_with_settings_in_etc_passes_where_it_is_installed(bubblewrap, found_here, key):
    if key not in found_here:
        pytest.skip(f"{LANGUAGES[key].name} is not installed here")
    assert self_test(LANGUAGES[key], bubblewrap).reason == ""


@pytest.mark.xdist_group("bubblewrap")
@pytest.mark.parametrize("key", sorted(ALWAYS - {"dash"}))
def test_the_pattern_finds_the_line_that_is_wrong_today(bubblewrap, key):
    language = LANGUAGES[key]
    outcome, heard = try_program(language, program(language, "broken"), b"", bubblewrap)
    assert outcome.status is Status.FAILED
    assert re.search(language.error_line, heard.stderr.decode(), re.MULTILINE)["line"] == "2"


@pytest.mark.xdist_group("bubblewrap")
def test_a_language_without_its_tool_is_reported_with_the_reason(bubblewrap, monkeypatch):
    absent = replace(LANGUAGES["python"], version_argv=("no-such-interpreter", "--version"))
    result = self_test(absent, bubblewrap)
    assert not result.ok
    assert "no-such-interpreter" in result.reason


@pytest.mark.xdist_group("bubblewrap")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hello": "print('Goodbye')\n"}, "the starter program: completed"),
        ({"hello": "import sys; sys.exit(1)\n"}, "the starter program: failed"),
        ({"run": ("python3", "-c", "print('Hello, Ada!\\nHello, Grace!\\nHello, Linus!')", "{entry}")}, "greet"),
        ({"run": ("sh", "-c", 'python3 "$0" || exit 1', "{entry}")}, "exit3: failed, exit 1"),
        ({"run": ("sh", "-c", 'python3 "$0"; exit 0', "{entry}")}, "broken: completed"),
    ],
)
def test_what_goes_wrong_first_is_the_reason(bubblewrap, change, said):
    result = self_test(replace(LANGUAGES["python"], **change), bubblewrap)
    assert not result.ok
    assert result.reason.startswith(said)


@pytest.mark.xdist_group("bubblewrap")
def test_results_are_reported_one_by_one(bubblewrap):
    heard = []
    results = run(["python", "bash"], bubblewrap, heard.append)
    assert heard == results
    assert [result.key for result in results] == ["python", "bash"]
    assert "ok" in str(results[0])
