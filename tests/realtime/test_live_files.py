"""Files that are made, renamed and deleted over REST are so on every open page, and are typed into like the first."""

from __future__ import annotations

import asyncio

import pycrdt

from tests.realtime.page import page


def call(person, method, address, status, **body):
    return asyncio.to_thread(person.call, method, address, status, **({"json": body} if body else {}))


async def test_a_file_appears_is_written_into_renamed_and_gone_on_every_page(server):
    alice, bob = server.person("alice"), server.person("bob")
    session_id = alice.new_session(content="print(1)\n", language="python")["id"]
    alice.let_in(session_id, bob, "write")
    path = f"/api/sessions/{session_id}/files"
    async with page(alice, session_id) as one, page(bob, session_id) as other:
        pages = (one, other)
        lists = [each.doc.get("files", type=pycrdt.Map) for each in pages]
        assert [dict(listed.to_py()) for listed in lists] == [{"main": "main.py"}] * 2
        made = await call(bob, "POST", path, 201, path="words.txt", content="one\n")
        texts = [each.doc.get(made["id"], type=pycrdt.Text) for each in pages]
        for each, listed, text in zip(pages, lists, texts, strict=True):
            await each.until(lambda listed=listed: listed.get(made["id"]) == "words.txt")
            await each.until(lambda text=text: str(text) == "one\n")
        texts[0].insert(4, "two\n")
        await one.flush()
        await one.saved()
        await other.until(lambda: str(texts[1]) == "one\ntwo\n")
        assert (await call(bob, "GET", f"{path}/{made['id']}", 200))["content"] == "one\ntwo\n"
        await call(alice, "PATCH", f"{path}/{made['id']}", 200, path="lines.txt")
        for each, listed in zip(pages, lists, strict=True):
            await each.until(lambda listed=listed: listed.get(made["id"]) == "lines.txt")
        await call(bob, "DELETE", f"{path}/{made['id']}", 204)
        for each, listed in zip(pages, lists, strict=True):
            await each.until(lambda listed=listed: made["id"] not in listed.to_py())
        assert one.text == other.text == "print(1)\n"
        await one.type("# still here\n")
        await one.saved()
        assert [row["path"] for row in await call(alice, "GET", path, 200)] == ["main.py"]


async def test_what_is_typed_into_a_file_that_is_deleted_is_saved_with_it_and_comes_back_live(server):
    alice, bob, carol = (server.person(name) for name in ("alice", "bob", "carol"))
    session_id = alice.new_session(content="print(1)\n", language="python")["id"]
    for other in (bob, carol):
        alice.let_in(session_id, other, "write")
    path = f"/api/sessions/{session_id}/files"
    made = await call(alice, "POST", path, 201, path="words.txt", content="one\n")
    async with page(alice, session_id) as one, page(bob, session_id) as other:
        # A device that is away when the file is deleted, and comes back.
        async with page(carol, session_id) as away:
            away.doc.get(made["id"], type=pycrdt.Text).insert(0, "carol ")
        text, listed = other.doc.get(made["id"], type=pycrdt.Text), other.doc.get("files", type=pycrdt.Map)
        await call(alice, "DELETE", f"{path}/{made['id']}", 204)
        await other.until(lambda: made["id"] not in listed.to_py())
        text.insert(4, "two\n")
        await other.flush()
        await other.saved()
        async with page(carol, session_id, doc=away.doc) as back:
            await back.saved()
        (row,) = await call(bob, "GET", f"{path}/deleted", 200)
        assert (row["path"], row["deleted_by"]["username"]) == ("words.txt", alice.username)
        await call(bob, "POST", f"{path}/deleted/{made['id']}/restore", 200)
        for each in (one, other):
            paths = each.doc.get("files", type=pycrdt.Map)
            await each.until(lambda paths=paths: paths.to_py().get(made["id"]) == "words.txt")
            words = each.doc.get(made["id"], type=pycrdt.Text)
            await each.until(lambda words=words: str(words) == "carol one\ntwo\n")


async def test_text_that_belongs_to_no_file_is_refused_in_words_and_not_acknowledged(server):
    alice = server.person("alice")
    session_id = alice.new_session(content="print(1)\n", language="python")["id"]
    async with page(alice, session_id) as one:
        sent, acked = one.sent, one.acked
        one.doc.get("elsewhere", type=pycrdt.Text).insert(0, "lost")
        await one.flush()
        await one.until(lambda: one.said("refused"))
        (refused,) = one.said("refused")
        assert (refused["received"], refused["code"]) == (sent + 1, "invalid")
        assert one.acked in (acked, sent)
