"""The merge: seeds, smallest edits, guarded application, what is missing, what is too large."""

from __future__ import annotations

import contextlib
import random
from collections import Counter

import pycrdt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.document import blocks, changes, diff, rewrite, updates
from sessions_app.document.changes import SEED_CLIENT_ID
from sessions_app.document.diff import Edit
from sessions_app.document.errors import Broken, Early, HalfCharacter, Malformed, TooLarge
from sessions_app.document.opening import Limits
from sessions_app.document.replica import Replica
from sessions_app.document.texts import files_of, text_of
from tests.realtime import yjs

LIMITS = Limits(text_bytes=1000, document_bytes=20_000)
texts = st.text(st.sampled_from("ab \n\r\té😀\x00") | st.characters(), max_size=60)


class Typist:
    """Somebody's own document, and the updates that it made."""

    def __init__(self, seed: bytes) -> None:
        self.doc = pycrdt.Doc()
        self.doc.apply_update(seed)
        self.updates: list[bytes] = []
        self.doc.observe(lambda event: self.updates.append(event.update))
        self.text = self.doc.get("main", type=pycrdt.Text)


@given(texts)
def test_seed_holds_the_text_with_newlines_normalised_and_no_lone_surrogates(text):
    seen = text_of(changes.seed(text, "main.py"))
    assert seen == changes.normalise(text)
    assert "\r" not in seen
    assert files_of(changes.seed(text, "main.py")) == {"main.py": seen.encode()}


def test_lone_surrogates_become_replacement_characters_and_pairs_become_one():
    assert changes.normalise("a\ud800b\ud83d\ude00") == "a\ufffdb😀"


def test_the_same_seed_twice_does_not_double_the_text():
    seed = changes.seed("once", "main.py")
    assert text_of(updates.merge([seed, changes.seed("once", "main.py")])) == "once"


@given(texts, texts)
def test_replacement_leads_to_the_wanted_text(old, new):
    seed = changes.seed(old, "main.py")
    change = changes.replacement(seed, new)
    assert text_of(updates.merge([seed] + ([change] if change else []))) == changes.normalise(new)
    assert (change is None) == (changes.normalise(old) == changes.normalise(new))


@given(texts, texts)
def test_edits_never_split_a_code_point_and_touch_only_what_differs(old, new):
    old, new = changes.normalise(old), changes.normalise(new)
    data = old.encode()
    built, at = "", 0
    for edit in diff.edits_between(old, new):
        assert edit.delete or edit.insert
        built += data[at : edit.start].decode()
        data[edit.start : edit.start + edit.delete].decode()
        built += edit.insert
        at = edit.start + edit.delete
    assert built + data[at:].decode() == new


def test_one_changed_word_in_a_long_text_is_one_small_edit():
    lines = [f"line {number} of it\n" for number in range(5000)]
    changed = [*lines]
    changed[77] = "line 77 of THEM\n"
    changed.insert(3000, "a new line\n")
    edits = diff.edits_between("".join(lines), "".join(changed))
    assert sum(edit.delete + len(edit.insert) for edit in edits) < 30


@pytest.mark.parametrize("separator", ["\n", " "], ids=["lines", "words"])
def test_small_edits_far_apart_stay_small_in_a_text_that_is_split_in_portions(separator):
    parts = [f"part{number}" for number in range(30_000)]
    # One that is longer than a portion.
    parts[15_000] = "x" * 50_000
    changed = parts.copy()
    changed[10], changed[-10] = "first", "last"
    edits = diff.edits_between(separator.join(parts), separator.join(changed))
    assert [edit.insert for edit in edits] == ["first", "last"]


def test_replacement_keeps_what_somebody_else_typed_meanwhile():
    seed = changes.seed("def f():\n    return 1\n", "main.py")
    typist = Typist(seed)
    typist.text.insert(0, "# 😀 mine\n")
    change = changes.replacement(seed, "def f():\n    return 2\n")
    assert text_of(updates.merge([seed, change, *typist.updates])) == "# 😀 mine\ndef f():\n    return 2\n"


def test_replacement_survives_something_embedded_in_the_text():
    seed = changes.seed("é😀", "main.py")
    typist = Typist(seed)
    typist.text.insert_embed(2, {"image": "x"})
    merged = updates.merge([seed, *typist.updates])
    change = changes.replacement(merged, "é!😀")
    assert change
    assert text_of(updates.merge([merged, change])) == "é!😀"


def test_what_is_known_is_not_a_change():
    seed = changes.seed("x", "main.py")
    replica = Replica(seed, LIMITS)
    typist = Typist(seed)
    typist.text.insert(0, "ab")
    del typist.text[0:1]
    for update in typist.updates:
        assert replica.has_news(update)
        assert replica.apply(update) is not None
        assert not replica.has_news(update)
        assert replica.apply(update) is None
    assert not replica.has_news(typist.doc.get_update())
    replica.close()


def test_what_builds_on_absent_blocks_is_refused_whole_and_says_what_it_needs():
    seed = changes.seed("", "main.py")
    replica = Replica(seed, LIMITS)
    typist = Typist(seed)
    typist.text.insert(0, "a")
    typist.text.insert(1, "b")
    del typist.text[0:1]
    first, second, deletion = typist.updates
    state, everything = replica.state(), replica.diff()
    for update in (second, deletion, updates.merge([second, deletion])):
        with pytest.raises(Early) as early:
            replica.apply(update)
        assert early.value.needs == {typist.doc.client_id: 1}
        assert not replica.meets(early.value.needs)
        assert (replica.state(), replica.diff()) == (state, everything)
    for update in (first, second, deletion):
        replica.apply(update)
    assert replica.meets({typist.doc.client_id: 2})
    assert replica.text() == "b"
    replica.close()


def test_needs_are_all_named_at_once_and_those_of_few_clients():
    replica = Replica(changes.seed("x", "main.py"), LIMITS)
    # Text beside blocks of others, behind a gap in its own client's, and a deletion.
    scattered = yjs.update(
        {
            7: (
                0,
                [yjs.string("a", left=(50, 3)), yjs.string("b", left=(51, 0), right=(50, 9)), yjs.skip(4)],
            ),
            8: (5, [yjs.string("c", left=(7, 0)), yjs.skip(2), yjs.string("d", left=(1, 1))]),
        },
        {52: [(3, 4)], 7: [(0, 1)]},
    )
    with pytest.raises(Early) as early:
        replica.apply(scattered)
    assert early.value.needs == {50: 10, 51: 1, 52: 7, 8: 8}
    with pytest.raises(Early) as early:
        replica.apply(yjs.update({7: (0, [yjs.string("x", left=(100 + number, 0)) for number in range(1000)])}))
    assert len(early.value.needs) == 64
    replica.close()


def test_clocks_past_what_pycrdt_counts_and_blocks_on_themselves_are_refused():
    replica = Replica(changes.seed("x", "main.py"), LIMITS)
    most = 2**32 - 1
    for update in (
        yjs.update({77: (0, [yjs.gc(most), yjs.gc(5)])}),
        yjs.update({77: (most, [yjs.string("ab", left=(1, 1))])}),
        yjs.update({77: (0, [yjs.skip(most), yjs.skip(most)])}),
        yjs.update({}, {1: [(most, 5)]}),
        yjs.update({77: (0, [yjs.string("a", left=(77, 0))])}),
        yjs.update({77: (0, [yjs.string("a", right=(77, 1)), yjs.string("b", left=(77, 0))])}),
    ):
        with pytest.raises(Malformed):
            replica.apply(update)
    knows_what_it_has(replica)
    assert replica.text() == "x"
    replica.close()


def knows_what_it_has(replica: Replica) -> dict[int, int]:
    """The clocks that the document has, which the replica keeps count of."""
    clocks = updates.clocks_in(replica.state())
    assert replica.meets(clocks)
    assert not any(replica.meets({client: clock + 1}) for client, clock in clocks.items())
    return clocks


def test_replica_knows_what_it_has_whichever_way_it_came():
    seed = changes.seed("", "main.py")
    replica = Replica(seed, LIMITS)
    typists = [Typist(seed) for _ in range(3)]
    for number, typist in enumerate(typists):
        typist.text.insert(0, f"é😀{number}")
    replica.apply(typists[0].updates[0])
    replica.absorb(typists[1].updates[0])
    replica.edit([Edit(0, 0, "x")])
    assert len(knows_what_it_has(replica)) == 4
    replica.close()


TEXT = (SEED_CLIENT_ID, 1)
EMOJI = yjs.update({7: (0, [yjs.string("a😀b", left=TEXT)])})


@pytest.mark.parametrize("is_loaded_again", [False, True])
@pytest.mark.parametrize(
    "update",
    [
        yjs.update({8: (0, [yjs.string("X", left=(7, 1))])}),
        yjs.update({8: (0, [yjs.string("X", left=TEXT, right=(7, 2))])}),
        yjs.update({7: (4, [yjs.string("X", left=(7, 1))])}),
        yjs.update({}, {7: [(1, 1)]}),
        yjs.update({}, {7: [(2, 1)]}),
        # pycrdt does one after the other, and parts the character for the first.
        yjs.update({}, {7: [(1, 1), (2, 1)]}),
        yjs.update({}, {7: [(0, 2), (1, 2)]}),
        yjs.update({8: (0, [yjs.string("😀", left=TEXT)]), 9: (0, [yjs.string("X", left=(8, 0))])}),
        # The end of another text under the same numbers.
        yjs.update({7: (0, [yjs.string("a😀😀", left=TEXT)])}),
    ],
)
def test_nothing_parts_the_halves_of_a_character(update, is_loaded_again):
    """pycrdt would show one text to those who are here, another one to newcomers, and Yjs a third."""
    replica = Replica(changes.seed("x", "main.py"), LIMITS)
    replica.apply(EMOJI)
    if is_loaded_again:
        replica = Replica(replica.diff(), LIMITS)
    with pytest.raises(HalfCharacter):
        replica.apply(update)
    for whole in (
        yjs.update({8: (0, [yjs.string("L", left=(7, 0), right=(7, 1)), yjs.string("R", left=(7, 2), right=(7, 3))])}),
        yjs.update({}, {7: [(1, 2)]}),
    ):
        replica.apply(whole)
    assert replica.text() == "xaLRb"
    replica.close()


class Units:
    """What a text is made of in the order of its blocks, one UTF-16 unit at a time, deleted ones too."""

    def __init__(self) -> None:
        self.ids = [TEXT]
        self.units = {TEXT: b"x\0"}
        self.gone: set[tuple[int, int]] = set()
        self.ends: Counter[int] = Counter()

    @property
    def text(self) -> str:
        return b"".join(self.units[one] for one in self.ids if one not in self.gone).decode("utf-16-le")

    def is_half(self, one: tuple[int, int]) -> bool:
        return one in self.units and 0xDC <= self.units[one][1] <= 0xDF

    def insertion(self, chance: random.Random) -> tuple[bytes, bool]:
        client, at = chance.randint(7, 9), chance.randint(1, len(self.ids))
        right = self.ids[at] if at < len(self.ids) else None
        text = "".join(chance.choices("ab😀é\U0001d4b3", k=chance.randint(1, 3)))
        encoded, clock = text.encode("utf-16-le"), self.ends[client]
        update = yjs.update({client: (clock, [yjs.string(text, left=self.ids[at - 1], right=right)])})
        if right is not None and self.is_half(right):
            return update, True
        new = [(client, clock + number) for number in range(len(encoded) // 2)]
        self.units |= {one: encoded[2 * number : 2 * number + 2] for number, one in enumerate(new)}
        self.ids[at:at] = new
        self.ends[client] += len(new)
        return update, False

    def deletion(self, chance: random.Random) -> tuple[bytes, bool]:
        client = chance.choice(list(self.ends))
        first, end = sorted(chance.sample(range(self.ends[client] + 1), 2))
        part = chance.randint(first, end)
        ranges = [(first, part - first), (part, end - part)] if first < part < end else [(first, end - first)]
        update = yjs.update({}, {client: ranges})
        if any(self.is_half((client, place)) for place in (first, part, end)):
            return update, True
        self.gone |= {(client, clock) for clock in range(first, end)}
        return update, False


@pytest.mark.parametrize("number", range(20))
def test_whatever_is_not_refused_reads_the_same_here_loaded_and_from_the_log(number):
    chance, units = random.Random(number), Units()
    replica = Replica(changes.seed("x", "main.py"), LIMITS)
    rows = [replica.diff()]
    for _ in range(80):
        update, cuts = (units.deletion if units.ends and chance.random() < 0.3 else units.insertion)(chance)
        if cuts:
            with pytest.raises(HalfCharacter):
                replica.apply(update)
        else:
            rows += filter(None, [replica.apply(update)])
        if chance.random() < 0.1:
            replica.close()
            replica = Replica(updates.merge(rows), LIMITS)
        assert replica.text() == text_of(replica.diff()) == text_of(updates.merge(rows)) == units.text
    replica.close()


def test_nothing_is_put_between_the_halves_of_a_deleted_character():
    """The log has the character still, and would part it for whoever loads it."""
    replica = Replica(changes.seed("x", "main.py"), LIMITS)
    rows = [replica.diff(), EMOJI, yjs.update({}, {7: [(1, 2)]})]
    for row in rows:
        replica.apply(row)
    between = yjs.update({8: (0, [yjs.string("X", left=(7, 1), right=(7, 2))])})
    for here in (replica, Replica(updates.merge(rows), LIMITS)):
        with pytest.raises(HalfCharacter):
            here.apply(between)
        here.close()


@pytest.mark.parametrize(
    "cut",
    [
        yjs.update({}, {7: [(2, 1)]}),
        yjs.update({}, {7: [(1, 1)]}),
        yjs.update({8: (0, [yjs.string("X", left=(7, 1), right=(7, 2))])}),
    ],
)
@pytest.mark.parametrize("is_loaded_again", [False, True])
def test_what_an_old_log_has_cut_keeps_no_page_out(cut, is_loaded_again):
    replica = Replica(changes.seed("x", "main.py"), LIMITS)
    rows = [replica.diff(), EMOJI, cut]
    replica.apply(EMOJI)
    replica.absorb(cut)
    if is_loaded_again:
        replica.close()
        replica = Replica(updates.merge(rows), LIMITS)
    # What a page answers, and what it types then: its deletions always come along.
    deletions = replica.diff(replica.state())
    assert replica.apply(deletions) is None
    replica.apply(updates.merge([yjs.update({9: (0, [yjs.string("Y😀", left=TEXT)])}), deletions]))
    assert "Y😀" in replica.text()
    # And what it does to the half that it sees.
    replica.apply(yjs.update({10: (0, [yjs.string("Z", left=(7, 1))])}, {7: [(1, 1)]}))
    assert "Z" in replica.text()
    with pytest.raises(HalfCharacter):
        replica.apply(yjs.update({}, {9: [(1, 1)]}))
    replica.close()


@pytest.mark.parametrize(
    "blocks",
    [
        [yjs.skip(1), yjs.gc(0)],
        [yjs.gc(0)],
        [yjs.string("X", left=TEXT), yjs.gc(0)],
        [yjs.string("", left=TEXT), yjs.string("X", left=TEXT)],
    ],
)
def test_blocks_without_length_are_refused(blocks):
    """pycrdt takes them, and divides by their length when the next one asks for the document."""
    replica = Replica(changes.seed("x", "main.py"), LIMITS)
    with pytest.raises(Malformed):
        replica.apply(yjs.update({8: (0, blocks)}))
    assert text_of(replica.diff()) == "x"
    replica.close()


def test_what_stands_behind_an_update_is_refused():
    replica = Replica(changes.seed("x", "main.py"), LIMITS)
    with pytest.raises(Malformed):
        replica.apply(EMOJI + b"\0")
    assert replica.text() == "x"
    replica.close()


@pytest.mark.parametrize("deleted", [{}, {7: [(0, 1)] * 5000}])
def test_no_update_makes_room_for_a_text_that_is_too_large(deleted):
    limits = Limits(text_bytes=10_000, document_bytes=100_000)
    replica = Replica(changes.seed("x", "main.py"), limits)
    replica.apply(yjs.update({7: (0, [yjs.string("a" * 9_000, left=TEXT)])}))
    replica.apply(yjs.update({7: (9_000, [yjs.string("b", left=(7, 8_999))])}, deleted), may_copy=True)
    with pytest.raises(TooLarge):
        replica.apply(yjs.update({7: (9_001, [yjs.string("c" * 2_000, left=(7, 9_000))])}))
    replica.close()


def test_early_rows_of_a_log_are_known_once_what_they_build_on_is_here():
    """Also where pycrdt leaves a hole, and tells nothing of what fills it later."""
    rows = [
        updates.merge([changes.seed("x", "main.py"), yjs.update({7: (0, [yjs.string("ab", left=TEXT)])})]),
        yjs.update({7: (3, [yjs.string("😀", left=(7, 2))])}),
        yjs.update({7: (5, [yjs.string("e", left=(7, 1))])}),
        yjs.update({7: (2, [yjs.string("c", left=(7, 0))])}),
    ]
    replica = Replica(rows[0], LIMITS)
    for row in rows[1:]:
        replica.absorb(row)
    assert replica.waits
    with contextlib.suppress(Early):
        replica.apply(yjs.update({7: (6, [yjs.string("N", left=(7, 5))])}))
    replica.apply(updates.merge([*rows, yjs.update({7: (6, [yjs.string("N", left=(7, 5))])})]))
    assert replica.text() == text_of(replica.diff()) == "xac😀beN"
    with pytest.raises(HalfCharacter):
        replica.apply(yjs.update({9: (0, [yjs.string("X", left=(7, 3))])}))
    replica.close()


def test_what_waited_for_a_row_that_was_set_aside_is_known_once_it_gets_in():
    """Of its own client and of another one: what is typed beside it is not early, nor may it cut a character."""
    first = yjs.update({7: (0, [yjs.string("a😀", left=TEXT)])})
    waits = [
        yjs.update({7: (3, [yjs.string("b😀c😀", left=(7, 2))])}),
        yjs.update({8: (0, [yjs.string("d😀", left=(7, 2))])}),
    ]
    replica = Replica(updates.merge([changes.seed("x", "main.py"), *waits]), LIMITS)
    assert replica.apply(first) is not None
    assert sorted(replica.text()) == sorted("xa😀b😀c😀d😀")
    for half in ((7, 1), (7, 4), (7, 7), (8, 1)):
        with pytest.raises(HalfCharacter):
            replica.apply(yjs.update({9: (0, [yjs.string("X", left=half)])}))
    for number, whole in enumerate(((7, 2), (7, 5), (7, 8), (8, 2)), 10):
        assert replica.apply(yjs.update({number: (0, [yjs.string("X", left=whole)])})) is not None
    replica.close()


def test_places_of_characters_that_come_and_go_are_bounded_as_the_document_is():
    limits = Limits(text_bytes=100_000, document_bytes=20_000)
    replica = Replica(changes.seed("x", "main.py"), limits)
    many, clock = 1000, 0
    with pytest.raises(TooLarge):
        for _ in range(20):
            replica.apply(yjs.update({7: (clock, [yjs.string("😀" * many, left=TEXT)])}))
            replica.apply(yjs.update({}, {7: [(clock, 2 * many)]}))
            clock += 2 * many
    # A page that has some of them and answers with all it has.
    here = yjs.update({9: (0, [yjs.string("😀", left=TEXT)])})
    replica = Replica(updates.merge([replica.diff(), here]), limits)
    assert replica.apply(updates.merge([yjs.update({8: (0, [yjs.string("still ", left=TEXT)])}), here])) is not None
    replica.close()


def test_nobody_can_say_what_others_have_written():
    replica = Replica(changes.seed("x", "main.py"), LIMITS)
    replica.apply(yjs.update({7: (0, [yjs.string("abcd", left=TEXT)])}))
    replica.apply(yjs.update({7: (0, [yjs.string("a😀de", left=TEXT)])}))
    replica.apply(yjs.update({8: (0, [yjs.string("X", left=(7, 1), right=(7, 2))])}))
    assert replica.text() == "xabXcde"
    replica.close()


def test_blocks_that_build_on_one_another_in_a_ring_are_never_kept():
    ring = bytes([2, 1, 9, 0, 0x84, 8, 0, 1, 0x61, 1, 8, 0, 0x84, 9, 0, 1, 0x62, 0])
    replica = Replica(changes.seed("x", "main.py"), LIMITS)
    with pytest.raises(Broken):
        replica.apply(ring)
    replica.close()


def test_client_that_stands_twice_in_an_update_is_refused():
    twice = bytes([2, 1, 9, 1, 4, 1, 4, 109, 97, 105, 110, 1, 0x62, 1, 9, 0, 4, 1, 4, 109, 97, 105, 110, 1, 0x61, 0])
    replica = Replica(changes.seed("x", "main.py"), LIMITS)
    with pytest.raises(Malformed):
        replica.apply(twice)
    assert replica.text() == "x"
    replica.close()


def test_too_large_is_refused_before_anything_changes_and_shrinking_stays_possible():
    seed = changes.seed("x" * 900, "main.py")
    replica = Replica(seed, LIMITS)
    typist = Typist(seed)
    typist.text.insert(0, "y" * 90)
    replica.apply(typist.updates[-1])
    state = replica.state()
    greedy = Typist(replica.diff())
    greedy.text.insert(0, "z" * 50)
    with pytest.raises(TooLarge):
        replica.apply(greedy.updates[-1])
    assert replica.state() == state
    del typist.text[0:500]
    typist.text.insert(0, "w" * 100)
    for update in typist.updates[1:]:
        replica.apply(update)
    assert len(replica.text()) == 590
    replica.close()


def test_document_stuffed_with_other_roots_is_refused():
    replica = Replica(changes.seed("", "main.py"), LIMITS)
    doc = pycrdt.Doc({f"f_{'0' * 32}": pycrdt.Text("x" * 30_000)})
    with pytest.raises(TooLarge):
        replica.apply(doc.get_update())
    replica.close()


def test_mutated_updates_are_merged_or_refused():
    seed = changes.seed("hello 😀 world\n" * 3, "main.py")
    typist = Typist(seed)
    for number in range(30):
        typist.text.insert(number, "né😀\n")
        del typist.text[number : number + 1]
    chance = random.Random(7)
    replica = Replica(seed, LIMITS)
    for _ in range(5000):
        update = bytearray(chance.choice([*typist.updates, seed, typist.doc.get_update()]))
        for _ in range(chance.randint(1, 4)):
            update[chance.randrange(len(update))] = chance.randrange(256)
        try:
            replica.apply(bytes(update))
        except (Malformed, TooLarge, Early):
            continue
        except Broken:
            replica.close()
            replica = Replica(seed, LIMITS)
        everything = replica.diff()
        shown = pycrdt.Doc()
        shown.apply_update(everything)
        # Nothing in it waits for anything.
        assert knows_what_it_has(replica) == updates.clocks_of(shown)
        assert blocks.read(everything)[1].needs({}) == {}
    assert isinstance(replica.text(), str)
    replica.close()


@pytest.mark.parametrize("junk", [b"", b"\x00", b"\xff" * 20, b"\x01\x01", b"\x80" * 30])
def test_junk_is_malformed(junk):
    replica = Replica(changes.seed("", "main.py"), LIMITS)
    for use in (replica.apply, replica.has_news, replica.diff, text_of):
        if junk == b"\x00" and use == replica.diff:
            continue
        with pytest.raises(Malformed):
            use(junk)
    replica.close()


def test_only_listed_files_with_proper_ids_and_paths_count():
    doc = pycrdt.Doc()
    other, twin = "f_" + "0" * 32, "f_" + "1" * 32
    doc["files"] = pycrdt.Map(
        {"main": "../../etc/passwd", other: "lib/a.py", twin: "lib/a.py", "evil": "x.py", "f_1": "y.py"}
    )
    for name in ("main", other, twin, "evil", "unlisted"):
        doc[name] = pycrdt.Text(name)
    assert files_of(doc.get_update()) == {
        "main": b"main",
        "lib/a.py": other.encode(),
        "lib/a (2).py": twin.encode(),
    }


def test_entry_file_is_always_there_and_first():
    doc = pycrdt.Doc()
    doc.apply_update(changes.seed("x", "main.py"))
    del doc.get("files", type=pycrdt.Map)["main"]
    doc.get("files", type=pycrdt.Map)["f_" + "0" * 32] = "a.py"
    assert list(files_of(doc.get_update()).items()) == [("main", b"x"), ("a.py", b"")]


def test_roots_of_another_type_do_no_harm():
    doc = pycrdt.Doc({"main": pycrdt.Map({"a": 1}), "files": pycrdt.Text("zz")})
    update = doc.get_update()
    assert text_of(update) == ""
    assert isinstance(files_of(update), dict)
    replica = Replica(updates.merge([changes.seed("x", "main.py"), update]), LIMITS)
    assert isinstance(replica.text(), str)
    replica.close()


@pytest.mark.parametrize(
    "cut",
    [
        yjs.update({9: (0, [yjs.string("X", left=(7, 1), right=(7, 2))])}),
        yjs.update({9: (0, [yjs.string("X", left=(7, 1), right=(7, 2))])}, {7: [(2, 1)]}),
        yjs.update({}, {7: [(1, 1)]}),
        yjs.update({9: (0, [yjs.string("X", left=(7, 3))])}, {7: [(0, 2)]}),
    ],
    ids=["between", "replaced", "first", "with-more"],
)
@pytest.mark.parametrize("is_deleted", [False, True])
def test_character_that_an_update_parts_is_taken_out_and_nothing_else(cut, is_deleted):
    """The replica, what its log loads as and what that is compacted to are one text, which holds all the rest."""
    rows = [yjs.update({7: (0, [yjs.string("a😀b😁c")])})]
    if is_deleted:
        rows.append(yjs.update({}, {7: [(1, 2)]}))
    replica = Replica(rows, LIMITS)
    with pytest.raises(HalfCharacter) as raised:
        replica.apply(cut)
    change = replica.take_out(raised.value.parted)
    replica.apply(cut)
    rows += [change, cut]
    text = replica.text()
    assert "😀" not in text and "b😁c" in text.replace("X", "")
    assert ("X" in text) == (b"X" in cut)
    assert text_of(rows) == text_of(rewrite.compact(rows)) == text_of(replica.diff()) == text
    # It is not in the way of the next.
    replica.apply(yjs.update({5: (0, [yjs.string("Y", left=(7, 1), right=(7, 2))])}))
    assert "Y" in replica.text()
