"""Two server processes on one PostgreSQL: with Redis they are one room at once, without it after the next tick."""

from __future__ import annotations

import asyncio

import pycrdt

from tests.realtime.page import at, page
from tests.realtime.plain_client import all_at_once, plain_client


async def test_processes_share_text_cursors_people_and_access_over_redis(with_redis):
    here, there = with_redis
    alice, bob = here.person("alice"), here.person("bob")
    session_id = alice.new_session(content="x\n")["id"]
    alice.let_in(session_id, bob)
    async with page(alice, session_id) as one, page(at(there, bob), session_id) as other:
        await one.type("from here\n")
        await other.sees("x\nfrom here\n")
        await other.type("from there\n", at=0)
        await one.sees("from there\nx\nfrom here\n")
        await one.type("L" * 60_000)
        await other.until(lambda: other.text == one.text)
        await one.saved()
        await other.saved()
        await one.announce({"cursor": None}, clock=2**53 - 1)
        await other.announce({"cursor": None}, clock=1)
        await other.until(lambda: one.doc.client_id in other.present)
        await one.until(lambda: other.doc.client_id in one.present)
        for someone in (one, other):
            await someone.until(lambda someone=someone: len(someone.said("presence")[-1]["people"]) == 2)
        alice.call("PATCH", f"/api/sessions/{session_id}", 200, json={"content": "all new\n"})
        await other.sees("all new\n")
        alice.call("PATCH", f"/api/sessions/{session_id}/collaborators/{bob.id}", 200, json={"permission": "read"})
        await other.until(lambda: other.said("access"))
        alice.call("DELETE", f"/api/sessions/{session_id}/collaborators/{bob.id}", 204)
        await other.socket.wait_closed()
        assert other.socket.close_code == 4403
        await one.until(lambda: len(one.said("presence")[-1]["people"]) == 1)
        await one.until(lambda: other.doc.client_id not in one.present)


async def test_everybody_typing_at_two_processes_ends_with_the_same_text(with_redis):
    here, there = with_redis
    alice = here.person("alice")
    session_id = alice.new_session(content="")["id"]
    async with page(alice, session_id) as one, page(at(there, alice), session_id) as other:
        for number in range(100):
            await one.type(f"a{number} ", at=0)
            await other.type(f"b{number} ", at=0)
        await one.saved()
        await other.saved()
        await one.until(lambda: len(one.text.split()) == 200)
        await other.until(lambda: other.text == one.text)
        assert alice.text(session_id) == at(there, alice).text(session_id) == one.text


async def test_clients_without_a_crdt_at_two_processes_end_with_everybodys_text(with_redis):
    here, there = with_redis
    alice, bob = here.person("alice"), here.person("bob")
    session_id = alice.new_session(content="")["id"]
    alice.let_in(session_id, bob)
    async with (
        page(alice, session_id) as one,
        page(at(there, bob), session_id) as other,
        plain_client(alice, session_id) as third,
        plain_client(at(there, bob), session_id, "utf16") as fourth,
    ):
        text = await all_at_once([one, other], [third, fourth], seed=5)
        # The steps of another process say whose they are.
        assert {alice.id, bob.id} <= {step["user"]["id"] for step in fourth.said("code-change") if step["user"]}
        # A version of one process is none of the other's.
        fourth.version, version = -1, third.version
        await fourth.change([{"insert": "misplaced"}], version=version)
        assert (await fourth.next("refused"))["code"] == "version_passed"
        assert fourth.text == third.text == text
    assert alice.text(session_id) == at(there, bob).text(session_id) == text


async def test_without_a_doorbell_the_tick_finds_text_and_lost_access(without_redis):
    here, there = without_redis
    alice, bob = here.person("alice"), here.person("bob")
    session_id = alice.new_session(content="x\n")["id"]
    alice.let_in(session_id, bob)
    async with page(alice, session_id) as one, page(at(there, bob), session_id) as other:
        await one.type("from here\n")
        await other.type("from there\n", at=0)
        await one.sees("from there\nx\nfrom here\n")
        await other.sees("from there\nx\nfrom here\n")
        alice.call("DELETE", f"/api/sessions/{session_id}/collaborators/{bob.id}", 204)
        await other.socket.wait_closed()
        assert other.socket.close_code == 4403


async def test_killed_process_leaves_its_acknowledged_edits_to_the_other(without_redis):
    here, there = without_redis
    alice = here.person("alice")
    session_id = alice.new_session(content="")["id"]
    async with page(at(there, alice), session_id) as other:
        async with page(alice, session_id) as one:
            for number in range(50):
                await one.type(f"{number} ")
            await one.saved()
            await asyncio.to_thread(here.kill)
            await one.socket.wait_closed()
        await other.until(lambda: other.text.split() == [str(number) for number in range(50)])
    await asyncio.to_thread(here.start)


async def test_what_an_update_lacks_is_asked_for_until_it_comes(without_redis):
    here, _ = without_redis
    alice = here.person("alice")
    session_id = alice.new_session(content="x")["id"]
    async with page(alice, session_id) as one:
        updates: list[bytes] = []
        elsewhere = pycrdt.Doc()
        elsewhere.apply_update(one.doc.get_update())
        elsewhere.observe(lambda event: updates.append(event.update))
        text = elsewhere.get("main", type=pycrdt.Text)
        text.insert(0, "a")
        text.insert(1, "b")
        await one.saved()
        one.sent += 1
        await one.socket.send(pycrdt.create_update_message(updates[1]))
        # The page answers the question without having it, and sends nothing by itself when it has.
        answered = one.sent
        await one.until(lambda: one.sent > answered)
        assert one.acked < one.sent
        one.doc.apply_update(updates[0])
        one._local.clear()
        await one.saved()
        assert alice.text(session_id) == "abx"
