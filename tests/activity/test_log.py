"""What record() and recent() promise, whichever store is behind them."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.db import transaction

from activity import log
from activity.entries import METADATA_MAX_BYTES

if TYPE_CHECKING:
    from activity.log import Store

ALICE = uuid.uuid4()
BOB = uuid.uuid4()
SESSION = uuid.uuid4()


def stored(store: Store, **wanted: Any) -> list[log.Entry]:
    assert store.flush(10)
    return log.recent(**wanted)


def test_an_entry_comes_back_as_it_was_recorded(store: Store) -> None:
    log.record(
        "session.created",
        "alice created “Sorting”",
        user_id=ALICE,
        session_id=str(SESSION),
        level="warning",
        metadata={"language": "python", "size": 3, "deep": {"list": [1, None, True]}},
    )
    (entry,) = stored(store)
    assert (entry.action, entry.message, entry.level) == ("session.created", "alice created “Sorting”", "warning")
    assert (entry.user_id, entry.session_id) == (ALICE, SESSION)
    assert entry.metadata == {"language": "python", "size": 3, "deep": {"list": [1, None, True]}}
    assert entry.timestamp.tzinfo is not None


def test_entries_are_found_by_person_and_by_session_newest_first(store: Store) -> None:
    for number in range(3):
        log.record("run.submitted", f"alice {number}", user_id=ALICE, session_id=SESSION)
    log.record("run.submitted", "bob", user_id=BOB, session_id=SESSION)
    log.record("user.signed_in", "alice signed in", user_id=ALICE)
    assert [entry.message for entry in stored(store, user_id=ALICE)] == [
        "alice signed in",
        "alice 2",
        "alice 1",
        "alice 0",
    ]
    assert [entry.message for entry in log.recent(session_id=SESSION, limit=2)] == ["bob", "alice 2"]
    assert [entry.message for entry in log.recent(session_id=SESSION, user_id=BOB)] == ["bob"]
    assert log.recent(user_id=uuid.uuid4()) == []


def test_reading_on_from_a_cursor_neither_skips_nor_repeats(store: Store) -> None:
    for number in range(25):
        log.record("edit", str(number))
    seen, before = [], None
    assert store.flush(10)
    while page := log.recent(limit=7, before=before):
        seen += [entry.message for entry in page]
        before = page[-1].cursor
    assert seen == [str(number) for number in reversed(range(25))]


@pytest.mark.parametrize("cursor", ["", "x", "12", "1-", "-1", "1-$", "99999999999999999-1", "1- 1"])
def test_a_foreign_cursor_is_no_error_for_the_caller(store: Store, cursor: str) -> None:
    log.record("edit", "text")
    assert stored(store, before=cursor) == []


def test_nothing_is_recorded_when_the_transaction_rolls_back(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        log.record("session.created", "never was")
        raise ZeroDivisionError
    with transaction.atomic():
        log.record("session.created", "was")
        assert store.flush(10)
        assert log.recent() == []
    assert [entry.message for entry in stored(store)] == ["was"]


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b", "\udfff", "🙂 ünï", "a\nb", "$where", "<script>"])
def test_any_text_is_taken(store: Store, text: str) -> None:
    log.record(text, text, level="info", metadata={text: text, "list": [text, {text: text}]})
    (entry,) = stored(store)
    clean = text.translate({0: "\ufffd", 0xD800: "\ufffd", 0xDFFF: "\ufffd"})
    assert entry.message == clean
    assert clean in entry.metadata.values()


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("cannot be told")


@pytest.mark.parametrize(
    "metadata",
    [
        {"$set": 1, "a.b": {"$ref": "x", "$id": 1}},
        {"id": uuid.uuid4(), "bytes": b"\xff", "nan": float("nan"), "infinite": float("inf")},
        {"large": 2**64, "larger": 10**5000, "small": -(2**63)},
        {1: 1, None: None, "set": {1}},
        {"tuple key": {(1, 2): 3}},
        {"unprintable": Unprintable()},
    ],
)
def test_any_metadata_is_taken(store: Store, metadata: dict[Any, Any]) -> None:
    log.record("odd", "metadata", metadata=metadata)
    (entry,) = stored(store)
    assert len(entry.metadata) == len(metadata)


def test_metadata_that_contains_itself_is_taken(store: Store) -> None:
    loop: dict[str, Any] = {}
    loop["again"] = loop
    log.record("odd", "loop", metadata=loop)
    assert len(stored(store)) == 1


def test_long_values_are_cut(store: Store) -> None:
    log.record("a" * 1000, "b" * 1000, metadata={"first": 1, "long": "é" * 5000, "last": 2})
    (entry,) = stored(store)
    assert len(entry.message) == 300
    assert len(entry.action) == 60
    assert entry.metadata["first"] == 1
    assert "long" not in entry.metadata
    assert len(json.dumps(entry.metadata)) <= METADATA_MAX_BYTES


def test_an_impossible_call_is_swallowed(store: Store) -> None:
    log.record("odd", Unprintable())  # type: ignore[arg-type]
    log.record("odd", "not an id", user_id="alice")
    log.record("odd", "not a mapping", metadata=[1])  # type: ignore[arg-type]
    log.record("odd", "unknown level", level="loud")  # type: ignore[arg-type]
    assert [(entry.message, entry.level) for entry in stored(store)] == [("unknown level", "info")]


def test_preparing_twice_is_safe(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        call_command("prepare_activity")
    assert capsys.readouterr().out == "The activity log is ready.\n" * 2
    log.record("edit", "after")
    assert len(stored(store)) == 1


def test_a_store_that_works_says_so(store: Store) -> None:
    assert store.status()[0]


def test_who_is_forgotten_leaves_nothing_and_others_stay(store: log.Store) -> None:
    gone, stays = uuid.uuid4(), uuid.uuid4()
    for user_id in (gone, stays, gone):
        log.record("edit", "somebody edited", user_id=user_id)
    log.forget(gone)
    assert log.recent(user_id=gone) == []
    assert len(log.recent(user_id=stays)) == 1
