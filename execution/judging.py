"""Whether what a program printed is what a test case expects. Pure: bytes in, a verdict out; it runs in the worker,
so that an expectation never enters the sandbox."""

from __future__ import annotations

import math
from enum import StrEnum
from itertools import zip_longest

# The verdicts of a case that ended by itself with exit code 0; any other has its final state as its verdict.
PASSED, WRONG_OUTPUT = "passed", "wrong_output"
# All that is told of a hidden case that was not passed.
FAILED = "failed"
# How far a printed number may be from the expected one, absolutely or relatively, whichever allows more.
FLOAT_TOLERANCE = 1e-6


class Checker(StrEnum):
    """`exact`: the same bytes. `lines`: the same lines but for white space at their ends and empty lines at the end.
    `tokens`: the same words, however they are separated. `floats`: the same words, numbers within FLOAT_TOLERANCE."""

    EXACT = "exact"
    LINES = "lines"
    TOKENS = "tokens"
    FLOATS = "floats"


def is_right(printed: bytes, expected: bytes, checker: Checker) -> bool:
    match checker:
        case Checker.EXACT:
            return printed == expected
        case Checker.LINES:
            return _lines(printed) == _lines(expected)
        case Checker.TOKENS:
            return printed.split() == expected.split()
        case Checker.FLOATS:
            pairs = zip_longest(printed.split(), expected.split())
            return all(_is_close(one, other) for one, other in pairs)


def _lines(text: bytes) -> list[bytes]:
    lines = [line.rstrip() for line in text.split(b"\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _is_close(one: bytes | None, other: bytes | None) -> bool:
    if one is None or other is None:
        return False
    if one == other:
        return True
    try:
        printed, expected = float(one), float(other)
    except ValueError:
        return False
    return math.isclose(printed, expected, rel_tol=FLOAT_TOLERANCE, abs_tol=FLOAT_TOLERANCE)
