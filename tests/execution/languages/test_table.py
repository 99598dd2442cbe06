"""The table of languages is whole: each row has its place, its image, its programs and a pattern that finds lines."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

import languages
from execution.sandbox.job import default_compile_limits, default_run_limits, prepare
from execution.sandbox.selftest import STARTER_OUTPUT, program
from languages import LANGUAGES, SELF_TESTS, Language
from languages.families import FAMILIES

FOLDER = Path(languages.__file__).parent
COMMON = ("python", "javascript", "c", "cpp", "java", "rust", "ruby", "go", "php", "perl", "lua", "bash")
# Their tools do not say where a program is wrong.
SILENT = {"brainfuck", "elisp", "r"}
PLACEHOLDERS = {"{entry}", "{sources}"}

rows = pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)


def test_there_are_at_least_45_languages_and_the_common_ones_come_first():
    assert len(LANGUAGES) >= 45
    assert tuple(LANGUAGES)[: len(COMMON)] == COMMON
    others = [language.name.lower() for language in LANGUAGES.values()][len(COMMON) :]
    assert others == sorted(others)


def test_a_name_means_one_language():
    names = [name for language in LANGUAGES.values() for name in (language.key, *language.aliases)]
    assert sorted(names) == sorted(set(names))
    assert all(name == name.lower() for name in names)
    shown = [language.name for language in LANGUAGES.values()]
    assert len(shown) == len(set(shown))


def test_a_language_is_found_by_key_and_alias_in_any_case():
    assert languages.get("PY") is LANGUAGES["python"]
    assert languages.get("c#") is LANGUAGES["csharp"]
    with pytest.raises(KeyError):
        languages.get("klingon")


@rows
def test_a_key_fits_where_keys_are_stored(language: Language):
    assert set(language.key) <= set(string.ascii_lowercase + string.digits)
    assert len(language.key) <= 32


@rows
def test_every_placeholder_is_resolved(language: Language):
    files = {language.file_name: b"", **{f"lib/more{suffix}": b"" for suffix in language.suffixes}}
    job = prepare(language, files)
    for step in (job.compile, job.run):
        if step is not None:
            assert not any("{" in word and "}" in word for word in step.argv)
            assert not {"sh", "bash", "dash"}.intersection(step.argv[:1]) or language.key in ("bash", "dash")
    given = {word for word in (*language.run, *(language.compile or ())) if word.startswith("{")}
    assert given <= {*PLACEHOLDERS, "{stem}"}
    assert given, "the program is nowhere in the argv"


@rows
def test_the_file_name_has_one_of_the_suffixes(language: Language):
    assert language.file_name.endswith(language.suffixes)


@rows
def test_limits_are_only_raised(language: Language):
    for limits, given in (
        (default_run_limits(language), language.run_limits),
        (default_compile_limits(language), language.compile_limits),
    ):
        for name, value in given.items():
            assert getattr(limits, name) == value
    assert default_run_limits(language).memory_bytes >= default_run_limits(LANGUAGES["c"]).memory_bytes


@rows
def test_the_language_has_an_image_with_packages(language: Language):
    assert FAMILIES[language.family].packages


def test_every_family_has_a_language_and_the_light_ones_are_built_first():
    assert {language.family for language in LANGUAGES.values()} == set(FAMILIES)
    weights = [family.light for family in FAMILIES.values()]
    assert weights == sorted(weights, reverse=True)
    assert all(FAMILIES[LANGUAGES[key].family].light for key in COMMON)


@rows
def test_the_language_has_its_self_test(language: Language):
    assert program(language, "greet")
    assert program(language, "broken")
    assert bool(program(language, "exit3")) == language.exits
    for path in (SELF_TESTS / language.key).iterdir():
        assert path.name in ("input.txt", "error.txt") or path.stem in ("greet", "broken", "exit3")


def test_no_self_test_is_left_without_its_language():
    assert {path.name for path in SELF_TESTS.iterdir()} == set(LANGUAGES)


def test_the_documented_table_is_this_one():
    page = (FOLDER / "README.md").read_text()
    page = page[page.index("## The table") : page.index("## Images")]
    listed = re.findall(r"^\| (.+?) \| `(\w+)` \| [^|]+ \| (\w+) \|", page, re.MULTILINE)
    assert listed == [(language.name, language.key, language.family) for language in LANGUAGES.values()]


def test_the_editor_names_no_other_language():
    source = (FOLDER / "editor.ts").read_text()
    loaders = source[source.index("const loaders") : source.index("const narrow")]
    narrow = source[source.index("const narrow") : source.index("export const")]
    named = {*re.findall(r"^  (\w+)(?=:|,$)", loaders, re.MULTILINE), *re.findall(r'"(\w+)"', narrow)}
    assert named <= set(LANGUAGES)
    assert {"python", "lua", "zsh"} <= named


@rows
def test_the_starter_is_small_and_greets(language: Language):
    assert language.hello.endswith("\n")
    assert len(language.hello.splitlines()) <= 40
    if language.key != "brainfuck":
        for name in re.findall(rb"\w+(?=!)", STARTER_OUTPUT):
            assert name.decode() in language.hello


@rows
def test_the_pattern_finds_the_line_in_what_the_tool_said(language: Language):
    said = (SELF_TESTS / language.key / "error.txt").read_text()
    if language.key in SILENT:
        assert language.error_line is None
        return
    assert language.error_line is not None
    found = re.search(language.error_line, said, re.MULTILINE)
    assert found is not None
    lines = (program(language, "broken") or b"").decode().count("\n")
    # An end that comes too early is reported behind the last line.
    assert 1 <= int(found["line"]) <= lines + 1
    assert found.groupdict().get("file") in (None, language.file_name)
