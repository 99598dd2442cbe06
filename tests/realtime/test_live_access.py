"""Whatever ends or lessens somebody's access acts on their open socket: in the process that did it, in another one that
hears of it over Redis, and in another one that hears nothing and asks by itself at its next tick."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import httpx
import jwt
import pytest
from websockets.asyncio.client import connect

from tests.live import PASSWORD, LiveServer, Person
from tests.realtime.page import Page, at, caret, close_code, page

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNED_OUT, LOST_ACCESS, SIGN_IN_CHANGED = 4401, 4403, 4501
TOPOLOGIES = ("same process", "other process, Redis", "other process, no Redis")


@pytest.fixture(params=TOPOLOGIES)
def sides(request: pytest.FixtureRequest) -> tuple[LiveServer, LiveServer]:
    """Where it is done, and where the socket is."""
    with_redis = request.param != TOPOLOGIES[2]
    one, other = request.getfixturevalue("with_redis" if with_redis else "without_redis")
    return one, one if request.param == TOPOLOGIES[0] else other


@pytest.fixture
def room(sides: tuple[LiveServer, LiveServer]) -> tuple[Person, Person, str]:
    """Alice owns at the first; bob writes, with his socket at the second."""
    here, there = sides
    alice, bob = here.person("alice"), there.person("bob")
    session_id = alice.new_session(content="x\n")["id"]
    alice.let_in(session_id, bob)
    return alice, bob, session_id


async def ends(request: pytest.FixtureRequest, one: Page, code: int, act: Callable[[], object]) -> None:
    started = time.monotonic()
    act()
    async with asyncio.timeout(60):
        await one.socket.wait_closed()
    assert one.socket.close_code == code
    print(f"{request.node.name}: {time.monotonic() - started:.3f} s")


async def test_demoted_writer_is_refused(request, room):
    alice, bob, session_id = room
    async with page(bob, session_id) as one:
        started = time.monotonic()
        person = f"/api/sessions/{session_id}/collaborators/{bob.id}"
        alice.call("PATCH", person, 200, json={"permission": "read"})
        await one.until(lambda: one.said("access"))
        print(f"{request.node.name}: {time.monotonic() - started:.3f} s")
        assert one.said("access")[-1]["permission"] == "read"
        await one.type("too late")
        await one.until(lambda: one.said("refused"))
        assert alice.text(session_id) == "x\n"


async def test_renamed_person_has_the_new_name_on_the_list_and_at_the_cursor(room, sides):
    alice, bob, session_id = room
    async with page(bob, session_id) as one, page(at(sides[1], alice), session_id) as other:
        await one.announce({"cursor": caret(one.doc, 0)}, clock=1)
        name = f"{bob.username}-new"
        at(sides[0], bob).call("PATCH", "/api/auth/profile", 200, json={"username": name})
        for side in (one, other):
            await side.until(lambda side=side: name in {row["username"] for row in side.said("presence")[-1]["people"]})
        await other.until(lambda: name in {state["user"]["name"] for state in other.present.values()})


async def test_removed_person_is_closed_out(request, room):
    alice, bob, session_id = room
    person = f"/api/sessions/{session_id}/collaborators/{bob.id}"
    async with page(bob, session_id) as one:
        await ends(request, one, LOST_ACCESS, lambda: alice.call("DELETE", person, 204))


async def test_visitor_is_closed_out_of_what_is_public_no_more(request, room, sides):
    alice, _, session_id = room
    carol = sides[1].person("carol")
    path = f"/api/sessions/{session_id}"
    alice.call("PATCH", path, 200, json={"is_public": True})
    async with page(carol, session_id) as one:
        await ends(request, one, LOST_ACCESS, lambda: alice.call("PATCH", path, 200, json={"is_public": False}))


async def test_everybody_is_closed_out_of_an_archived_session(request, room):
    alice, bob, session_id = room
    async with page(bob, session_id) as one:
        await ends(request, one, LOST_ACCESS, lambda: alice.call("DELETE", f"/api/sessions/{session_id}", 204))


def sign_in(server: LiveServer, person: Person) -> dict[str, str]:
    answer = httpx.post(
        f"{server.url}/api/auth/login", json={"username": person.username, "password": PASSWORD}, timeout=60
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_signing_out_of_the_api_closes_the_sockets_of_that_sign_in_only(request, room, sides):
    alice, bob, session_id = room
    pair = sign_in(sides[0], bob)
    bob.access = pair["access"]
    async with page(bob, session_id) as one, page(alice, session_id) as other:
        await ends(
            request,
            one,
            SIGNED_OUT,
            lambda: alice.http.post("/api/auth/logout", json={"refresh": pair["refresh"]}).raise_for_status(),
        )
        # The same access token opens nothing any more, while other sign-ins go on.
        assert await close_code(bob, bob.socket_url(session_id)) == SIGNED_OUT
        await other.type("on")
        await other.saved()
        async with page(sides[1].person("dave"), _public(alice, session_id)):
            pass


def _public(owner: Person, session_id: str) -> str:
    owner.call("PATCH", f"/api/sessions/{session_id}", 200, json={"is_public": True})
    return session_id


def browser(server: LiveServer, person: Person) -> httpx.Client:
    """Signed in on the pages."""
    client = httpx.Client(base_url=server.url, timeout=60, headers={"Referer": server.url})
    client.get("/login")
    form = {"login": person.username, "password": PASSWORD, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
    assert client.post("/login", data=form).status_code == 302
    return client


async def test_logging_out_of_the_pages_closes_the_sockets_of_that_browser(request, room, sides):
    _, bob, session_id = room
    client = browser(sides[0], bob)
    cookie = f"sessionid={client.cookies['sessionid']}"
    headers = {"Cookie": cookie, "Origin": bob.server.url}
    async with connect(bob.socket_url(session_id), additional_headers=headers, compression=None) as socket:
        one = Page(socket)
        # Its answer says that the socket is in the room.
        await socket.send(b"\x03")
        await socket.recv()
        form = {"csrfmiddlewaretoken": client.cookies["csrftoken"]}
        await ends(request, one, SIGN_IN_CHANGED, lambda: client.post("/logout", data=form))


SUSPEND = (
    "from accounts.actions import suspend; mark = bob.pk.hex[:8]; "
    "root = User.objects.create_superuser('root-' + mark, mark + '@example.org'); suspend(bob, by=root, reason='spam')"
)
NEW_PASSWORD = "bob.set_password('another horse entirely'); bob.save()"


@pytest.mark.parametrize("change", [SUSPEND, NEW_PASSWORD], ids=["suspended", "new password"])
async def test_suspension_and_a_new_password_close_every_socket(request, room, sides, change):
    _, bob, session_id = room
    find = f"from accounts.models import User; bob = User.objects.get(pk='{bob.id}')"
    async with page(bob, session_id) as one:
        await ends(request, one, SIGNED_OUT, lambda: sides[0].manage("shell", "-c", f"{find}; {change}"))


async def test_socket_ends_with_its_token_whoever_is_told(request, room):
    _, bob, session_id = room
    key = bob.server.environment["JWT_SIGNING_KEY"]
    claims = jwt.decode(bob.access, key, algorithms=["HS256"])
    bob.access = jwt.encode(claims | {"exp": int(time.time()) + 4}, key, algorithm="HS256")
    async with page(bob, session_id) as one:
        await one.until(lambda: one.said("token_expiring"))
        await ends(request, one, SIGNED_OUT, lambda: None)
