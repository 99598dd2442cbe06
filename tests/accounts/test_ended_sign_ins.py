"""What ends sign-ins: a new password, a suspension, "sign out everywhere"; for cookies, tokens, tickets and sockets."""

from __future__ import annotations

import json
import uuid

import pytest
from allauth.usersessions.models import UserSession
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.test import Client
from rest_framework.test import APIClient

from accounts import actions, tokens
from accounts.models import Scope, User
from accounts.socket_auth import authenticate_token, issue_ticket
from codecrafter.asgi import application
from sessions_app.models import Collaborator
from tests.conftest import PASSWORD

PROFILE = "/api/auth/profile"
REFRESH = "/api/auth/refresh"
NEW = "another long password"


def client_with(access):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    return client


@pytest.fixture
def browser(alice):
    client = Client(HTTP_USER_AGENT="First browser")
    client.post("/login", {"login": "alice", "password": PASSWORD})
    return client


@pytest.fixture
def elsewhere(alice):
    client = Client(HTTP_USER_AGENT="Second browser")
    client.post("/login", {"login": "alice", "password": PASSWORD})
    return client


@pytest.mark.django_db
def test_sign_out_everywhere_over_the_api_ends_all_at_once(rest, signed_in, as_alice, browser, alice):
    other = rest.post("/api/auth/login", {"username": "alice", "password": PASSWORD}).json()
    assert as_alice.post("/api/auth/sign-out-everywhere").status_code == 204
    for pair in (signed_in, other):
        assert client_with(pair["access"]).get(PROFILE).status_code == 401
        assert rest.post(REFRESH, {"refresh": pair["refresh"]}).status_code == 401
    assert browser.get("/profile").status_code == 302
    again = rest.post("/api/auth/login", {"username": "alice", "password": PASSWORD}).json()
    assert client_with(again["access"]).get(PROFILE).status_code == 200


@pytest.mark.django_db
def test_the_page_ends_all_but_the_browser_that_asks(rest, signed_in, browser, elsewhere, bob):
    bobs = tokens.issue(bob)
    page = browser.get("/account/sign-ins").content.decode()
    assert "Second browser" in page
    assert "1 sign-in over the API" in page
    assert browser.post("/account/sign-ins", {"everywhere": "1"}).status_code == 302
    assert client_with(signed_in["access"]).get(PROFILE).status_code == 401
    assert rest.post(REFRESH, {"refresh": signed_in["refresh"]}).status_code == 401
    assert elsewhere.get("/profile").status_code == 302
    page = browser.get("/account/sign-ins").content.decode()
    assert "First browser" in page
    assert "Second browser" not in page
    assert client_with(bobs.access).get(PROFILE).status_code == 200


@pytest.mark.django_db
def test_one_browser_can_be_signed_out(browser, elsewhere, client, bob):
    row = UserSession.objects.get(user_agent="Second browser")
    client.force_login(bob)
    client.post("/account/sign-ins", {"browser": row.pk})
    assert elsewhere.get("/profile").status_code == 200
    browser.post("/account/sign-ins", {"browser": row.pk})
    assert elsewhere.get("/profile").status_code == 302
    assert browser.get("/profile").status_code == 200
    for nonsense in ("", "x", "-1", str(2**70)):
        assert browser.post("/account/sign-ins", {"browser": nonsense}).status_code == 302


@pytest.mark.django_db
def test_a_new_password_on_the_page_ends_all_but_that_browser(rest, signed_in, browser, elsewhere):
    fields = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}
    assert browser.post("/account/password/change", fields).status_code == 302
    assert client_with(signed_in["access"]).get(PROFILE).status_code == 401
    assert rest.post(REFRESH, {"refresh": signed_in["refresh"]}).status_code == 401
    assert elsewhere.get("/profile").status_code == 302
    assert browser.get("/profile").status_code == 200


@pytest.mark.django_db
def test_a_lifted_suspension_brings_no_old_token_back(rest, signed_in, alice):
    User.objects.filter(pk=alice.pk).update(is_active=False)
    actions.end_sign_ins(alice)
    User.objects.filter(pk=alice.pk).update(is_active=True)
    assert client_with(signed_in["access"]).get(PROFILE).status_code == 401
    assert rest.post(REFRESH, {"refresh": signed_in["refresh"]}).status_code == 401


async def come(session, user, *, ticket="", **headers):
    pairs = [(b"host", b"testserver"), *((name.encode(), value.encode()) for name, value in headers.items())]
    path = f"/ws/sessions/{session.pk}" + (f"?ticket={ticket}" if ticket else "")
    socket = WebsocketCommunicator(application, path, headers=pairs, subprotocols=["codecrafter.v1"])
    accepted, _ = await socket.connect(timeout=20)
    assert accepted
    return socket


async def close_code(socket):
    while True:
        message = await socket.receive_output(20)
        if message["type"] == "websocket.close":
            return message["code"]


async def until_text(socket, kind):
    while True:
        message = await socket.receive_output(20)
        assert message["type"] != "websocket.close", message
        if message.get("text") and (frame := json.loads(message["text"]))["type"] == kind:
            return frame


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("ending", ["everywhere", "password", "suspension"])
async def test_open_sockets_close_at_once(ending, session, alice, settings):
    # The announcement, not the tick, which looks every so often as well.
    settings.ROOM_TICK_SECONDS = 600
    access = (await sync_to_async(tokens.issue)(alice)).access
    ticket, _ = await sync_to_async(issue_ticket)(alice, session.pk)
    by_token = await come(session, alice, authorization=f"Bearer {access}")
    by_ticket = await come(session, alice, ticket=ticket)
    for socket in (by_token, by_ticket):
        await until_text(socket, "hello")

    def end():
        if ending == "password":
            alice.set_password(NEW)
            alice.save()
            actions.note_sign_ins_ended(alice)
        else:
            if ending == "suspension":
                User.objects.filter(pk=alice.pk).update(is_active=False)
            actions.end_sign_ins(alice)

    await sync_to_async(end)()
    assert [await close_code(socket) for socket in (by_token, by_ticket)] == [4401, 4401]
    late = await come(session, alice, authorization=f"Bearer {access}")
    assert await close_code(late) == 4401


@pytest.mark.django_db(transaction=True)
async def test_a_ticket_and_a_renewal_end_with_the_sign_ins_too(session, alice):
    access = (await sync_to_async(tokens.issue)(alice)).access
    ticket, _ = await sync_to_async(issue_ticket)(alice, session.pk)
    await sync_to_async(actions.end_sign_ins)(alice)
    late = await come(session, alice, ticket=ticket)
    assert await close_code(late) == 4401
    assert await authenticate_token(access) is None


@pytest.mark.django_db(transaction=True)
async def test_a_reading_token_reads_over_the_socket_and_closes_when_it_is_revoked(session, alice, settings):
    settings.ROOM_TICK_SECONDS = 600
    row, text = await sync_to_async(actions.make_token)(alice, name="reader", scopes={Scope.READ})
    socket = await come(session, alice, authorization=f"Bearer {text}")
    assert (await until_text(socket, "hello"))["permission"] == "read"
    await socket.send_to(text_data=json.dumps({"type": "chat", "text": "hello"}))
    assert (await until_text(socket, "error"))["code"] == "scope_missing"
    # A look at the access of the room gives it no more than it came with.
    await sync_to_async(actions.end_sign_ins)(alice)
    await socket.send_to(text_data=json.dumps({"type": "chat", "text": "hello"}))
    assert (await until_text(socket, "error"))["code"] == "scope_missing"
    await sync_to_async(actions.revoke_token)(row)
    assert await close_code(socket) == 4401


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("scopes", [{Scope.RUN}, {Scope.EDIT}])
async def test_a_token_that_may_not_read_opens_no_socket(session, alice, scopes):
    _, text = await sync_to_async(actions.make_token)(alice, name="runner", scopes=scopes)
    socket = await come(session, alice, authorization=f"Bearer {text}")
    assert await close_code(socket) == 4401


@pytest.mark.django_db(transaction=True)
async def test_a_bot_is_told_from_people_among_those_present(session, alice):
    bot = await sync_to_async(actions.make_bot)(alice, f"bot-{uuid.uuid4().hex[:8]}")
    await Collaborator.objects.acreate(session=session, user=bot, permission="write")
    _, text = await sync_to_async(actions.make_token)(bot, name="helper", scopes={Scope.READ, Scope.EDIT})
    socket = await come(session, bot, authorization=f"Bearer {text}")
    assert (await until_text(socket, "hello"))["permission"] == "write"
    assert [person.get("is_bot", False) for person in (await until_text(socket, "presence"))["people"]] == [True]
    await socket.disconnect()
