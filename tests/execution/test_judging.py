from __future__ import annotations

import pytest

from execution.judging import Checker, is_right


@pytest.mark.parametrize(
    ("checker", "printed", "expected", "right"),
    [
        ("exact", b"1\n", b"1\n", True),
        ("exact", b"1", b"1\n", False),
        ("exact", b"\xff\0", b"\xff\0", True),
        ("lines", b"1  \n2\r\n\n\n", b"1\n2", True),
        ("lines", b" 1\n2", b"1\n2", False),
        ("lines", b"1\n\n2", b"1\n2", False),
        ("lines", b"", b"\n", True),
        ("tokens", b"1 2\n3", b"1\n2   3\n", True),
        ("tokens", b"1 2", b"1 2 3", False),
        ("tokens", b"12", b"1 2", False),
        ("floats", b"0.3000000001", b"0.3", True),
        ("floats", b"1000000.5", b"1000000.0", True),
        ("floats", b"0.31", b"0.3", False),
        ("floats", b"sum: 1.0", b"sum: 1", True),
        ("floats", b"nan", b"1", False),
        ("floats", b"nan", b"nan", True),
        ("floats", b"inf", b"1e308", False),
        ("floats", b"1 2", b"1", False),
        ("floats", b"one", b"1", False),
    ],
)
def test_a_checker_decides_as_its_name_says(checker, printed, expected, right):
    assert is_right(printed, expected, Checker(checker)) is right
