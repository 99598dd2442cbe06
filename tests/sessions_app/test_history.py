"""The past of a text over REST: who wrote when, what it said then, and going back to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from activity.log import recent
from sessions_app.document import changes, compaction, contents, rewrite, update_log
from sessions_app.document.texts import text_of
from sessions_app.document.update_log import Entry
from sessions_app.document.updates import merge
from sessions_app.models import Document, Quarantined, Segment, Snapshot, Update
from tests.realtime.page import page
from tests.realtime.test_compaction_keeps_everything import Author
from tests.realtime.traces import made_trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.models import User
    from sessions_app.models import CodeSession
    from tests.live import LiveServer


def typed(session: CodeSession, person: User | None, *texts: str) -> int:
    """Each text as one update at the end of the text, as a page would send it."""
    author = Author(update_log.load(session.pk).update, 7000 + update_log.heads([session.pk])[session.pk])
    entries = [Entry(author.edit(1, 0, text) or b"", person.pk if person else None, "socket") for text in texts]
    return update_log.append({session.pk: entries})[session.pk].last_seq


@pytest.fixture
def path(session: CodeSession) -> str:
    return f"/api/sessions/{session.pk}/history"


@pytest.fixture(params=["rows", "segments", "both"])
def stored_as(request: pytest.FixtureRequest, session: CodeSession) -> Callable[[int], None]:
    """Call it between edits: the history is in the log, in segments, or in both, and nobody sees which."""

    def compact(moment: int) -> None:
        if request.param == "segments" or (request.param == "both" and moment == 1):
            compaction.compact(session.pk)

    return compact


# Within one transaction PostgreSQL's clock stands still.
@pytest.mark.django_db(transaction=True)
def test_history_says_who_wrote_when(session, path, alice, bob, carol, api, stored_as):
    typed(session, alice, "a", "b", "c")
    typed(session, bob, "d", "e")
    stored_as(1)
    api(bob).patch(f"/api/sessions/{session.pk}", {"content": "new\n"})
    typed(session, alice, "f")
    stored_as(2)
    found = api(carol).get(path).json()
    assert (found["next"], found["previous"]) == (None, None)
    people = {person: {"id": str(person.pk), "username": person.username, "hue": person.hue} for person in (alice, bob)}
    assert [
        (step["first_revision"], step["last_revision"], step["user"], step["origin"]) for step in found["results"]
    ] == [
        (8, 8, people[alice], "socket"),
        (7, 7, people[bob], "server"),
        (5, 6, people[bob], "socket"),
        (2, 4, people[alice], "socket"),
        (1, 1, None, "server"),
    ]
    times = [(step["started_at"], step["ended_at"]) for step in reversed(found["results"])]
    assert sorted(times) == times and all(start <= end for start, end in times)


def test_pages_neither_skip_nor_repeat_though_the_log_is_compacted_between_them(session, path, alice, bob, api):
    for number in range(12):
        typed(session, (alice, bob)[number % 2], "x", "y")
        if number == 5:
            compaction.compact(session.pk)
    whole = api(alice).get(path, {"page_size": 100}).json()["results"]
    assert len(whole) == 13
    seen: list[dict[str, Any]] = []
    url = f"{path}?page_size=2"
    while url:
        answer = api(alice).get(url).json()
        assert len(answer["results"]) <= 2
        seen += answer["results"]
        url = answer["next"]
        if len(seen) == 4:
            compaction.compact(session.pk)
    assert seen == whole


def test_what_is_compacted_while_the_history_is_read_is_listed_once(session, path, alice, bob, api, monkeypatch):
    for person in (alice, bob, alice):
        typed(session, person, "x")
    whole = api(alice).get(path).json()
    grouped = compaction.grouped

    def meanwhile(*given: Any) -> Any:
        monkeypatch.undo()
        assert compaction.compact(session.pk) is compaction.Outcome.DONE
        return grouped(*given)

    monkeypatch.setattr(compaction, "grouped", meanwhile)
    assert api(alice).get(path).json() == whole
    assert Segment.objects.filter(document_id=session.pk).count() == 4


@pytest.mark.slow
def test_text_of_every_step_is_what_it_was(session, path, alice, bob, api, monkeypatch):
    for agent, update in made_trace(update_log.load(session.pk).update, agents=2, steps=200).steps:
        update_log.append({session.pk: [Entry(update, (alice, bob)[agent].pk, "socket")]})
    payloads = [bytes(row.payload) for row in Update.objects.filter(document_id=session.pk).order_by("seq")]
    said = {number: text_of(merge(payloads[:number])) for number in range(1, 202)}
    reader = api(alice)
    for number in (1, 2, 77, 201):
        assert reader.get(f"{path}/{number}").json()["content"] == said[number]
    monkeypatch.setattr(compaction, "SWAP_ROWS", 150)
    compaction.compact(session.pk)
    typed(session, alice, "end")
    steps = list(Segment.objects.filter(document_id=session.pk))
    assert len(steps) > 20
    for step in steps:
        assert reader.get(f"{path}/{step.last_seq}").json()["content"] == said[step.last_seq]
    assert reader.get(f"{path}/202").json()["content"] == said[201] + "end"


@pytest.mark.slow
def test_old_revision_is_read_from_the_nearest_kept_snapshot(session, path, alice, bob, api, monkeypatch):
    """However long the history, so much of it is read for one revision."""
    kept, swapped = 2000, 40
    monkeypatch.setattr(compaction, "KEPT_SNAPSHOT_BYTES", kept)
    monkeypatch.setattr(compaction, "SWAP_ROWS", swapped)
    author = Author(update_log.load(session.pk).update, 99)
    edits = [author.edit(0.5, 40 * (number % 2), "x" * 40 * (number % 2 == 0)) or b"" for number in range(600)]
    entries = [Entry(update, (alice, bob)[number % 2].pk, "socket") for number, update in enumerate(edits)]
    update_log.append({session.pk: entries})
    payloads = [bytes(row.payload) for row in Update.objects.filter(document_id=session.pk).order_by("seq")]
    compaction.compact(session.pk)
    snapshots = Snapshot.objects.filter(document_id=session.pk)
    assert 3 < snapshots.count() < 601 / swapped
    # The kept ones count as storage too.
    stored = [*snapshots, *Segment.objects.filter(document_id=session.pk)]
    assert Document.objects.get(pk=session.pk).history_bytes == sum(len(made.payload) for made in stored)
    largest = max(len(snapshot.payload) for snapshot in snapshots)
    rows = max(sum(map(len, payloads[at : at + swapped])) for at in range(601))
    read: list[int] = []
    real = rewrite.replay

    def replay(updates):
        parts = list(updates)
        read.append(sum(map(len, parts)))
        return real(parts)

    monkeypatch.setattr(rewrite, "replay", replay)
    for step in Segment.objects.filter(document_id=session.pk):
        text = text_of(merge(payloads[: step.last_seq]))
        assert api(alice).get(f"{path}/{step.last_seq}").json()["content"] == text
    assert max(read) <= largest + max(kept, largest) + rows < sum(map(len, payloads)) / 2


def test_revision_that_no_step_ends_at_is_unknown_and_nothing_is_restored(session, path, alice, api):
    typed(session, alice, "a", "b", "c")
    compaction.compact(session.pk)
    head = typed(session, alice, "d")
    before = contents.entry_text(session)
    for revision in (0, 2, 3, head + 1, 10**18, 10**30):
        for answer in (api(alice).get(f"{path}/{revision}"), api(alice).post(f"{path}/{revision}/restore")):
            assert (answer.status_code, answer.json()["code"]) == (404, "revision_unknown")
    assert (contents.entry_text(session), update_log.heads([session.pk])[session.pk]) == (before, head)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("print('😀')\n", "print('😁')\n# \N{WOMAN}\u200d\N{PERSONAL COMPUTER}\n"),
        ("a\r\nb\r\n", "a\nc\n"),
        ("e\u0301\U0001d4b3\x00", ""),
        ("", "one\ntwo\n"),
    ],
)
def test_restored_text_is_the_older_one_and_attributed(session, path, bob, api, old, new, stored_as):
    writer, url = api(bob), f"/api/sessions/{session.pk}"
    writer.patch(url, {"content": old})
    revision = update_log.heads([session.pk])[session.pk]
    stored_as(1)
    typed(session, None, new)
    writer.patch(url, {"content": new})
    stored_as(2)
    answer = writer.post(f"{path}/{revision}/restore")
    assert (answer.status_code, set(answer.json())) == (200, {"revision"})
    restored = answer.json()["revision"]
    assert writer.get(url).json()["content"] == changes.normalise(old)
    assert writer.get(f"{path}/{restored}").json()["content"] == writer.get(f"{path}/{revision}").json()["content"]
    newest = writer.get(path).json()["results"][0]
    assert (newest["last_revision"], newest["user"]["username"], newest["origin"]) == (restored, "bob", "server")


def test_line_ends_of_a_stock_client_are_shown_as_they_were_and_restored_as_ours(session, path, bob, api):
    revision = typed(session, bob, "a\r\nb😀\r\n")
    api(bob).patch(f"/api/sessions/{session.pk}", {"content": ""})
    assert api(bob).get(f"{path}/{revision}").json()["content"] == "print(1)\na\r\nb😀\r\n"
    assert api(bob).post(f"{path}/{revision}/restore").status_code == 200
    assert contents.entry_text(session) == "print(1)\na\nb😀\n"


def test_restoring_takes_nothing_from_those_who_type_meanwhile(session, path, alice, bob, api):
    text = "".join(f"line {number} 😀\n" for number in range(40))
    api(alice).patch(f"/api/sessions/{session.pk}", {"content": text})
    revision = update_log.heads([session.pk])[session.pk]
    api(alice).patch(f"/api/sessions/{session.pk}", {"content": text.replace("line 7 ", "line seven ")})
    author = Author(update_log.load(session.pk).update, 99)
    late = [author.edit(at, 0, "BOB😁") for at in (0, 0.5, 1)]
    api(alice).post(f"{path}/{revision}/restore")
    assert len(Update.objects.get(document_id=session.pk, seq=revision + 2).payload) < 100
    update_log.append({session.pk: [Entry(update or b"", bob.pk, "socket") for update in late]})
    merged = contents.entry_text(session)
    assert merged.count("BOB😁") == 3 and merged.replace("BOB😁", "") == text


@pytest.mark.django_db(transaction=True)
def test_restoring_is_noted(session, path, bob, api):
    typed(session, bob, "more")
    restored = api(bob).post(f"{path}/1/restore").json()["revision"]
    noted = [entry for entry in recent(session_id=session.pk) if entry.action == "session.text_restored"]
    assert [(entry.user_id, entry.metadata) for entry in noted] == [(bob.pk, {"revision": 1, "restored_as": restored})]


def test_row_that_cannot_be_merged_does_not_hide_the_past(session, path, alice, api):
    head = typed(session, alice, "a", "b")
    Update.objects.filter(document_id=session.pk, seq=head - 1).update(payload=b"\xff spoiled")
    assert api(alice).get(f"{path}/{head - 2}").json()["content"] == "print(1)\n"
    assert api(alice).get(f"{path}/{head - 1}").json()["content"] == "print(1)\n"
    assert Quarantined.objects.get().seq == head - 1


async def test_open_page_sees_the_restore_and_keeps_what_is_typed_there(server: LiveServer) -> None:
    alice, bob = server.person("alice"), server.person("bob")
    session_id = alice.new_session(content="first 😀\nsecond\n")["id"]
    alice.let_in(session_id, bob)
    url = f"/api/sessions/{session_id}"
    async with page(bob, session_id) as opened:
        await opened.edit(lambda main: main.insert(0, "bob: 😁\n"))
        await opened.saved()
        alice.call("PATCH", url, 200, json={"content": "bob: 😁\nnothing else\n"})
        await opened.sees("bob: 😁\nnothing else\n")
        older = alice.call("GET", f"{url}/history", 200)["results"][1]
        assert older["user"]["username"] == bob.username
        await opened.type("last\n")
        await opened.saved()
        revision = alice.call("POST", f"{url}/history/{older['last_revision']}/restore", 200)["revision"]
        await opened.sees("bob: 😁\nfirst 😀\nsecond\n")
        await opened.type("after\n")
        await opened.saved()
    assert alice.text(session_id) == "bob: 😁\nfirst 😀\nsecond\nafter\n"
    shown = alice.call("GET", f"{url}/history/{revision}", 200)
    assert (shown["revision"], shown["content"]) == (revision, "bob: 😁\nfirst 😀\nsecond\n")
