"""What the access table says is what a socket does: every kind of person, every thing that a socket can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser

from accounts.models import User
from codecrafter.asgi import application
from sessions_app import access, documents, events
from sessions_app.access import MODERATOR, TABLE, Action
from sessions_app.models import Collaborator
from tests.realtime.test_room import Socket, check_now, token_of

pytestmark = pytest.mark.django_db(transaction=True)

SIGNED_OUT, ABSENT = 4401, 4404
# What a person does over a socket, and the row of the table that decides it.
ACTIONS = {"open": Action.VIEW, "edit": Action.EDIT, "receive run events": Action.VIEW}
RUN_EVENT = {"type": "run.output", "job_id": "j", "stream": "stdout", "offset": 0, "data_base64": "aGk="}
ROLES: dict[str, str | None] = {
    **{permission: permission for permission in access.PERMISSIONS},
    "stranger": None,
    "moderator": None,
    "suspended writer": None,
    "suspended owner": None,
    "anonymous": None,
}
SUSPENDED = {"suspended writer": "write", "suspended owner": "owner"}


def may(role: str, action: Action) -> bool:
    return ROLES[role] in TABLE[action] or (role == "moderator" and action in MODERATOR)


def refusal(role: str) -> int:
    return SIGNED_OUT if role == "anonymous" or role in SUSPENDED else ABSENT


@pytest.fixture
def person(alice: User, mod: User, session: Any) -> Callable[[str], User | AnonymousUser]:
    def of(role: str) -> User | AnonymousUser:
        if role == "anonymous":
            return AnonymousUser()
        if role == "moderator":
            return mod
        permission = SUSPENDED.get(role, ROLES[role])
        found = alice if permission == "owner" else User.objects.create_user("somebody", "s@example.org", "a" * 20)
        if permission is not None and found != alice:
            Collaborator.objects.create(session=session, user=found, permission=permission)
        return found

    return of


async def come(user: User | AnonymousUser, session: Any, token: str | None) -> Socket:
    headers = [(b"host", b"localhost")]
    if token is not None:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    opened = Socket(application, f"/ws/sessions/{session.pk}", headers=headers, subprotocols=["codecrafter.v1"])
    await WebsocketCommunicator.connect(opened, 10)
    return opened


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("role", ROLES)
async def test_socket_does_what_the_table_says(role, action, person, session):
    user = await sync_to_async(person)(role)
    token = await sync_to_async(token_of)(user) if isinstance(user, User) else None
    if role in SUSPENDED:
        await User.objects.filter(pk=user.pk).aupdate(is_active=False)
    one = await come(user, session, token)
    if not may(role, Action.VIEW):
        # Neither text nor events: nothing at all is said before the door is shut.
        first = await one.receive_output(10)
        assert (first["type"], first["code"]) == ("websocket.close", refusal(role))
        return
    hello = await one.text("hello")
    assert hello["permission"] == (ROLES[role] or "read")
    if action == "edit":
        await one.type(session, "x")
        if may(role, ACTIONS[action]):
            assert (await one.text("ack"))["received"] == 1
        else:
            assert (await one.text("refused"))["code"] == "read_only"
        text = await sync_to_async(documents.entry_text)(session)
        assert text.startswith("x") == may(role, ACTIONS[action])
    elif action == "receive run events":
        await sync_to_async(events.announce)(session.pk, RUN_EVENT)
        assert await one.text("run.output") == RUN_EVENT
    await one.disconnect()


@pytest.mark.parametrize("role", [role for role in ROLES if may(role, Action.VIEW)])
async def test_person_who_is_suspended_while_connected_hears_nothing_more(role, person, session):
    user = await sync_to_async(person)(role)
    one = await come(user, session, await sync_to_async(token_of)(user))
    await one.text("hello")
    await User.objects.filter(pk=user.pk).aupdate(is_active=False)
    check_now(session)
    assert await one.close_code() == SIGNED_OUT
    again = await come(user, session, await sync_to_async(token_of)(user))
    assert (await again.receive_output(10))["code"] == SIGNED_OUT
