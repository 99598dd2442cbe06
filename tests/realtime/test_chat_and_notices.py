"""The chat and the notices of a session, over its sockets."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, transaction
from django.test import Client

from accounts.models import User
from realtime.connection import chat
from sessions_app import actions, files, invites, sharing
from sessions_app.access import access_to, access_to_archived
from sessions_app.models import ChatMessage, CodeSession
from tests.realtime.asgi import socket

pytestmark = pytest.mark.django_db(transaction=True)


def shown(user: User) -> dict[str, Any]:
    return {"id": str(user.pk), "username": user.username, "hue": user.hue}


async def test_what_is_said_is_stored_and_everybody_hears_it_once(session, alice, carol):
    async with socket(alice, session) as one, socket(carol, session) as other:
        await other.send_json_to({"type": "chat", "text": "  hello\r\nyou ", "ref": "r1"})
        heard = await one.text("chat")
        row = await ChatMessage.objects.aget()
        assert heard == {
            "type": "chat",
            "id": str(row.pk),
            "user": shown(carol),
            "text": "hello\nyou",
            "created_at": row.created_at.isoformat().replace("+00:00", "Z"),
            "ref": "r1",
        }
        assert (row.session_id, row.user_id, row.text) == (session.pk, carol.pk, "hello\nyou")
        assert await other.text("chat") == heard
        await other.send_json_to({"type": "chat", "text": "more"})
        # Not the first one again.
        assert (await one.text("chat"))["text"] == (await other.text("chat"))["text"] == "more"


async def test_message_over_rest_is_heard_over_sockets(session, alice, bob):
    async with socket(alice, session) as one:
        await one.text("hello")
        await sync_to_async(actions.say)(bob, session.pk, "from elsewhere")
        heard = await one.text("chat")
        assert (heard["text"], heard["user"]) == ("from elsewhere", shown(bob))
        assert "ref" not in heard


async def test_messages_of_one_socket_keep_their_order(session, alice):
    async with socket(alice, session) as one:
        for number in range(chat.WAITING_MAX):
            await one.send_json_to({"type": "chat", "text": str(number)})
        assert [(await one.text("chat"))["text"] for _ in range(chat.WAITING_MAX)] == [
            str(number) for number in range(chat.WAITING_MAX)
        ]
    rows = [row.text async for row in ChatMessage.objects.order_by("created_at")]
    assert rows == [str(number) for number in range(chat.WAITING_MAX)]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"text": " "}, "nothing_said"),
        ({"text": "x" * 2001}, "message_too_long"),
        ({"text": 1}, "bad_frame"),
        ({}, "bad_frame"),
        ({"text": "a", "ref": 1}, "bad_frame"),
        ({"text": "a", "ref": "r" * 65}, "bad_frame"),
    ],
)
async def test_what_is_no_message_is_answered_with_its_ref(given, code, session, alice):
    async with socket(alice, session) as one:
        await one.send_json_to({"type": "chat", "ref": "mine", **given})
        refused = await one.text("error")
        assert refused["code"] == code
        assert refused.get("ref") == ("mine" if "ref" not in given else None)
        await one.send_json_to({"type": "chat", "text": "after"})
        assert (await one.text("chat"))["text"] == "after"
    assert await ChatMessage.objects.acount() == 1


async def test_visitor_hears_the_chat_and_may_not_speak_until_joined(session, alice, mallory):
    await CodeSession.objects.filter(pk=session.pk).aupdate(is_public=True)
    async with socket(mallory, session) as visitor, socket(alice, session) as one:
        await visitor.send_json_to({"type": "chat", "text": "hi", "ref": "r"})
        assert await visitor.text("error") | {"detail": ""} == {
            "type": "error", "code": "not_allowed", "detail": "", "ref": "r",
        }  # fmt: skip
        await one.send_json_to({"type": "chat", "text": "welcome"})
        assert (await visitor.text("chat"))["text"] == (await one.text("chat"))["text"] == "welcome"
        access = await sync_to_async(access_to)(mallory, session.pk)
        await sync_to_async(sharing.join_public)(access, mallory)
        await visitor.send_json_to({"type": "chat", "text": "hi"})
        assert (await one.text("chat"))["user"]["username"] == "mallory"
    assert await ChatMessage.objects.acount() == 2


async def test_moderator_who_looks_does_not_speak(session, mod):
    async with socket(mod, session) as one:
        await one.send_json_to({"type": "chat", "text": "hi"})
        assert (await one.text("error"))["code"] == "not_allowed"


async def test_removed_message_disappears_from_open_pages(session, alice, mod):
    async with socket(alice, session) as one:
        await one.send_json_to({"type": "chat", "text": "oh"})
        said = await one.text("chat")
        row = await ChatMessage.objects.aget()
        await sync_to_async(actions.remove_message)(row, mod)
        assert await one.text("chat.removed") == {"type": "chat.removed", "id": said["id"]}


async def test_message_that_cannot_be_stored_is_shown_to_nobody(session, alice, bob, monkeypatch):
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("the disk is full")

    async with socket(alice, session) as one, socket(bob, session) as other:
        await one.text("hello")
        with monkeypatch.context() as patched:
            patched.setattr(ChatMessage.objects, "create", fail)
            await one.send_json_to({"type": "chat", "text": "lost", "ref": "r"})
            refused = await one.text("error")
        assert (refused["code"], refused["ref"]) == ("internal_error", "r")
        await one.send_json_to({"type": "chat", "text": "kept"})
        assert (await other.text("chat"))["text"] == "kept"


async def test_room_is_told_what_happens_to_the_session(session, alice, bob, carol, mallory):
    access = await sync_to_async(access_to)(alice, session.pk)

    @sync_to_async
    def do(action: Any, *args: Any, **kwargs: Any) -> Any:
        return action(*args, **kwargs)

    async with socket(alice, session) as one:
        await one.text("hello")

        async def notice() -> dict[str, Any]:
            told = await one.text("notice")
            assert told.pop("type") == "notice"
            return told

        await do(sharing.set_collaborator, access, alice, "mallory", "read")
        joined = {"kind": "joined", "user": shown(mallory), "permission": "read", "by": shown(alice)}
        assert await notice() == joined
        # Nothing changed, so nothing is said.
        await do(sharing.set_collaborator, access, alice, "mallory", "read")
        await do(sharing.change_collaborator, access, alice, mallory.pk, "write")
        changed = {"kind": "role_changed", "user": shown(mallory), "permission": "write", "by": shown(alice)}
        assert await notice() == changed
        await do(sharing.remove_collaborator, access, alice, mallory.pk)
        assert await notice() == {"kind": "left", "user": shown(mallory), "by": shown(alice)}
        theirs = await sync_to_async(access_to)(carol, session.pk)
        await do(sharing.remove_collaborator, theirs, carol, carol.pk)
        assert await notice() == {"kind": "left", "user": shown(carol), "by": shown(carol)}
        _, token = await sync_to_async(invites.create_invite)(access, alice)
        await do(invites.accept_invite, carol, token)
        joined = {"kind": "joined", "user": shown(carol), "permission": "write", "by": shown(carol)}
        assert await notice() == joined
        changes = {"title": "New", "language": "ruby"}
        await do(actions.change_session, access, alice, changes, expected_version=access.session.version)
        assert await notice() == {"kind": "title_changed", "title": "New", "by": shown(alice)}
        assert await notice() == {"kind": "language_changed", "language": "ruby", "by": shown(alice)}
        file_id = await do(files.create_file, access, alice, "words.txt")
        await do(files.delete_file, access, alice, file_id)
        deleted = {"kind": "file_deleted", "file": file_id, "path": "words.txt", "by": shown(alice)}
        assert await notice() == deleted
        await do(actions.archive_session, access, alice)
        assert await notice() == {"kind": "archived", "by": shown(alice)}
        assert await one.close_code() == 4403
    kept = await sync_to_async(access_to_archived)(alice, session.pk)
    assert kept.session.title == "New"


async def test_what_is_rolled_back_is_not_told(session, alice, mallory):
    access = await sync_to_async(access_to)(alice, session.pk)

    @sync_to_async
    def try_to() -> None:
        with transaction.atomic():
            sharing.set_collaborator(access, alice, "mallory", "read")
            transaction.set_rollback(True)

    async with socket(alice, session) as one:
        await one.text("hello")
        await try_to()
        await sync_to_async(actions.say)(alice, session.pk, "next")
        heard: list[str] = []
        while "chat" not in heard:
            heard.append((await one.receive_json_from(10))["type"])
        assert "notice" not in heard


async def test_room_is_told_by_whatever_door_somebody_comes_and_goes(session, alice, bob, mallory, api):
    """Over the page and REST: each path has its notice, and the same one."""
    path = f"/api/sessions/{session.pk}"

    @sync_to_async
    def do(act: Any) -> None:
        answer = act()
        assert answer.status_code in (200, 201, 204, 302), answer.content

    @sync_to_async
    def new_link() -> str:
        return api(alice).post(f"{path}/invites").json()["token"]

    def browser(user: Any = None) -> Client:
        client = Client()
        if user is not None:
            client.force_login(user)
        return client

    async with socket(alice, session) as one:
        await one.text("hello")

        async def notice(kind: str, by: Any, **also: Any) -> None:
            told = await one.text("notice")
            assert told == {"type": "notice", "kind": kind, "by": shown(by), **also}

        for door in ("page", "REST"):
            token = await new_link()
            if door == "page":
                visitor = await sync_to_async(browser)(mallory)
                await do(lambda visitor=visitor, token=token: visitor.post(f"/join/{token}"))
            else:
                await do(lambda token=token: api(mallory).post(f"{path}/join", {"invite": token}))
            await notice("joined", mallory, user=shown(mallory), permission="write")
            await do(lambda: api(mallory).post(f"{path}/leave"))
            await notice("left", mallory, user=shown(mallory))
        await do(lambda: api(alice).patch(path, {"is_public": True, "allows_guests": True}))
        await do(lambda: api(mallory).post(f"{path}/join"))
        await notice("joined", mallory, user=shown(mallory), permission="read")
        token = await new_link()
        await do(lambda: api(mallory).post(f"{path}/join", {"invite": token}))
        await notice("role_changed", mallory, user=shown(mallory), permission="write")

        visitor = browser()
        await do(lambda: visitor.post(f"/join/{token}", {"name": "Ann"}))
        guest = await User.objects.aget(is_guest=True)
        await notice("joined", guest, user=shown(guest), permission="write")
        await do(lambda: visitor.post(f"{path}/leave"))
        await notice("left", guest, user=shown(guest))

        await do(lambda: api(alice).post(f"{path}/transfer", {"username": "bob"}))
        await notice("role_changed", alice, user=shown(bob), permission="owner")
        await notice("role_changed", alice, user=shown(alice), permission="admin")
