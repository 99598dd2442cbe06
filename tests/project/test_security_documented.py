"""docs/security.md names files, tests and settings that exist."""

from __future__ import annotations

import re
from pathlib import Path

from django.conf import settings

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()
NAMED = set(re.findall(r"`([^`\n]+)`", TEXT))


def test_every_file_that_is_named_exists():
    paths = {name for name in NAMED if "/" in name and re.search(r"\.\w+$", name)}
    assert len(paths) > 60
    assert not sorted(path for path in paths if not (ROOT / path).exists())


def test_every_row_names_what_proves_it():
    rows = [line for line in TEXT.partition("## HTTP")[2].splitlines() if re.match(r"\| [A-Z]", line)]
    assert len(rows) > 30
    assert not [row for row in rows if not re.search(r"\| [^|]*`(tests|frontend/tests)/[^|]+\|$", row)]


def test_every_setting_that_is_named_exists():
    names = {name for name in NAMED if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", name)} - {"EDITS_MAX", "STEPS_MAX"}
    assert len(names) > 15
    variables = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert not sorted(name for name in names - variables if not hasattr(settings, name))
