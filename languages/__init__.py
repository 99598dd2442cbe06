"""The table of languages: how each is compiled and run, and its starter program. Data only, without Django.

A language consists of a row here, its packages in families.py, and its programs in selftests/KEY/.
"""

from pathlib import Path

from languages import common, functional, managed, native, scripting
from languages.language import ARTIFACT_FOLDER, Language

__all__ = ["ARTIFACT_FOLDER", "LANGUAGES", "SELF_TESTS", "Language", "get"]

# A folder for each key, with the programs that test the language.
SELF_TESTS = Path(__file__).parent / "selftests"

# Common languages first, in their own order, then all others by name.
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
    """Look up a language by key or alias, regardless of case. Raises KeyError."""
    return _NAMES[key_or_alias.lower()]
