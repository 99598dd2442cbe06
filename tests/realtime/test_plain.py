"""The arithmetic of deltas: every rule against a slow and obvious one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.wire import plain
from realtime.wire.plain import Op
from sessions_app.document import changes, diff
from sessions_app.document.opening import Limits
from sessions_app.document.replica import Replica

TEXTS = st.text(st.sampled_from("ab\n é日😀👩"), max_size=12)


@st.composite
def deltas(draw, text):
    """A delta of this text in code points."""
    ops, left = [], len(text)
    for _ in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(["retain", "insert", "delete"]))
        if kind == "insert":
            inserted = draw(st.text(st.sampled_from("xyzé😀"), min_size=1, max_size=3))
            ops.append(Op("insert", len(inserted), inserted))
        elif left and (length := draw(st.integers(0, left))):
            ops.append(Op(kind, length))
            left -= length
    return ops


TEXT_AND_TWO = TEXTS.flatmap(lambda text: st.tuples(st.just(text), deltas(text), deltas(text)))


def parts(text, ops):
    """(what is inserted before each character and at the end, the characters that are deleted)"""
    inserted, deleted, at = [""] * (len(text) + 1), set(), 0
    for kind, length, new in ops:
        if kind == "insert":
            inserted[at] += new
        else:
            if kind == "delete":
                deleted |= set(range(at, at + length))
            at += length
    return inserted, deleted


def both(text, first, second):
    one, other = parts(text, first), parts(text, second)
    gone = one[1] | other[1]
    kept = ["" if number in gone else character for number, character in enumerate(text)]
    return "".join(a + b + c for a, b, c in zip(one[0], other[0], [*kept, ""], strict=True))


@given(TEXT_AND_TWO)
def test_of_two_changes_made_at_once_each_does_what_it_was_meant_to(drawn):
    text, first, second = drawn
    after = plain.apply(text, first)
    assert plain.apply(after, plain.transform(second, first)) == both(text, first, second)


@given(TEXTS.flatmap(lambda text: st.tuples(st.just(text), deltas(text))))
def test_a_delta_is_the_same_change_in_every_unit(drawn):
    text, ops = drawn
    expected = plain.apply(text, ops)
    in_utf16 = plain.to_utf16(ops, text)
    assert plain.apply(text, plain.to_code_points(in_utf16, text)) == expected
    encoded, at, new = text.encode("utf-16-le"), 0, b""
    for kind, length, inserted in in_utf16:
        new += inserted.encode("utf-16-le") if kind == "insert" else b""
        new += encoded[2 * at : 2 * (at + length)] if kind == "retain" else b""
        at += 0 if kind == "insert" else length
    assert (new + encoded[2 * at :]).decode("utf-16-le") == expected
    edits = plain.to_edits(ops, text)
    changed = bytearray(text.encode())
    for edit in reversed(edits):
        changed[edit.start : edit.start + edit.delete] = edit.insert.encode()
    assert changed.decode() == expected
    replica = Replica(changes.seed(text, "main.py"), Limits(1 << 20, 1 << 23))
    replica.watch()
    replica.edit(edits)
    assert replica.text() == expected
    for delta in replica.take_deltas():
        assert plain.apply(text, plain.from_bytes(delta, text)) == expected
    replica.close()


@given(TEXTS, TEXTS)
def test_a_difference_as_a_delta_leads_to_the_new_text(old, new):
    assert plain.apply(old, plain.from_edits(diff.edits_between(old, new), old)) == new


@given(st.data(), TEXTS, st.sampled_from(plain.UNITS))
def test_change_made_at_any_remembered_version_lands_where_it_was_meant(data, text, unit):
    line = plain.Line(text)
    versions = [(line.version, text)]
    marked = "".join(f"{number}|" for number in range(4))
    line.take([Op("insert", len(marked), marked)])
    versions.append((line.version, line.text))
    for _ in range(data.draw(st.integers(0, 4))):
        # Anything happens behind the marks.
        tail = data.draw(deltas(line.text[len(marked) :]))
        line.take([Op("retain", len(marked)), *tail])
        versions.append((line.version, line.text))
    version, seen = data.draw(st.sampled_from(versions[1:]))
    at = seen.index("2|")
    here = at if unit == "code_points" else plain.utf16_length(seen[:at])
    moved = line.rebase(plain.read_delta([{"retain": here}, {"insert": "😀!"}], unit), version, unit)
    assert "0|1|😀!2|3|" in plain.apply(line.text, moved)
    assert line.rebase_position(here, version, unit) == line.text.index("2|")


def test_forgotten_and_foreign_versions_are_no_versions():
    line, other = plain.Line("abc"), plain.Line("abc")
    first = line.version
    assert line.rebase([Op("insert", 1, "x")], first, "code_points")
    for version in (first + 1, first - 1, other.version, 0, -1, 2**53, 2**60):
        with pytest.raises(plain.VersionPassed):
            line.rebase([], version, "code_points")
    for _ in range(plain.MAX_STEPS + 1):
        line.take([Op("insert", 1, "x")])
    with pytest.raises(plain.VersionPassed):
        line.rebase([], first, "code_points")
    line.rebase([], first + 1, "code_points")
    with pytest.raises(plain.VersionPassed):
        # Many operations through many steps would keep everybody waiting.
        line.rebase([Op("insert", 1, "x"), Op("retain", 1)] * 500, line.version - 500, "code_points")
    for _ in range(3):
        line.take([Op("retain", 1), Op("insert", 1, "x")] * (plain.MAX_REMEMBERED_OPERATIONS // 4))
    with pytest.raises(plain.VersionPassed):
        line.rebase([], line.version - 3, "code_points")
    assert line.version < 2**53


def test_change_is_found_again_by_its_key():
    line = plain.Line("")
    start = line.version
    for key in (("u", "1"), None, ("u", "2")):
        line.take([Op("insert", 1, "x")], key)
    assert line.version_of(("u", "2"), start) == start + 3
    assert line.version_of(("u", "1"), start + 1) is None
    assert line.version_of(("v", "1"), start) is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        "x",
        [1],
        [{}],
        [{"retain": 1, "insert": "x"}],
        [{"retain": -1}],
        [{"retain": 1.0}],
        [{"retain": True}],
        [{"retain": 2**40}],
        [{"delete": "1"}],
        [{"insert": 1}],
        [{"insert": "\ud83d"}],
        [{"insert": "a\rb"}],
        [{"move": 1}],
        [{"insert": "x", "attributes": {}}],
        [{"retain": 1}] * (plain.MAX_OPERATIONS + 1),
    ],
)
def test_what_is_no_delta_is_refused(value):
    with pytest.raises(plain.BadDelta):
        plain.read_delta(value, "utf16")


def test_change_that_does_not_fit_its_text_is_refused():
    line = plain.Line("a😀")
    for unit, length in (("code_points", 3), ("utf16", 4)):
        with pytest.raises(plain.BadDelta):
            line.rebase([Op("delete", length)], line.version, unit)
        line.rebase([Op("delete", length - 1)], line.version, unit)
    with pytest.raises(plain.BadDelta, match="surrogate"):
        line.rebase([Op("retain", 2), Op("insert", 1, "x")], line.version, "utf16")


def test_empty_operations_are_dropped_and_neighbours_joined():
    value = [
        {"retain": 0},
        {"insert": "a"},
        {"insert": ""},
        {"insert": "b"},
        {"delete": 1},
        {"delete": 0},
        {"retain": 5},
    ]
    assert plain.read_delta(value, "code_points") == [Op("insert", 2, "ab"), Op("delete", 1)]
