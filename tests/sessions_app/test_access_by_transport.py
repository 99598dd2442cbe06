"""Role x operation x transport, through the front doors of one real server. What must happen is worked out from
sessions_app/access.py, so an action there without an operation here fails, and so does whatever leaks.

The finer rules of REST, pages and admin (who may change whom) are in test_access_table.py.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pycrdt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from realtime.wire.protocol import JSON_SUBPROTOCOL, SUBPROTOCOL
from sessions_app.access import IN_LOCKED, JOINED_ONLY, MODERATOR, NOT_IN_FROZEN, PERMISSIONS, TABLE, Action
from tests.live import PASSWORD
from tests.realtime.page import Page, page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.live import LiveServer, Person

SECRET = "only-for-those-who-may-see-it"
OUTSIDE = ("anonymous", "suspended", "signed out")
ROLES = (*OUTSIDE, "stranger", "visitor", "read", "write", "admin", "moderator", "owner")
OK, NO, HIDDEN, SIGN_IN = "ok", "no", "hidden", "sign in"


def expected(role: str, action: Action) -> str:
    """What access.py says, without asking it."""
    if role in OUTSIDE:
        return SIGN_IN
    permission = "read" if role == "visitor" else role if role in PERMISSIONS else None

    def may(what: Action) -> bool:
        if role == "moderator":
            return what in MODERATOR
        return permission in TABLE[what] and (role != "visitor" or what not in JOINED_ONLY)

    return HIDDEN if not may(Action.VIEW) else OK if may(action) else NO


@dataclass
class Someone:
    """One person as their programs and their browser come in."""

    role: str
    name: str
    session_id: str
    run_id: str
    server: LiveServer
    http: httpx.Client
    pages: httpx.Client
    socket_headers: dict[str, str]
    newcomer: str
    invite_id: str = ""

    def mark(self, what: str) -> str:
        """A text that is theirs: it is looked for where nobody let them write."""
        return f"[{self.name} {what}]"


async def over_rest(someone: Someone, method: str, path: str, /, **body: Any) -> str:
    answer = await asyncio.to_thread(someone.http.request, method, path, **({"json": body} if body else {}))
    assert answer.status_code < 500, (method, path, answer.text)
    if answer.status_code in (401, 403, 404):
        assert SECRET not in answer.text, (method, path, answer.text)
    return {401: SIGN_IN, 403: NO, 404: HIDDEN}.get(answer.status_code, OK)


def rest(method: str, path: str, /, **body: Any) -> Callable[[Someone], Awaitable[str]]:
    async def call(someone: Someone) -> str:
        ids = {
            "session": someone.session_id,
            "run": someone.run_id,
            "mark": someone.mark("rest"),
            "new": someone.newcomer,
            "name": someone.name,
            "invite": someone.invite_id,
        }
        filled = {name: value.format(**ids) if isinstance(value, str) else value for name, value in body.items()}
        return await over_rest(someone, method, path.format(**ids), **filled)

    return call


async def on_page(someone: Someone) -> str:
    answer = await asyncio.to_thread(someone.pages.get, f"/sessions/{someone.session_id}")
    assert (SECRET in answer.text) == (answer.status_code == 200)
    return {302: SIGN_IN, 404: HIDDEN, 200: OK}[answer.status_code]


async def forks_on_page(someone: Someone) -> str:
    form = {"csrfmiddlewaretoken": someone.pages.cookies.get("csrftoken", "")}
    path = f"/sessions/{someone.session_id}/fork"
    answer = await asyncio.to_thread(someone.pages.post, path, data=form)
    if answer.status_code == 302 and not answer.headers["Location"].startswith("/login"):
        return OK
    # Without a cookie for the form there is nobody signed in either.
    return {302: SIGN_IN, 403: NO if form["csrfmiddlewaretoken"] else SIGN_IN, 404: HIDDEN}[answer.status_code]


class Line:
    """A socket of somebody, and everything that was said on it."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.doc: pycrdt.Doc[Any] = pycrdt.Doc()
        self.heard: list[Any] = []

    async def until(self, wanted: Callable[[Any], bool]) -> Any:
        async with asyncio.timeout(60):
            while True:
                frame = await self.socket.recv()
                self.heard.append(frame)
                frame = json.loads(frame) if isinstance(frame, str) else frame
                if isinstance(frame, bytes) and frame[:2] in (b"\x00\x01", b"\x00\x02"):
                    pycrdt.handle_sync_message(frame[1:], self.doc)
                if wanted(frame):
                    return frame

    async def read_text(self) -> str:
        await self.socket.send(pycrdt.create_sync_message(self.doc))
        await self.until(lambda frame: isinstance(frame, bytes) and frame[:2] == b"\x00\x01")
        return str(self.doc.get("main", type=pycrdt.Text))

    async def type(self, text: str) -> None:
        made: list[bytes] = []
        subscription = self.doc.observe(lambda event: made.append(event.update))
        self.doc.get("main", type=pycrdt.Text).insert(0, text)
        self.doc.unobserve(subscription)
        await self.socket.send(pycrdt.create_update_message(made[0]))


def on_socket(
    talk: Callable[[Someone, Line], Awaitable[str]], subprotocol: str | None = SUBPROTOCOL
) -> Callable[[Someone], Awaitable[str]]:
    async def call(someone: Someone) -> str:
        url = f"{someone.server.ws_url}/ws/sessions/{someone.session_id}"
        offered: Any = [subprotocol] if subprotocol else None
        async with connect(
            url, additional_headers=someone.socket_headers, subprotocols=offered, compression=None
        ) as socket:
            line = Line(socket)
            try:
                return await talk(someone, line)
            except ConnectionClosed as closed:
                assert closed.rcvd is not None
                # Whoever may not see the session heard nothing at all before the door was shut.
                assert not line.heard, line.heard
                return {4401: SIGN_IN, 4404: HIDDEN}[closed.rcvd.code]

    return call


async def sees_text(someone: Someone, line: Line) -> str:
    return OK if SECRET in await line.read_text() else NO


async def is_greeted(someone: Someone, line: Line) -> str:
    hello = await line.until(lambda frame: isinstance(frame, dict))
    assert hello["type"] == "hello"
    return OK


async def types_as_stock_client(someone: Someone, line: Line) -> str:
    await line.read_text()
    await line.type(someone.mark("stock"))
    # Acknowledged it is not; but what is asked afterwards is answered afterwards.
    await line.socket.send(b"\x03")
    answer = await line.until(lambda frame: frame[:2] == b"\x02\x00" or frame[0] == 1)
    return NO if answer[0] == 2 else OK


async def types_as_page(someone: Someone, line: Line) -> str:
    await line.read_text()
    await line.type(someone.mark("page"))
    answer = await line.until(lambda frame: isinstance(frame, dict) and frame["type"] in ("ack", "refused"))
    return OK if answer["type"] == "ack" else NO


async def chats(someone: Someone, line: Line) -> str:
    await line.socket.send(json.dumps({"type": "chat", "text": someone.mark("chat"), "ref": "mine"}))
    answer = await line.until(lambda frame: isinstance(frame, dict) and frame["type"] in ("chat", "error"))
    return OK if answer["type"] == "chat" else NO


def plain_socket(someone: Someone) -> Any:
    url = f"{someone.server.ws_url}/ws/sessions/{someone.session_id}"
    protocols: Any = [JSON_SUBPROTOCOL]
    return connect(url, additional_headers=someone.socket_headers, subprotocols=protocols, compression=None)


async def opens(line: Line) -> Any:
    """The state that a client without a CRDT begins with."""
    await line.socket.send(json.dumps({"type": "join-session"}))
    return await line.until(lambda frame: frame["type"] == "state")


async def sees_text_as_plain_client(someone: Someone, line: Line) -> str:
    return OK if SECRET in (await opens(line))["content"] else NO


async def types_as_plain_client(someone: Someone, line: Line) -> str:
    version = (await opens(line))["version"]
    change = {"type": "code-change", "delta": [{"insert": someone.mark("plain")}], "version": version, "ref": "mine"}
    await line.socket.send(json.dumps(change))
    answer = await line.until(lambda frame: frame["type"] in ("ack", "refused") and frame.get("ref") == "mine")
    return OK if answer["type"] == "ack" else NO


async def points_as_plain_client(someone: Someone, line: Line) -> str:
    """Who may look may also be seen to look."""
    version = (await opens(line))["version"]
    await line.socket.send(json.dumps({"type": "cursor-move", "position": 1, "version": version}))
    # What is asked afterwards is answered afterwards, and another page of theirs then sees it.
    await opens(line)
    async with plain_socket(someone) as socket:
        shown = (await opens(Line(socket)))["cursors"]
    return OK if any(cursor["user"]["username"] == someone.name and cursor["head"] == 1 for cursor in shown) else NO


SESSION = "/api/sessions/{session}"
OPERATIONS: dict[tuple[str, str], tuple[Action, Callable[[Someone], Awaitable[str]]]] = {
    ("see the text", "REST"): (Action.VIEW, rest("GET", SESSION)),
    ("see the text", "page"): (Action.VIEW, on_page),
    ("see the text", "socket, binary"): (Action.VIEW, on_socket(sees_text, None)),
    ("see the text", "socket, codecrafter.v1"): (Action.VIEW, on_socket(is_greeted)),
    ("see the text", "socket, codecrafter.json.v1"): (
        Action.VIEW,
        on_socket(sees_text_as_plain_client, JSON_SUBPROTOCOL),
    ),
    ("point", "socket, codecrafter.json.v1"): (Action.VIEW, on_socket(points_as_plain_client, JSON_SUBPROTOCOL)),
    ("see the people", "REST"): (Action.VIEW, rest("GET", SESSION + "/collaborators")),
    ("see who wrote when", "REST"): (Action.VIEW, rest("GET", SESSION + "/history")),
    ("see an older text", "REST"): (Action.VIEW, rest("GET", SESSION + "/history/1")),
    ("see the runs", "REST"): (Action.VIEW, rest("GET", "/api/execute/history/{session}")),
    ("see a run", "REST"): (Action.VIEW, rest("GET", "/api/execute/status/{run}")),
    ("see its output", "REST"): (Action.VIEW, rest("GET", "/api/execute/{run}/output")),
    ("get a ticket", "REST"): (Action.VIEW, rest("POST", SESSION + "/ticket")),
    ("read the chat", "REST"): (Action.VIEW, rest("GET", SESSION + "/chat")),
    ("chat", "REST"): (Action.CHAT, rest("POST", SESSION + "/chat", text="{mark}")),
    ("chat", "socket, codecrafter.v1"): (Action.CHAT, on_socket(chats)),
    ("chat", "socket, codecrafter.json.v1"): (Action.CHAT, on_socket(chats, JSON_SUBPROTOCOL)),
    ("export", "REST"): (Action.EXPORT, rest("GET", SESSION + "/export.zip")),
    ("fork", "REST"): (Action.FORK, rest("POST", SESSION + "/fork")),
    ("fork", "page"): (Action.FORK, forks_on_page),
    # Before the other edits, which it would take back.
    ("restore an older text", "REST"): (Action.EDIT, rest("POST", SESSION + "/history/1/restore")),
    ("edit", "REST"): (Action.EDIT, rest("PATCH", SESSION, content=SECRET + "{mark}")),
    ("edit", "socket, binary"): (Action.EDIT, on_socket(types_as_stock_client, None)),
    ("edit", "socket, codecrafter.v1"): (Action.EDIT, on_socket(types_as_page)),
    ("see the files", "REST"): (Action.VIEW, rest("GET", SESSION + "/files")),
    ("read a file", "REST"): (Action.VIEW, rest("GET", SESSION + "/files/main")),
    ("make a file", "REST"): (Action.EDIT, rest("POST", SESSION + "/files", path="{name}.txt")),
    # The file that stays: 409 to whoever may edit.
    ("rename a file", "REST"): (Action.EDIT, rest("PATCH", SESSION + "/files/main", path="{name}.md")),
    ("delete a file", "REST"): (Action.EDIT, rest("DELETE", SESSION + "/files/main")),
    ("see the deleted files", "REST"): (Action.VIEW, rest("GET", SESSION + "/files/deleted")),
    ("edit", "socket, codecrafter.json.v1"): (Action.EDIT, on_socket(types_as_plain_client, JSON_SUBPROTOCOL)),
    ("run", "REST"): (Action.RUN, rest("POST", "/api/execute", session_id="{session}")),
    ("type into a run", "REST"): (Action.TYPE_INTO_RUN, rest("POST", "/api/execute/{run}/input", text="{mark}")),
    ("rename", "REST"): (Action.CHANGE_SETTINGS, rest("PATCH", SESSION, title=SECRET + " {mark}")),
    ("see the invites", "REST"): (Action.SHARE, rest("GET", SESSION + "/invites")),
    ("invite", "REST"): (Action.SHARE, rest("POST", SESSION + "/invites")),
    ("rotate a link", "REST"): (Action.SHARE, rest("POST", SESSION + "/invites/{invite}/rotate")),
    ("add a writer", "REST"): (
        Action.SHARE,
        rest("POST", SESSION + "/collaborators", username="{new}", permission="write"),
    ),
    ("add an admin", "REST"): (
        Action.MANAGE_ADMINS,
        rest("POST", SESSION + "/collaborators", username="{new}", permission="admin"),
    ),
    # To oneself, which is refused only after the question who one is.
    ("hand over", "REST"): (Action.TRANSFER, rest("POST", SESSION + "/transfer", username="{name}")),
    ("let guests in", "REST"): (Action.ALLOW_GUESTS, rest("PATCH", SESSION, allows_guests="true")),
    ("see the guests", "REST"): (Action.SHARE, rest("GET", SESSION + "/guests")),
    ("stop a run", "REST"): (Action.STOP_ANY_RUN, rest("POST", "/api/execute/{run}/cancel")),
    # The last: only its owner still knows of the session afterwards.
    ("archive", "REST"): (Action.ARCHIVE, rest("DELETE", SESSION)),
}


def test_every_action_has_an_operation():
    assert {action for action, _ in OPERATIONS.values()} == set(Action)


PREPARE = """
from accounts.actions import set_role, suspend
from accounts.models import Role, User
from execution.models import Run, Status
root = User.objects.create_superuser("root-{tag}", "root-{tag}@example.org")
set_role(User.objects.get(pk="{moderator}"), Role.MODERATOR, by=root)
suspend(User.objects.get(pk="{suspended}"), by=root, reason="Spam")
for session in {sessions}:
    run = Run.objects.create(session_id=session, language="python", interactive=True, status=Status.COMPLETED)
    print("RUN", session, run.pk)
"""


def browser(server: LiveServer, person: Person) -> httpx.Client:
    """Signed in on the pages."""
    client = httpx.Client(base_url=server.url, timeout=60, headers={"Referer": server.url})
    client.get("/login")
    form = {"login": person.username, "password": PASSWORD, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
    assert client.post("/login", data=form).status_code == 302
    return client


@pytest.fixture(scope="module")
def newcomer(server: LiveServer) -> Person:
    return server.person("newcomer")


@pytest.fixture(scope="module")
def everybody(server: LiveServer, newcomer: Person) -> tuple[dict[str, Person], dict[str, Someone]]:
    """Each role with a session of its own: (the owners, the people)."""
    owners: dict[str, Person] = {}
    people: dict[str, Someone] = {}
    persons = {role: server.person(role.replace(" ", "-")) for role in ROLES}
    for role, person in persons.items():
        owner = owners[role] = person if role == "owner" else persons["owner"]
        session_id = owner.new_session(content=f"# {SECRET}\n", title=SECRET, is_public=role == "visitor")["id"]
        given = "write" if role in OUTSIDE else role if role in ("read", "write", "admin") else None
        if given:
            owner.let_in(session_id, person, given)
        pages, http, headers = httpx.Client(base_url=server.url, timeout=60), person.http, person.headers
        if role == "anonymous":
            http, headers = pages, {}
        else:
            pages = browser(server, person)
        if role == "signed out":
            pair = httpx.post(
                f"{server.url}/api/auth/login", json={"username": person.username, "password": PASSWORD}, timeout=60
            ).json()
            headers = {"Authorization": f"Bearer {pair['access']}"}
            assert httpx.post(f"{server.url}/api/auth/logout", json={"refresh": pair["refresh"]}).status_code == 204
            key = pages.cookies["sessionid"]
            assert pages.post("/logout", data={"csrfmiddlewaretoken": pages.cookies["csrftoken"]}).status_code == 302
            # The browser has forgotten the cookie; a thief has not.
            http = pages = httpx.Client(base_url=server.url, timeout=60, cookies={"sessionid": key})
        invite_id = owner.call("POST", f"/api/sessions/{session_id}/invites", 201)["id"]
        people[role] = Someone(
            role, person.username, session_id, "", server, http, pages, headers, newcomer.username, invite_id
        )
    sessions = [someone.session_id for someone in people.values()]
    said = server.manage(
        "shell",
        "-v",
        "0",
        "-c",
        PREPARE.format(
            tag=newcomer.username,
            moderator=persons["moderator"].id,
            suspended=persons["suspended"].id,
            sessions=sessions,
        ),
    )
    runs = {line.split()[1]: line.split()[2] for line in said.splitlines() if line.startswith("RUN ")}
    for someone in people.values():
        someone.run_id = runs[someone.session_id]
    return owners, people


@pytest.mark.parametrize("role", ROLES)
async def test_nobody_does_over_any_transport_what_the_table_does_not_give(role, everybody, newcomer):
    owners, people = everybody
    owner, someone = owners[role], people[role]
    found, wanted = {}, {}
    for (operation, transport), (action, attempt) in OPERATIONS.items():
        if action is Action.ARCHIVE:
            shown = owner.call("GET", f"/api/sessions/{someone.session_id}", 200)
            said = owner.call("GET", f"/api/sessions/{someone.session_id}/chat", 200)["results"]
            invited = owner.call("GET", f"/api/sessions/{someone.session_id}/invites", 200)
            let_in = owner.call("GET", f"/api/sessions/{someone.session_id}/collaborators", 200)
        wanted[operation, transport] = expected(role, action)
        found[operation, transport] = await attempt(someone)
    assert found == wanted
    # What was refused has also not happened.
    may = {action: expected(role, action) == OK for action in Action}
    ways = ("rest", "stock", "page", "plain")
    assert [someone.mark(way) in shown["content"] for way in ways] == [may[Action.EDIT]] * len(ways)
    assert (someone.mark("rest") in shown["title"]) == may[Action.CHANGE_SETTINGS]
    heard = {message["text"] for message in said}
    assert [someone.mark(way) in heard for way in ("rest", "chat")] == [may[Action.CHAT]] * 2
    assert len(said) == 3 * may[Action.CHAT]
    # One was there before.
    assert (len(invited) > 1) == may[Action.SHARE]
    kept = {row["user"]["id"]: row["permission"] for row in let_in}
    assert kept.get(newcomer.id) == ("admin" if may[Action.MANAGE_ADMINS] else "write" if may[Action.SHARE] else None)


STOP = """
from accounts.models import Role, User
from sessions_app import moderation
from sessions_app.models import CodeSession
by = User.objects.filter(is_superuser=True).first() or User.objects.create_superuser("root", "r@example.org")
moderation.{state}_session(CodeSession.objects.get(pk="{session}"), by=by, reason="x")
"""


@pytest.mark.parametrize("state", ["lock", "freeze"])
async def test_what_a_moderator_stops_is_stopped_for_everybody_over_every_transport(state, server, newcomer):
    persons = {"write": server.person("writer"), "owner": server.person("owner")}
    owner = persons["owner"]
    session_id = owner.new_session(content=f"# {SECRET}\n", title=SECRET)["id"]
    owner.let_in(session_id, persons["write"], "write")
    invite_id = owner.call("POST", f"/api/sessions/{session_id}/invites", 201)["id"]
    url, headers = f"{server.ws_url}/ws/sessions/{session_id}", persons["write"].headers
    async with connect(url, additional_headers=headers, subprotocols=[SUBPROTOCOL], compression=None) as socket:
        line = Line(socket)
        await line.read_text()
        command = STOP.format(state=state, session=session_id)
        await asyncio.to_thread(server.manage, "shell", "-v", "0", "-c", command)
        if state == "lock":
            # A page that was open hears of it, and whatever it goes on typing is refused.
            await line.until(lambda frame: frame == {"type": "access", "permission": "read"})
            assert await types_as_page(of(server, "write", persons["write"], session_id), line) == NO
    for role, person in persons.items():
        someone = of(server, role, person, session_id, newcomer.username, invite_id)
        for (operation, transport), (action, attempt) in OPERATIONS.items():
            if operation in ("see a run", "see its output", "type into a run", "stop a run"):
                # There is none in a session that nothing may run in.
                continue
            stopped = action not in IN_LOCKED if state == "lock" else action in NOT_IN_FROZEN
            usual = expected(role, action)
            assert await attempt(someone) == (NO if stopped and usual == OK else usual), (operation, transport, role)


def of(server, role, person, session_id, newcomer="", invite_id="") -> Someone:
    pages = browser(server, person)
    return Someone(
        role, person.username, session_id, "", server, person.http, pages, person.headers, newcomer, invite_id
    )


def guest(server: LiveServer, owner: Person, permission: str) -> Someone:
    """Somebody without an account who came by a link and gave a name."""
    session_id = owner.new_session(content=f"# {SECRET}\n", title=SECRET)["id"]
    owner.call("PATCH", f"/api/sessions/{session_id}", 200, json={"allows_guests": True})
    made = owner.call("POST", f"/api/sessions/{session_id}/invites", 201, json={"permission": permission})
    pages = httpx.Client(base_url=server.url, timeout=60, headers={"Referer": server.url})
    pages.get(f"/join/{made['token']}")
    form = {"name": "Gus", "csrfmiddlewaretoken": pages.cookies["csrftoken"]}
    assert pages.post(f"/join/{made['token']}", data=form).status_code == 302
    (row,) = owner.call("GET", f"/api/sessions/{session_id}/guests", 200)
    headers = {"Cookie": f"sessionid={pages.cookies['sessionid']}", "Origin": server.url}
    return Someone(permission, row["user"]["username"], session_id, "", server, pages, pages, headers, "")


def guests_of(seen: Page) -> list[str]:
    return [person["username"] for person in seen.said("presence")[-1]["people"] if person.get("is_guest")]


@pytest.mark.parametrize("permission", ["read", "write"])
async def test_a_guest_may_on_every_socket_what_the_link_says(permission, server):
    owner = server.person("host")
    someone = await asyncio.to_thread(guest, server, owner, permission)
    tried = {
        key: (action, attempt)
        for key, (action, attempt) in OPERATIONS.items()
        if key[1].startswith("socket") or key == ("see the text", "page")
    }
    found = {key: await attempt(someone) for key, (_, attempt) in tried.items()}
    assert found == {key: expected(permission, action) for key, (action, _) in tried.items()}
    url, headers = owner.socket_url(someone.session_id), someone.socket_headers
    async with page(owner, someone.session_id) as host, connect(url, additional_headers=headers):
        await host.until(lambda: guests_of(host))
        assert guests_of(host) == [someone.name]
    # In their session only, even beside a public one of the same owner.
    elsewhere = owner.new_session(content=SECRET, is_public=True)["id"]
    owner.call("PATCH", f"/api/sessions/{elsewhere}", 200, json={"allows_guests": True})
    someone.session_id = elsewhere
    for key, (_, attempt) in tried.items():
        if key[1].startswith("socket"):
            assert await attempt(someone) == HIDDEN, key
