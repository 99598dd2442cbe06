"""Nobody in a room has somebody else's colour while there are enough, and all who look see the same."""

from __future__ import annotations

from contextlib import AsyncExitStack

from accounts.models import HUES
from realtime.room.hues import KEPT_CLAIMS_MAX, Hues
from tests.realtime.page import page


async def test_people_of_a_room_are_told_apart_and_everybody_sees_the_same_hues(server):
    alice = server.person("alice")
    others = [server.person(f"person{number}") for number in range(4)]
    session_id = alice.new_session(content="x\n")["id"]
    for other in others:
        alice.let_in(session_id, other)
    async with AsyncExitStack() as stack:
        pages = [await stack.enter_async_context(page(person, session_id)) for person in (alice, *others)]
        for each in pages:
            await each.announce({"cursor": None}, clock=1)
        for each in pages:
            await each.until(lambda each=each: len(each.present) == len(pages) - 1)
            people = {person["id"]: person["hue"] for person in each.said("presence")[-1]["people"]}
            assert len(set(people.values())) == len(pages)
            assert people | {s["user"]["id"]: s["user"]["hue"] for s in each.present.values()} == people
            me = each.said("hello")[0]["user"]
            assert people[me["id"]] == me["hue"]


def test_hue_is_kept_by_who_stays_and_given_back_to_who_returns():
    hues, present = Hues(), []
    for number in range(HUES):
        hues.give(f"p{number}", 0, present)
        present.append(f"p{number}")
    given = hues.settle(present, present)
    assert sorted(given.values()) == list(range(HUES))
    assert given["p0"] == 0
    present.remove("p3")
    assert hues.give("p3", 0, present) == given["p3"]
    assert hues.give("new", 0, present) == given["p3"]
    present.append("new")
    # There are not enough now; nobody who is here changes.
    assert hues.give("p3", 0, present) == given["p3"]
    assert all(hues.give(person, 0, present) == given[person] for person in present if person != "new")


def test_processes_agree_and_the_one_who_came_later_gives_way():
    here, there = Hues(), Hues()
    here.give("a", 5, [])
    there.give("b", 5, [])
    people = ["a", "b"]
    there.hear(here.claims(["a"]), ["b"])
    here.hear(there.claims(["b"]), ["a"])
    for hues, mine in ((here, ["a"]), (there, ["b"])):
        hues.settle(mine, people)
    here.hear(there.claims(["b"]), ["a"])
    there.hear(here.claims(["a"]), ["b"])
    assert here.claims(people) == there.claims(people)
    assert len({hue for _, hue in here.claims(people).values()}) == 2


def test_people_who_left_are_remembered_up_to_a_bound():
    hues = Hues()
    people = [f"p{number}" for number in range(4 * KEPT_CLAIMS_MAX)]
    for person in people:
        hues.give(person, 0, ["stays"])
    hues.give("stays", 3, [])
    for start in range(0, len(people), 100):
        hues.hear({f"{person} elsewhere": (start, 1) for person in people[start : start + 100]}, ["stays"])
        hues.settle(["stays"], ["stays"])
    known = hues.claims(["stays", *people, *(f"{person} elsewhere" for person in people)])
    assert len(known) <= KEPT_CLAIMS_MAX + 1
    assert known["stays"][1] == 3
