"""A socket that was opened with a token or a ticket: it is asked for another one, takes only a good one, and ends."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async

from accounts import actions, tokens
from accounts.socket_auth import issue_ticket
from codecrafter.asgi import application
from tests.realtime.asgi import Socket, socket, token_of
from tests.realtime.test_room import browser

if TYPE_CHECKING:
    from rest_framework.test import APIClient

pytestmark = pytest.mark.django_db(transaction=True)


async def renew(one: Socket, access: Any) -> None:
    await one.send_to(text_data=json.dumps({"type": "token", "access": access}))


@pytest.mark.slow
async def test_socket_is_asked_a_minute_before_its_token_ends_and_outlives_it_with_another(session, alice):
    async with socket(alice, session, seconds=3) as one:
        asked = await one.text("token_expiring")
        await renew(one, await sync_to_async(token_of)(alice))
        taken = await one.text("token")
        assert taken["expires_at"] > asked["expires_at"]
        # Past the end of the first.
        await asyncio.sleep(4)
        await one.type(session, "x")
        assert await one.text("ack")


async def test_socket_whose_token_has_long_to_go_is_not_asked_yet(session, alice):
    async with socket(alice, session, seconds=300) as one:
        await one.text("hello")
        await one.type(session, "x")
        frames = []
        while not frames or frames[-1].get("type") != "ack":
            frames.append(json.loads((await one.receive_output(10)).get("text", "{}")))
        assert "token_expiring" not in [frame.get("type") for frame in frames]


@pytest.mark.slow
async def test_no_other_token_renews_a_socket_and_it_ends_when_it_said(session, alice, bob):
    ended = await sync_to_async(tokens.issue)(alice)
    await sync_to_async(actions.sign_out)(ended.refresh)
    wrong = [
        "nonsense",
        await sync_to_async(token_of)(bob),
        await sync_to_async(token_of)(alice, -1),
        (await sync_to_async(tokens.issue)(alice)).refresh,
        ended.access,
        "x" * 100_000,
    ]
    async with socket(alice, session, seconds=6) as one:
        for access in wrong:
            await renew(one, access)
            assert (await one.text("error"))["code"] == "token_refused"
        for access in (None, 5, ["x"]):
            await renew(one, access)
            assert (await one.text("error"))["code"] == "bad_frame"
        assert await one.close_code() == 4401


async def test_socket_of_a_browser_needs_no_token(session, alice, client):
    await sync_to_async(client.force_login)(alice)
    one = browser(client, session)
    await one.connect()
    await renew(one, await sync_to_async(token_of)(alice))
    assert (await one.text("error"))["code"] == "token_not_needed"
    await one.disconnect()


@pytest.mark.slow
async def test_ticket_lives_no_longer_than_the_token_that_asked_for_it(session, alice, api):
    client: APIClient = await sync_to_async(api)(None)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {await sync_to_async(token_of)(alice, 4)}")
    answer = await sync_to_async(client.post)(f"/api/sessions/{session.pk}/ticket")
    path = f"/ws/sessions/{session.pk}?ticket={answer.json()['ticket']}"
    one = Socket(application, path, headers=[(b"host", b"localhost")], subprotocols=["codecrafter.v1"])
    await one.connect(10)
    await one.text("token_expiring")
    assert await one.close_code() == 4401


async def test_ticket_socket_ends_with_the_sign_in_that_asked_for_it(session, alice):
    pair = await sync_to_async(tokens.issue)(alice)
    family = (await sync_to_async(tokens.read_refresh)(pair.refresh))["fam"]
    ticket, _ = await sync_to_async(issue_ticket)(alice, session.pk, family=family)
    path = f"/ws/sessions/{session.pk}?ticket={ticket}"
    one = Socket(application, path, headers=[(b"host", b"localhost")], subprotocols=["codecrafter.v1"])
    await one.connect(10)
    await one.text("hello")
    await sync_to_async(actions.sign_out)(pair.refresh)
    assert await one.close_code() == 4401
