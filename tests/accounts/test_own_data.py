"""People take along what is kept about them, and go without leaving their name."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Generator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import languages
from accounts import actions, privacy
from accounts.models import Note, PersonalToken, Scope, User
from activity import audit, log
from activity.models import AuditEntry
from execution.models import Run, RunFile, RunInput, RunOutput, Status, TestCase
from execution.retention import forget_old_runs
from sessions_app import actions as session_actions
from sessions_app import moderation, own_data
from sessions_app.document import contents
from sessions_app.models import ChatMessage, CodeSession, Collaborator, Report, Update
from sessions_app.own_data import forget_archived
from web.problems import DomainError, Forbidden

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks, Settings

pytestmark = pytest.mark.django_db


def unpacked(user: User) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(b"".join(privacy.archive(user)))) as packed:
        assert packed.testzip() is None
        return {name: packed.read(name) for name in packed.namelist()}


@pytest.fixture
def lived(session: Any, alice: User, bob: User, django_capture_on_commit_callbacks: Any) -> CodeSession:
    """Alice's session, in which she and bob wrote, said and ran something, and what she did elsewhere."""
    with django_capture_on_commit_callbacks(execute=True):
        contents.replace_entry_text(session.pk, "print('alice was here')\n", alice.pk)
        contents.replace_entry_text(session.pk, "print('bob too')\n", bob.pk)
        theirs = session_actions.create_session(bob, language=languages.get("c"), title="Bob's", content="int x;\n")
        Collaborator.objects.create(session=theirs, user=alice, permission="write")
        for place in (session, theirs):
            contents.replace_entry_text(place.pk, f"{place.title} by alice\n", alice.pk)
            ChatMessage.objects.create(session=place, user=alice, text=f"alice says hello in {place.title}")
            run = Run.objects.create(user=alice, session=place, language="python", status=Status.COMPLETED)
            RunFile.objects.create(run=run, path="main.py", content=b"\xff\x00")
            RunOutput.objects.create(run=run, stream="stdout", offset=0, data=b"out")
        Run.objects.create(user=alice, language="python", stdin=b"alone")
        ChatMessage.objects.create(session=session, user=bob, text="bob says hello")
        Report.objects.create(session=theirs, reporter=alice, reason="spam")
        actions.make_token(alice, name="script", scopes=[Scope.READ])
        actions.make_bot(alice, "alice-bot")
    return theirs


def test_the_archive_holds_what_is_theirs_and_nothing_of_others(
    lived: CodeSession, alice: User, bob: User, session: Any
) -> None:
    files = unpacked(alice)
    profile = json.loads(files["profile.json"])
    assert (profile["username"], profile["email"]) == ("alice", "alice@example.org")
    assert [bot["username"] for bot in profile["bots"]] == ["alice-bot"]
    folder = f"sessions/Together {session.pk}"
    assert files[f"{folder}/files/main.py"] == b"Together by alice\n"
    assert json.loads(files[f"{folder}/session.json"])["people"] == [
        {"user__username": "bob", "permission": "write"},
        {"user__username": "carol", "permission": "read"},
    ]
    said = [json.loads(line)["text"] for line in files["chat.jsonl"].splitlines()]
    assert said == ["alice says hello in Together", "alice says hello in Bob's"]
    runs = [json.loads(line) for line in files["runs.jsonl"].splitlines()]
    assert [run["stdin"] for run in runs] == ["", "", "alone"]
    sent, printed = (json.loads(files[name].splitlines()[0]) for name in ("run_files.jsonl", "run_output.jsonl"))
    assert (sent["job_id"], sent["path"], sent["content"]) == (runs[0]["job_id"], "main.py", {"base64": "/wA="})
    assert (printed["job_id"], printed["stream"], printed["text"]) == (runs[0]["job_id"], "stdout", "out")
    assert [row["session__title"] for row in json.loads(files["joined_sessions.json"])] == ["Bob's"]
    assert b"user.bot_made" in files["activity.jsonl"]
    everything = b"\n".join(files.values())
    for secret in (alice.password, PersonalToken.objects.get().digest, "int x;", "bob says hello"):
        assert secret.encode() not in everything
    assert "profile.json" in unpacked(bob)


def test_hostile_titles_and_names_stay_inside_the_archive(alice: User) -> None:
    for title in ("../../etc", "a/b\\c", "CON", "x" * 120, "same", "same"):
        session_actions.create_session(alice, language=languages.get("python"), title=title, content="")
    names = list(unpacked(alice))
    assert len(names) == len(set(names))
    for name in names:
        assert not name.startswith("/") and ".." not in name.split("/") and "\\" not in name
    assert sum(name.endswith("/main.py") for name in names) == 6


def test_a_session_that_cannot_be_read_does_not_keep_the_rest_back(alice: User, session: Any) -> None:
    Update.objects.filter(document_id=session.pk).delete()
    assert any(name.endswith("/UNREADABLE.txt") for name in unpacked(alice))


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An app that has a gigabyte about everybody, in pieces that do not pack."""
    made: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(1024):
            made.append(number)
            yield os.urandom(1024) * 1024 if number % 64 else os.urandom(1024 * 1024)

    monkeypatch.setattr(privacy, "exporters", [lambda user: iter([("large", pieces()), ("after", [b"x"])])])
    return made


def test_the_archive_leaves_piece_by_piece(endless: list[int], alice: User) -> None:
    pieces = privacy.archive(alice)
    assert isinstance(pieces, Generator)
    next(pieces)
    assert len(endless) <= 2
    pieces.close()


def test_an_archive_that_grows_too_large_ends_and_says_so(endless: list[int], alice: User, settings: Settings) -> None:
    settings.EXPORT_MAX_BYTES = 3 * 1024 * 1024
    files = unpacked(alice)
    assert set(files) == {"large", "INCOMPLETE.txt"}
    assert len(endless) == 4


def test_the_page_asks_for_the_password_unless_it_was_just_given(client: Client, alice: User, password: str) -> None:
    client.force_login(alice)
    for method in (client.get, client.post):
        asked = method("/account/data")
        assert (asked.status_code, asked["Location"].split("?")[0]) == (302, "/account/reauthenticate")
    deleted = client.post("/account/delete", {"username": "alice"})
    assert deleted["Location"].startswith("/account/reauthenticate")
    assert User.objects.get(pk=alice.pk).is_able and not AuditEntry.objects.exists()
    client.post("/account/reauthenticate", {"password": password})
    assert client.get("/account/data").status_code == 200


def signed_in(client: Client, password: str, name: str = "alice") -> Client:
    """And asked for the password again."""
    assert client.post("/login", {"login": name, "password": password}).status_code == 302
    client.post("/account/reauthenticate", {"password": password})
    return client


def test_the_download_is_a_zip_that_nobody_keeps_and_is_limited(
    client: Client, alice: User, password: str, settings: Settings
) -> None:
    settings.RATE_LIMITS = True
    settings.RATES = settings.RATES | {"export": "1/3600"}
    page = signed_in(client, password)
    answer = page.post("/account/data")
    assert answer["Content-Disposition"] == 'attachment; filename="codecrafter-alice.zip"'
    assert "no-store" in answer["Cache-Control"] and answer.streaming
    with pytest.warns(Warning, match="asynchronous iterators"):
        content = b"".join(answer)
    assert "profile.json" in zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert AuditEntry.objects.get().action == "data.exported"
    assert page.post("/account/data").status_code == 429


def test_an_account_goes_and_what_stays_has_no_name(
    lived: CodeSession,
    session: Any,
    client: Client,
    alice: User,
    bob: User,
    mod: User,
    password: str,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    alone = session_actions.create_session(alice, language=languages.get("python"), title="Alone", content="")
    actions.write_note(alice, by=mod, text="a note")
    page = signed_in(client, password)
    assert "Give it to bob" in page.get("/account/data").text
    with django_capture_on_commit_callbacks(execute=True):
        gone = page.post("/account/delete", {"username": "ALICE", f"heir-{session.pk}": str(bob.pk)})
    assert gone["Location"] == "/"
    assert page.get("/sessions").status_code == 302

    assert not CodeSession.objects.filter(pk=alone.pk).exists()
    session.refresh_from_db()
    assert session.owner == bob
    assert not Collaborator.objects.filter(user__in=[alice, bob]).exclude(session=lived).exists()
    assert not Collaborator.objects.filter(user=alice).exists()
    assert contents.entry_text(session) == "Together by alice\n"
    # What stays is by nobody; what others did is still theirs.
    assert set(Update.objects.exclude(user=None).values_list("user__username", flat=True)) == {"bob"}
    said = ChatMessage.objects.order_by("created_at").values_list("user__username", "text")
    assert list(said) == [
        (None, "alice says hello in Together"),
        (None, "alice says hello in Bob's"),
        ("bob", "bob says hello"),
    ]
    assert Run.objects.count() == 2 and not Run.objects.exclude(user=None).exists()
    assert Report.objects.get().reporter is None
    assert not PersonalToken.objects.exists() and not Note.objects.exists()
    assert not log.recent(user_id=alice.pk)

    left = User.objects.get(pk=alice.pk)
    assert not left.is_able and left.deleted_at and not left.has_usable_password()
    assert "alice" not in f"{left.username} {left.email} {left.preferences}"
    assert not User.objects.filter(username="alice-bot").exists()
    # The name is free again, and the trail keeps nothing but ids.
    actions.register(username="alice", email="alice@example.org", password=password)
    entries = list(AuditEntry.objects.values())
    assert [entry["action"] for entry in entries if entry["action"].startswith("account")] == ["account.deleted"]
    assert {"session.transferred", "session.deleted"} <= {entry["action"] for entry in entries}
    assert "alice" not in str(entries)
    assert audit.verify().broken is None


@pytest.mark.django_db(transaction=True)
def test_many_sessions_go_in_short_transactions(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nobody else who writes waits for all of it: SQLite has one write lock."""
    for number in range(50):
        session_actions.create_session(alice, language=languages.get("python"), title=f"{number}", content="")
    steps: list[int] = []
    real = CodeSession.objects.filter

    def erase(user: User) -> bool:
        before = real(owner=user).count()
        has_more = own_data.erase(user)
        assert not connection.in_atomic_block
        steps.append(before - real(owner=user).count())
        return has_more

    monkeypatch.setattr(privacy, "erasers", [erase])
    with CaptureQueriesContext(connection) as captured:
        actions.delete_account(alice, {})
    assert sum(steps) == 50 and max(steps) == 10
    assert len(captured) < 10 * 50


@pytest.mark.django_db(transaction=True)
def test_a_deletion_that_died_halfway_is_finished_by_housekeeping(
    alice: User, bob: User, session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        session_actions.create_session(alice, language=languages.get("python"), title=f"{number}", content="")
    calls = iter([True])

    def dies(user: User) -> bool:
        if next(calls, False):
            return own_data.erase(user)
        raise OSError("the process ends here")

    with monkeypatch.context() as broken, pytest.raises(OSError, match="ends here"):
        broken.setattr(privacy, "erasers", [dies])
        actions.delete_account(alice, {})
    left = User.objects.get(pk=alice.pk)
    assert not left.is_able and left.username != "alice" and 0 < CodeSession.objects.filter(owner=left).count() < 31
    actions.forget_deleted()
    assert not CodeSession.objects.filter(owner=left).exists()
    assert User.objects.filter(pk=alice.pk).exists()
    assert audit.verify().broken is None


def test_own_data_of_many_sessions_takes_few_queries(
    alice: User, bob: User, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        made = session_actions.create_session(alice, language=languages.get("python"), title=f"{number}", content="")
        Collaborator.objects.create(session=made, user=bob, permission="write")
    with django_assert_max_num_queries(3):
        owned = own_data.estate(alice)
    assert [[heir.username for heir in one.heirs] for one in owned] == [["bob"]] * 30


def test_the_last_trace_goes_a_day_later(lived: CodeSession, alice: User) -> None:
    with time_machine.travel("2026-01-01 12:00:00+00:00", tick=False) as clock:
        actions.delete_account(alice, {})
        clock.shift(timedelta(hours=23))
        actions.forget_deleted()
        assert User.objects.filter(pk=alice.pk).exists()
        clock.shift(timedelta(hours=2))
        actions.forget_deleted()
    assert not User.objects.filter(pk=alice.pk).exists()
    assert set(User.objects.values_list("username", flat=True)) == {"bob", "carol"}
    assert CodeSession.objects.get() == lived


def test_what_a_bot_owns_is_taken_along_handed_over_and_deleted_with_its_person(alice: User, bob: User) -> None:
    bot = actions.make_bot(alice, "alice-bot")
    python = languages.get("python")
    given, gone = (session_actions.create_session(bot, language=python, title=title) for title in ("Given", "Gone"))
    for person in (alice, bob):
        Collaborator.objects.create(session=given, user=person, permission="write")
    assert {f"sessions/{made.title} {made.pk}/session.json" for made in (given, gone)} <= set(unpacked(alice))
    assert [[heir.username for heir in one.heirs] for one in own_data.estate(alice)] == [["bob"]]
    actions.delete_account(alice, {given.pk: bob.pk})
    assert list(CodeSession.objects.values_list("pk", "owner__username")) == [(given.pk, "bob")]


def test_the_runs_of_a_bot_are_taken_along_with_those_of_its_person(alice: User, bob: User) -> None:
    bot = actions.make_bot(alice, "alice-bot")
    runs = [Run.objects.create(user=user, language="python", stdin=b"in") for user in (alice, bot, bob)]
    for run in runs:
        RunFile.objects.create(run=run, path="main.py", content=b"")
        RunInput.objects.create(run=run, number=1, user=run.user, data=b"typed")
        RunOutput.objects.create(run=run, stream="stdout", offset=0, data=b"out")
        TestCase.objects.create(run=run, number=1)
    files = unpacked(alice)
    for name in ("runs", "run_files", "run_input", "run_output", "run_cases"):
        rows = [json.loads(line) for line in files[f"{name}.jsonl"].splitlines()]
        assert [row["job_id"] for row in rows] == [str(run.pk) for run in runs[:2]], name
    assert [json.loads(line)["user"] for line in files["runs.jsonl"].splitlines()] == ["alice", "alice-bot"]


def test_what_a_moderator_closed_outlasts_its_owner(session: Any, alice: User, bob: User, mod: User) -> None:
    moderation.close_session(session, by=mod, reason="spam")
    with time_machine.travel("2026-01-01 12:00:00+00:00", tick=False) as clock:
        actions.delete_account(alice, {session.pk: bob.pk})
        clock.shift(timedelta(days=2))
        actions.forget_deleted()
    session.refresh_from_db()
    assert (session.owner_id, session.owner.username) == (alice.pk, f"deleted-{alice.pk.hex[:20]}")
    assert contents.entry_text(session) == "print(1)\n"


@pytest.mark.parametrize("heir", ["mallory", "suspended", "bot"])
def test_a_session_goes_to_nobody_who_is_not_in_it_or_may_not_act(
    heir: str, session: Any, alice: User, bob: User, mallory: User, mod: User
) -> None:
    bot = actions.make_bot(bob, "bob-bot")
    Collaborator.objects.create(session=session, user=bot, permission="write")
    if heir == "suspended":
        actions.suspend(bob, by=mod, reason="x")
    whom = {"mallory": mallory, "suspended": bob, "bot": bot}[heir]
    with pytest.raises(DomainError):
        actions.delete_account(alice, {session.pk: whom.pk})
    session.refresh_from_db()
    alice.refresh_from_db()
    assert session.owner == alice and alice.is_able


def test_nobody_is_deleted_by_a_slip_or_while_they_hold_the_keys(client: Client, alice: User, password: str) -> None:
    page = signed_in(client, password)
    for typed in ("", "bob"):
        page.post("/account/delete", {"username": typed})
    page.get("/account/delete", {"username": "alice"})
    root = User.objects.create_superuser("root", "root@example.org", password)
    with pytest.raises(Forbidden):
        actions.delete_account(root, {})
    assert User.objects.filter(deleted_at=None).count() == 2


def test_what_is_kept_for_a_time_goes_after_it(session: Any, alice: User, bob: User, settings: Settings) -> None:
    old = timezone.now() - timedelta(days=40)
    run = Run.objects.create(user=alice, session=session, language="python", status=Status.COMPLETED, finished_at=old)
    closed = CodeSession.objects.create(owner=bob, title="x", language="c", archived_at=old, closed_at=old)
    CodeSession.objects.filter(pk=session.pk).update(archived_at=old)
    for days, left in ((0, 3), (41, 3), (39, 1)):
        settings.ARCHIVE_DAYS = settings.RUN_DAYS = days
        forget_old_runs()
        forget_archived()
        assert Run.objects.filter(pk=run.pk).count() + CodeSession.objects.count() == left
    assert CodeSession.objects.get() == closed
