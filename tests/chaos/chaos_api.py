"""Many random requests to every call of the API (tests/api/test_schema.py sends the same few every time)."""

from __future__ import annotations

import os

# Read when the module below is imported.
os.environ.setdefault("API_EXAMPLES", "150")

from tests.api.test_schema import ids, operations, test_every_answer_is_documented_and_none_is_a_500

__all__ = ["ids", "operations", "test_every_answer_is_documented_and_none_is_a_500"]
