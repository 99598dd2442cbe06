"""What one socket can make the event loop do at once: updates in slices, blocks parted before they are copied, budgets
of a person. No clock is asked."""

from __future__ import annotations

from itertools import pairwise

import pycrdt
import pytest

from realtime.connection import pace
from realtime.connection.pace import Pace
from sessions_app.document import blocks, changes, opening, rewrite, slices, texts, updates
from sessions_app.document.changes import SEED_CLIENT_ID, STEPS_MAX
from sessions_app.document.diff import Edit
from sessions_app.document.errors import TooLarge, TooLong
from sessions_app.document.opening import PIECE_BYTES, SLICE_PARTS, Limits
from sessions_app.document.replica import COPIED_MAX_BYTES, STEPS_PER_PART, Replica
from sessions_app.document.updates import EMPTY_UPDATE
from tests.realtime.test_edit_cost import fragmented

LONG = Limits(512 * 1024, 8 * 1024 * 1024)
TEXT_BYTES = 400_000


def scattered(count: int, *, client: int = 7, first: int = 2) -> bytes:
    """One letter at each of so many places of a seed's text, from its end to its beginning: the order in which the
    block of the seed is copied nearly whole for each of them."""
    step = TEXT_BYTES // count
    made = bytearray(b"".join(map(slices.varuint, (1, count, client, 0))))
    for index in reversed(range(count)):
        at = first + index * step
        made += b"\xc4" + b"".join(map(slices.varuint, (1, at, 1, at + 1, 1))) + b"q"
    return bytes(made) + b"\0"


def merged(replica: Replica, update: bytes) -> list[int]:
    """Merge as a room does; how many cuts times bytes each step may have copied."""
    copied: list[int] = []
    for part in opening.pieces(update):
        cuts = len(blocks.read(part)[1].cuts)
        try:
            replica.apply(part)
        except TooLong:
            replica.part_blocks()
            replica.apply(part, may_copy=True)
        copied.append(cuts * replica._length_bound)
    return copied


@pytest.mark.parametrize("count", [1000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_update_that_parts_one_long_block_everywhere_copies_little(count):
    seed = changes.seed("x" * TEXT_BYTES, "main.py")
    replica = Replica(seed, LONG)
    update = scattered(count)
    copied = merged(replica, update)
    assert max(copied) <= 2 * COPIED_MAX_BYTES
    assert replica.text() == texts.text_of([seed, update])
    replica.close()


def test_parted_blocks_are_the_same_text_for_everybody():
    text = "añ😀\n" * 4000
    replica = Replica(changes.seed(text, "main.py"), LONG)
    other: pycrdt.Doc = pycrdt.Doc()
    other.apply_update(replica.diff())
    change = replica.part_blocks()
    assert change is not None
    other.apply_update(change)
    assert replica.text() == str(other.get("main", type=pycrdt.Text)) == text
    assert rewrite.compact([replica.diff(), change]) != EMPTY_UPDATE
    places = blocks.read(replica.diff())[1].places[SEED_CLIENT_ID]
    assert max(after.clock - before.clock for before, after in pairwise(places)) <= PIECE_BYTES
    replica.close()


def test_slices_say_what_the_update_says_and_none_waits_for_a_later_one():
    seed = changes.seed("x" * TEXT_BYTES, "main.py")
    people = [pycrdt.Doc(client_id=100 + number) for number in range(3)]
    for doc in people:
        doc.apply_update(seed)
    for turn in range(600):
        doc = people[turn % 3]
        text = doc.get("main", type=pycrdt.Text)
        at = (turn * 7919) % len(text)
        if turn % 5 == 4:
            del text[at : at + 2]
        else:
            text.insert(at, "ab")
        if turn % 4 == 0:
            other = people[(turn + 1) % 3]
            other.apply_update(doc.get_update(other.get_state()))
    whole = updates.merge(doc.get_update() for doc in people)
    _, extent = blocks.read(whole)
    for most in (1, 7, 100):
        parts = slices.slices(whole, extent, most)
        assert max(blocks.read(part)[1].parts for part in parts) <= most
        doc = pycrdt.Doc()
        for part in parts:
            doc.apply_update(part)
            assert pycrdt.get_update(part, doc.get_state())[0] == 0
        assert doc.get_update(doc.get_state()) == updates.doc_of(whole).get_update(updates.doc_of(whole).get_state())
        assert str(doc.get("main", type=pycrdt.Text)) == texts.text_of(whole)


@pytest.mark.slow
def test_replaced_text_that_fits_in_the_end_fits_on_the_way():
    """What is deleted makes room: the text and all that is inserted would be longer than the limit."""
    line, longer = "abcdefghij klmnopqrst\n", "ABCDEFGHIJ KLMNOPQRSTuvwxyz"
    count = 300 * 1024 // len(line)
    seed = changes.seed(line * count, "main.py")
    for insert, fits in ((line.strip().upper(), True), (longer * 2, False)):
        doc: pycrdt.Doc = pycrdt.Doc()
        doc.apply_update(seed)
        text, before = doc.get("main", type=pycrdt.Text), doc.get_state()
        with doc.transaction():
            for at in reversed(range(0, count * len(line), len(line))):
                text.insert(at, insert)
                del text[at + len(insert) : at + len(insert) + len(line) - 1]
        replica = Replica(seed, LONG)
        sliced = opening.sliced(doc.get_update(before))
        assert not replica.admit(sliced)
        if fits:
            sizes = []
            for part in opening.tried(replica.diff(), sliced, LONG).slices:
                assert blocks.read(part)[1].parts <= SLICE_PARTS
                merged(replica, part)
                sizes.append(replica.text_bytes())
            assert max(sizes) <= count * len(line)
            assert replica.text() == str(text)
        else:
            with pytest.raises(TooLarge):
                opening.tried(replica.diff(), sliced, LONG)
        replica.close()


def test_edits_of_a_client_without_a_replica_are_counted_by_the_blocks_they_pass():
    seed = changes.seed("", "main.py")
    replica = Replica([seed, fragmented(seed)], LONG)
    counted: list[int] = []
    replica.edit([Edit(99_000 + index, 0, "q") for index in range(149)], counted.append)
    assert STEPS_MAX // STEPS_PER_PART // 2 < sum(counted) <= STEPS_MAX // STEPS_PER_PART
    assert replica.text_bytes() == 100_149
    replica.close()


def test_replacing_thousands_of_matches_costs_little_more_than_reading_the_update():
    """What is charged beyond its blocks and deletions would be waited for: the page says "Not saved" meanwhile."""
    row = "1234,5678,91\n"
    count = 60_000 // len(row)
    seed = changes.seed(row * count, "main.py")
    doc: pycrdt.Doc = pycrdt.Doc()
    doc.apply_update(seed)
    text, before = doc.get("main", type=pycrdt.Text), doc.get_state()
    with doc.transaction():
        for at in reversed([at for at, letter in enumerate(row * count) if letter == ","]):
            del text[at]
            text.insert(at, ";")
    replica = Replica(seed, LONG)
    sliced = opening.sliced(doc.get_update(before))
    counted: list[int] = []
    for part in sliced.slices:
        replica.apply(part, counted.append, may_copy=True, is_admitted=True)
    assert sliced.extent.parts > 2 * count
    assert sum(counted) < 2 * sliced.extent.parts
    replica.close()


def test_sockets_of_one_person_spend_from_one_budget(settings):
    settings.RATE_LIMITS = True
    person = Pace(sockets=pace.SOCKETS_AT_ONCE)
    sockets = [Pace(person) for _ in range(28)]
    for _ in range(int(settings.SOCKET_UPDATES_BURST) - 10):
        for socket in sockets:
            socket.spend("updates")
    assert all(socket.pause()[0] > 1 for socket in sockets)
    assert Pace(Pace(sockets=pace.SOCKETS_AT_ONCE)).pause() == (0.0, None)
