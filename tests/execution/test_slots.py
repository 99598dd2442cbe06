"""Who waits for whom: programs that compute without a slot count as if they held one, up to their person's share."""

from __future__ import annotations

import threading

from execution.slots import Slots


def enters(slots: Slots, person: str) -> threading.Event:
    """Set once the person has a slot, which is then given back."""
    entered = threading.Event()

    def enter() -> None:
        with slots.one(person):
            entered.set()

    threading.Thread(target=enter, daemon=True).start()
    return entered


def test_programs_beside_their_slots_make_the_next_wait_until_one_ends():
    slots = Slots(2, share=1)
    slots.count_beside("alice", 1)
    slots.count_beside("bob", 1)
    entered = enters(slots, "carol")
    assert not entered.wait(0.1)
    slots.count_beside("alice", -1)
    assert entered.wait(10)


def test_one_person_keeps_nobody_out_by_many_programs_beside_a_slot():
    slots = Slots(2, share=1)
    with slots.one("alice"):
        for _ in range(3):
            slots.count_beside("alice", 1)
        assert enters(slots, "bob").wait(10)


def test_slots_that_are_taken_count_whoever_has_them():
    slots = Slots(2, share=1)
    with slots.one("alice"), slots.one("alice"):
        assert not enters(slots, "bob").wait(0.1)
