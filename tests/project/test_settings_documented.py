"""Every variable that a deployment may set is in .env.example with a sentence, and nothing else is."""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = (ROOT / ".env.example").read_text()
VARIABLE = re.compile(r"^#?([A-Z][A-Z0-9_]*)=(.*)$")


def read_by_settings() -> set[str]:
    """The names in env.str("NAME", ...) and the like, and in secret_from("NAME", ...)."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / "codecrafter" / "settings.py").read_text())):
        if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
            continue
        called = ast.unparse(node.func)
        if called == "secret_from" or called.startswith("env."):
            names.add(str(node.args[0].value))
    return names


def read_by_compose() -> set[str]:
    return set(re.findall(r"(?<!\$)\$\{([A-Z_]+)[:}]", (ROOT / "docker-compose.yml").read_text()))


def documented() -> list[str]:
    return [match[1] for line in EXAMPLE.splitlines() if (match := VARIABLE.match(line))]


def test_every_variable_is_documented() -> None:
    assert read_by_settings() | read_by_compose() <= set(documented())


def test_nothing_else_is_documented() -> None:
    assert set(documented()) <= read_by_settings() | read_by_compose()


def test_each_is_there_once() -> None:
    assert len(documented()) == len(set(documented()))


def test_each_has_a_sentence_of_its_own() -> None:
    lines = EXAMPLE.splitlines()
    for before, line in itertools.pairwise(lines):
        if VARIABLE.match(line):
            assert re.fullmatch(r"# .+\.", before), line


def test_a_copy_of_the_file_changes_nothing() -> None:
    assert all(line.startswith("#") for line in EXAMPLE.splitlines() if line)
