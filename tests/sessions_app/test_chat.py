"""The chat of a session over REST: stored, cleaned, bounded, paged newest first."""

from __future__ import annotations

import pytest
from django.test import override_settings

from activity.models import Activity
from sessions_app.models import ChatMessage

pytestmark = pytest.mark.django_db


@pytest.fixture
def path(session):
    return f"/api/sessions/{session.pk}/chat"


def test_what_was_said_is_listed_newest_first_and_paged(path, alice, carol, api):
    for number in range(5):
        answer = api(carol).post(path, {"text": f"number {number}"})
        assert answer.status_code == 201
    first = api(alice).get(path, {"page_size": 3}).json()
    assert [row["text"] for row in first["results"]] == ["number 4", "number 3", "number 2"]
    assert first["results"][0]["user"] == {"id": str(carol.pk), "username": "carol", "hue": carol.hue}
    rest = api(alice).get(first["next"]).json()
    assert [row["text"] for row in rest["results"]] == ["number 1", "number 0"]
    assert rest["next"] is None


def test_answer_is_the_stored_message(path, alice, api, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        said = api(alice).post(path, {"text": "hello", "ref": "r1"}).json()
    assert said == api(alice).get(path).json()["results"][0]
    assert set(said) == {"id", "user", "text", "created_at"}
    entry = Activity.objects.get(action="chat.said")
    # The log says that something was said, not what.
    assert "hello" not in entry.message and entry.metadata == {"message": said["id"]}


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("  two\r\nlines\rmore\u2028end  ", "two\nlines\nmore\nend"),
        ("a\x00b\x1b[31mc\x7f\x9bd", "ab[31mcd"),
        ("if x:\n\ty", "if x:\n    y"),
        ("e\u0301", "é"),
        ("evil \u202etxt.exe", "evil txt.exe"),
        ("\N{WOMAN}\u200d\N{PERSONAL COMPUTER} \N{ARABIC LETTER ALEF}", None),
        ("x" * 2000, None),
        ("\N{GRINNING FACE}" * 2000, None),
    ],
)
def test_text_is_cleaned(given, stored, path, alice, api):
    answer = api(alice).post(path, {"text": given})
    assert answer.status_code == 201, answer.content
    assert answer.json()["text"] == (stored or given)
    assert ChatMessage.objects.get().text == (stored or given)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"text": ""}, "nothing_said"),
        ({"text": " \n\t\u200b\x00 "}, "nothing_said"),
        ({"text": "x" * 2001}, "message_too_long"),
        ({"text": "\ud800"}, "invalid"),
        ({}, "invalid"),
        ({"text": ["a"]}, "invalid"),
        ({"text": "a", "ref": "r" * 65}, "invalid"),
    ],
)
def test_what_is_no_message_is_refused_by_name(given, code, path, alice, api):
    answer = api(alice).post(path, given)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert answer.json()["errors"]
    assert not ChatMessage.objects.exists()


def test_one_person_is_slowed_down_and_the_others_are_not(path, alice, bob, api, settings):
    rates = {**settings.RATES, "chat": "2/3600"}
    with override_settings(RATE_LIMITS=True, RATES=rates):
        answers = [api(alice).post(path, {"text": "again"}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201, 201, 429]
        assert int(answers[2]["Retry-After"]) > 0
        assert api(bob).post(path, {"text": "me too"}).status_code == 201


def test_who_joins_a_public_session_may_speak_and_before_that_only_read(path, session, alice, mallory, api):
    session.is_public = True
    session.save()
    api(alice).post(path, {"text": "welcome"})
    visitor = api(mallory)
    assert [row["text"] for row in visitor.get(path).json()["results"]] == ["welcome"]
    assert visitor.post(path, {"text": "hi"}).status_code == 403
    assert visitor.post(f"/api/sessions/{session.pk}/join", {}).status_code == 200
    assert visitor.post(path, {"text": "hi"}).status_code == 201


def test_archived_session_has_no_chat(path, session, alice, api):
    api(alice).delete(f"/api/sessions/{session.pk}")
    assert api(alice).get(path).status_code == 404
    assert api(alice).post(path, {"text": "hello"}).status_code == 404


def test_messages_outlive_their_authors_account(path, session, alice, bob, api):
    ChatMessage.objects.create(session=session, user=bob, text="bye")
    bob.delete()
    (row,) = api(alice).get(path).json()["results"]
    assert (row["text"], row["user"]) == ("bye", None)


def test_unknown_parameter_is_refused(path, alice, api):
    assert api(alice).get(path, {"after": "1"}).status_code == 400
