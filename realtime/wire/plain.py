"""Deltas of one plain text, and the sequence of its versions: the arithmetic of codecrafter.json.v1. Pure.

A delta is a list of operations from the start of the text: keep so many characters, insert a text, delete so many;
what it does not reach is kept. Here characters are code points or UTF-16 units; sessions_app/document counts bytes.
"""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sessions_app.document.diff import Edit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sessions_app.messages import Unit

UNITS: tuple[Unit, ...] = ("code_points", "utf16")
MAX_OPERATIONS = 300
# What a line remembers: enough for a client that was away for seconds, little enough for thousands of rooms.
MAX_STEPS = 1000
MAX_REMEMBERED_OPERATIONS = 20_000
# Operations times steps that one change may cost: tens of milliseconds, in which the process does nothing else.
MAX_WORK = 50_000
MAX_LENGTH = 2**31


class BadDelta(ValueError):
    """The value is not a delta, or does not fit the text that it claims to be made for."""


class VersionPassed(LookupError):
    """This line does not remember the version."""


class Op(NamedTuple):
    kind: Literal["retain", "insert", "delete"]
    length: int
    text: str = ""


Ops = list[Op]


def read_delta(value: Any, unit: Unit) -> Ops:
    """Read the operations of a client's delta. Raises BadDelta."""
    if not isinstance(value, list):
        raise BadDelta("A delta is a list of operations.")
    if len(value) > MAX_OPERATIONS:
        raise BadDelta(f"A delta has at most {MAX_OPERATIONS} operations.")
    return _trimmed(op for op in (_read_op(item, unit) for item in value) if op.length)


def _read_op(item: Any, unit: Unit) -> Op:
    if not isinstance(item, dict) or len(item) != 1:
        raise BadDelta('An operation is {"retain": n}, {"insert": text} or {"delete": n}.')
    ((kind, given),) = item.items()
    if kind == "insert" and isinstance(given, str):
        if "\r" in given:
            raise BadDelta("Lines end with \\n here.")
        if any("\ud800" <= character <= "\udfff" for character in given):
            raise BadDelta("An inserted text holds half of a character.")
        return Op("insert", _units(given, unit), given)
    # True is an int to Python.
    if kind in ("retain", "delete") and type(given) is int and 0 <= given <= MAX_LENGTH:
        return Op(kind, given)
    raise BadDelta('An operation is {"retain": n}, {"insert": text} or {"delete": n}.')


def write_delta(ops: Iterable[Op]) -> list[dict[str, Any]]:
    return [{op.kind: op.text if op.kind == "insert" else op.length} for op in ops]


def apply(text: str, ops: Iterable[Op]) -> str:
    """Apply a delta in code points, which must fit the text."""
    parts: list[str] = []
    at = 0
    for kind, length, inserted in ops:
        if kind == "insert":
            parts.append(inserted)
            continue
        if kind == "retain":
            parts.append(text[at : at + length])
        at += length
    return "".join([*parts, text[at:]])


def transform(ops: Sequence[Op], applied: Sequence[Op]) -> Ops:
    """Change `ops` so that it can be applied after `applied`, which was made for the same text.

    Of two inserts at one place the applied one stays in front; what either deletes is deleted once.
    """
    found: Ops = []
    theirs = deque(applied)
    for op in ops:
        if op.kind == "insert":
            while theirs and theirs[0].kind == "insert":
                found.append(Op("retain", theirs.popleft().length))
            found.append(op)
            continue
        left = op.length
        while left:
            if not theirs:
                found.append(Op(op.kind, left))
                break
            other = theirs.popleft()
            if other.kind == "insert":
                found.append(Op("retain", other.length))
                continue
            length = min(left, other.length)
            if other.kind == "retain":
                found.append(Op(op.kind, length))
            if other.length > length:
                theirs.appendleft(Op(other.kind, other.length - length))
            left -= length
    return _trimmed(found)


def base_length(ops: Iterable[Op]) -> int:
    """Return the shortest length of a text that the delta fits."""
    return sum(op.length for op in ops if op.kind != "insert")


def from_bytes(delta: Iterable[dict[str, Any]], text: str) -> Ops:
    """Convert a delta of pycrdt, which counts UTF-8 bytes, to code points. Raises ValueError when it does not fit."""
    encoded = None if text.isascii() else text.encode()
    found: Ops = []
    at = 0
    for item in delta:
        if (inserted := item.get("insert")) is not None:
            if not isinstance(inserted, str):
                raise ValueError("not a text")
            found.append(Op("insert", len(inserted), inserted))
            continue
        size = item["retain"] if "retain" in item else item["delete"]
        length = size if encoded is None else len(encoded[at : at + size].decode())
        at += size
        found.append(Op("retain" if "retain" in item else "delete", length))
    if at > len(text if encoded is None else encoded):
        raise ValueError("longer than the text")
    return _trimmed(found)


def to_edits(ops: Iterable[Op], text: str) -> list[Edit]:
    """Convert a delta to replacements in bytes, from the start of the text to its end."""
    edits: list[Edit] = []
    at = byte = 0
    for kind, length, inserted in ops:
        if kind == "insert":
            edits.append(Edit(byte, 0, inserted))
            continue
        size = len(text[at : at + length].encode())
        if kind == "delete":
            edits.append(Edit(byte, size, ""))
        at += length
        byte += size
    return edits


def from_edits(edits: Iterable[Edit], text: str) -> Ops:
    """Convert replacements in bytes to a delta in code points."""
    encoded = text.encode()
    found: Ops = []
    at = 0
    for edit in edits:
        found.append(Op("retain", len(encoded[at : edit.start].decode())))
        found.append(Op("insert", len(edit.insert), edit.insert))
        at = edit.start + edit.delete
        found.append(Op("delete", len(encoded[edit.start : at].decode())))
    return _trimmed(found)


def to_utf16(ops: Iterable[Op], text: str) -> Ops:
    """Convert a delta of `text` from code points to UTF-16 units."""
    found: Ops = []
    at = 0
    for op in ops:
        if op.kind == "insert":
            found.append(Op("insert", utf16_length(op.text), op.text))
            continue
        found.append(op if text.isascii() else Op(op.kind, utf16_length(text[at : at + op.length])))
        at += op.length
    return found


def to_code_points(ops: Iterable[Op], text: str) -> Ops:
    """Convert a delta of `text` from UTF-16 units to code points. Raises BadDelta where it would cut a character."""
    encoded = text.encode("utf-16-le")
    found: Ops = []
    at = 0
    for op in ops:
        if op.kind == "insert":
            found.append(Op("insert", len(op.text), op.text))
            continue
        try:
            part = encoded[2 * at : 2 * (at + op.length)].decode("utf-16-le")
        except UnicodeDecodeError:
            raise BadDelta("A position lies inside a surrogate pair.") from None
        found.append(Op(op.kind, len(part)))
        at += op.length
    return found


@dataclass(slots=True)
class _Step:
    """One step of the line: the delta without its texts, in both units, and the length of the text before it."""

    ops: dict[Unit, Ops]
    length: dict[Unit, int]
    key: tuple[str, str] | None


class Line:
    """The versions of one text in one room: each is one more than the one before.

    They start at a random number far from every other line's, so that a version of another room, process or time is
    not mistaken for one of this line: it is not remembered.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        # Below 2**53, which every JSON reader takes; a million changes before two lines could meet.
        self.version = secrets.randbelow(2**32) << 20
        self._length: dict[Unit, int] = {"code_points": len(text), "utf16": utf16_length(text)}
        self._steps: deque[_Step] = deque()
        self._operations = 0

    def take(self, ops: Ops, key: tuple[str, str] | None = None) -> dict[Unit, Ops]:
        """Move on by a delta in code points; returns it in both units. `key` finds it again (version_of)."""
        in_both: dict[Unit, Ops] = {"code_points": ops, "utf16": to_utf16(ops, self.text)}
        bare = {unit: [Op(op.kind, op.length) for op in found] for unit, found in in_both.items()}
        self._steps.append(_Step(bare, dict(self._length), key))
        self._operations += len(ops)
        while len(self._steps) > MAX_STEPS or self._operations > MAX_REMEMBERED_OPERATIONS:
            self._operations -= len(self._steps.popleft().ops["code_points"])
        self.text = apply(self.text, ops)
        for unit, found in in_both.items():
            self._length[unit] += sum(_growth(op) for op in found)
        self.version += 1
        return in_both

    def rebase(self, ops: Ops, version: int, unit: Unit) -> Ops:
        """Move a delta made at `version` to the text as it is now, in code points. Raises VersionPassed or BadDelta."""
        steps = self._since(version)
        if len(ops) * len(steps) > MAX_WORK:
            raise VersionPassed
        length = steps[0].length[unit] if steps else self._length[unit]
        if base_length(ops) > length:
            raise BadDelta(f"The text of version {version} has {length} characters.")
        for step in steps:
            ops = transform(ops, step.ops[unit])
        if unit == "utf16" and self._length["utf16"] != len(self.text):
            return to_code_points(ops, self.text)
        return [op if op.kind != "insert" else Op("insert", len(op.text), op.text) for op in ops]

    def rebase_position(self, position: int, version: int, unit: Unit) -> int:
        """Move a place in the text of `version` to the text as it is now; it stays behind what was inserted there."""
        moved = self.rebase([Op("retain", position), Op("insert", 0)], version, unit)
        return moved[0].length if moved[0].kind == "retain" else 0

    def version_of(self, key: tuple[str, str], since: int) -> int | None:
        """Find the version that the delta of this key led to, among those after `since`. Raises VersionPassed."""
        steps = self._since(since)
        return next((since + number for number, step in enumerate(steps, 1) if step.key == key), None)

    def _since(self, version: int) -> list[_Step]:
        behind = self.version - version
        if not 0 <= behind <= len(self._steps):
            raise VersionPassed
        return list(islice(self._steps, len(self._steps) - behind, None)) if behind else []


def _trimmed(ops: Iterable[Op]) -> Ops:
    """Join neighbours of one kind; drop empty operations other than an insert of nothing, and a retain at the end."""
    found: Ops = []
    for op in ops:
        if not op.length and op.kind != "insert":
            continue
        if found and found[-1].kind == op.kind:
            found[-1] = Op(op.kind, found[-1].length + op.length, found[-1].text + op.text)
        else:
            found.append(op)
    while found and found[-1].kind == "retain":
        found.pop()
    return found


def _growth(op: Op) -> int:
    return op.length if op.kind == "insert" else -op.length if op.kind == "delete" else 0


def _units(text: str, unit: Unit) -> int:
    return len(text) if unit == "code_points" else utf16_length(text)


def utf16_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
