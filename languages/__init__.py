"""The table of languages: how each is compiled, run and greeted. Data only, without Django.

A language is one row here, its packages in families.py, and its programs in selftests/KEY/.
"""

from pathlib import Path

from languages import common, functional, managed, native, scripting
from languages.language import ARTIFACT_FOLDER, Language

__all__ = ["ARTIFACT_FOLDER", "LANGUAGES", "SELF_TESTS", "Language", "get"]

# One folder for each key, with the programs that prove that the language works.
SELF_TESTS = Path(__file__).parent / "selftests"

# The common ones first, in their own order, then all others by name.
_ROWS = (
    *common.ROWS,
    *sorted(
        (*scripting.ROWS, *native.ROWS, *managed.ROWS, *functional.ROWS),
        key=lambda row: row.name.lower(),
    ),
)

LANGUAGES: dict[str, Language] = {row.key: row for row in _ROWS}
_NAMES: dict[str, Language] = {name: row for row in _ROWS for name in (row.key, *row.aliases)}


def get(key_or_alias: str) -> Language:
    """The language of that key or alias, in any case; KeyError when there is none."""
    return _NAMES[key_or_alias.lower()]
