"""The table of languages and what makes a job of one of its rows."""

from __future__ import annotations

import pytest

import languages
from execution.sandbox.errors import InvalidJob
from execution.sandbox.job import MAX_ARGUMENTS, default_compile_limits, default_run_limits, prepare
from execution.sandbox.limits import COMPILE, RUN, Limits
from languages import LANGUAGES


def test_languages_answer_to_their_names():
    assert languages.get("JS") is languages.get("node") is LANGUAGES["javascript"]
    assert languages.get("c++").key == "cpp"
    with pytest.raises(KeyError):
        languages.get("klingon")


def test_names_are_unique():
    names = [name for row in LANGUAGES.values() for name in (row.key, *row.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("row", LANGUAGES.values(), ids=LANGUAGES)
def test_each_row_makes_a_job(row):
    job = prepare(row, {row.file_name: row.hello.encode()})
    words = [*job.run.argv, *(job.compile.argv if job.compile else ())]
    assert not any("{" in word for word in words)
    assert (job.compile is None) == (row.compile is None)
    assert default_run_limits(row).memory_bytes >= RUN.memory_bytes
    assert default_compile_limits(row).memory_bytes >= COMPILE.memory_bytes
    assert row.file_name.endswith(row.suffixes)


def test_the_entry_comes_first_and_only_sources_are_compiled():
    row = LANGUAGES["c"]
    argv = row.compile_argv("main.c", ["a.c", "main.c", "a.h", "lib/b.c", "notes.txt"])
    assert argv[argv.index("main.c") :] == ("main.c", "a.c", "lib/b.c", "-lm")


def test_a_file_named_like_an_option_stays_a_file():
    assert LANGUAGES["python"].run_argv("-c.py", []) == ("python3", "./-c.py")


def test_a_java_class_is_named_after_its_file():
    assert LANGUAGES["java"].run_argv("Tool.java", [])[-1] == "Tool"


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ({}, "entry"),
        ({"other.py": b""}, "entry"),
        ({"main.py": b"", "../x": b""}, "relative"),
        ({"main.py": b"", "\ud800": b""}, "UTF-8"),
        ({"main.py": b"", "a": b"", "a/b": b""}, "both"),
        ({"main.py": b"", ".build/program": b""}, "compiler"),
        ({"main.py": b"", **{f"f{n}": b"" for n in range(600)}}, "more than"),
        ({"main.py": b"x" * (40 << 20)}, "fit"),
    ],
)
def test_files_that_no_sandbox_can_take_are_refused(files, word):
    with pytest.raises(InvalidJob, match=word):
        prepare(LANGUAGES["python"], files)


@pytest.mark.parametrize("args", [("a\0b",), ("\ud800",), ("x" * 5000,), ("x",) * (MAX_ARGUMENTS + 1)])
def test_arguments_are_bounded(args):
    with pytest.raises(InvalidJob):
        prepare(LANGUAGES["python"], {"main.py": b""}, args=args)


def test_limits_are_above_zero():
    with pytest.raises(ValueError, match="cpu_ms"):
        Limits(0, 1, 1, 1, 1, 1)
