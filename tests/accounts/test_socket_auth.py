"""SocketAuth in front of a socket that only says whom it sees; what real sockets do with it is in tests/realtime."""

from __future__ import annotations

import asyncio
import json
import uuid

import jwt
import pytest
from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.testing import WebsocketCommunicator
from django.conf import settings as django_settings
from django.contrib.sessions.models import Session
from django.test import Client

from accounts import actions, tokens
from accounts.models import User
from accounts.socket_auth import SocketAuth, authenticate_token, issue_ticket

pytestmark = pytest.mark.django_db(transaction=True)
SESSION = uuid.UUID("8f0c0c3e-5f7e-4a5e-9a44-0c8a5f1f2b11")
PATH = f"/ws/sessions/{SESSION}"


class Mirror(AsyncWebsocketConsumer):
    async def connect(self):
        await self.accept()
        seen = {
            "name": self.scope["user"].get_username(),
            "expires_at": self.scope["auth_expires_at"],
            "failure": self.scope["auth_failure"],
        }
        await self.send(json.dumps(seen))


ANONYMOUS = {"name": "", "expires_at": None, "failure": None}


async def ask(path=PATH, host="testserver", **headers):
    """What the socket saw, or None when it was refused before accept."""
    pairs = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    if host is not None:
        pairs.append((b"host", host.encode("latin-1")))
    socket = WebsocketCommunicator(SocketAuth(Mirror.as_asgi()), path, headers=pairs)
    accepted, _ = await socket.connect(timeout=5)
    seen = json.loads(await socket.receive_from(timeout=5)) if accepted else None
    await socket.disconnect()
    return seen


@pytest.fixture
def access(alice):
    return tokens.issue(alice).access


@pytest.fixture
def cookie(alice):
    client = Client()
    client.force_login(alice)
    return f"theme=dark; sessionid={client.cookies['sessionid'].value}"


def ends(token):
    return jwt.decode(token, options={"verify_signature": False})["exp"]


async def test_a_bearer_token_opens_a_socket_until_it_ends(access):
    seen = await ask(authorization=f"Bearer {access}")
    assert seen == {"name": "alice", "expires_at": ends(access), "failure": None}


async def test_a_bearer_token_needs_no_origin_and_minds_no_foreign_one(access):
    assert (await ask(authorization=f"Bearer {access}", origin="https://evil.example"))["name"] == "alice"


async def test_an_expired_token_is_told_from_a_wrong_one(access, time_machine):
    time_machine.move_to(ends(access) + 1)
    assert await ask(authorization=f"Bearer {access}") == ANONYMOUS | {"failure": "expired"}
    assert await ask(authorization="Bearer nonsense") == ANONYMOUS | {"failure": "invalid"}


async def test_no_other_token_opens_a_socket(alice, access):
    payload = jwt.decode(access, options={"verify_signature": False})
    key = django_settings.SIMPLE_JWT["SIGNING_KEY"]
    refresh = (await sync_to_async(tokens.issue)(alice)).refresh
    wrong = [
        refresh,
        jwt.encode(payload, "x" * 40, algorithm="HS256"),
        jwt.encode(payload, None, algorithm="none"),
        jwt.encode(payload | {"sub": "no uuid"}, key, algorithm="HS256"),
        jwt.encode(payload | {"sub": str(uuid.uuid4())}, key, algorithm="HS256"),
    ]
    for token in wrong:
        assert await ask(authorization=f"Bearer {token}") == ANONYMOUS | {"failure": "invalid"}


async def test_a_wrong_token_is_not_made_good_by_a_cookie(cookie):
    seen = await ask(authorization="Bearer nonsense", cookie=cookie, origin="http://testserver")
    assert seen == ANONYMOUS | {"failure": "invalid"}


async def test_a_changed_password_or_suspension_closes_every_door(alice, access, cookie):
    ticket, _ = await sync_to_async(issue_ticket)(alice, SESSION)
    await User.objects.aupdate(is_active=False)
    assert (await ask(authorization=f"Bearer {access}"))["failure"] == "invalid"
    assert (await ask(f"{PATH}?ticket={ticket}"))["failure"] == "invalid"
    assert await ask(cookie=cookie, origin="http://testserver") == ANONYMOUS
    await User.objects.aupdate(is_active=True, password="!")
    assert (await ask(authorization=f"Bearer {access}"))["failure"] == "invalid"
    assert await ask(cookie=cookie, origin="http://testserver") == ANONYMOUS


async def test_a_ticket_opens_one_socket_once(alice):
    ticket, seconds = await sync_to_async(issue_ticket)(alice, SESSION)
    assert seconds == 30
    seen = await ask(f"{PATH}?ticket={ticket}")
    assert (seen["name"], seen["failure"]) == ("alice", None)
    assert seen["expires_at"] > 0
    assert await ask(f"{PATH}?ticket={ticket}") == ANONYMOUS | {"failure": "invalid"}


async def test_a_ticket_used_many_times_at_once_opens_one_socket(alice):
    ticket, _ = await sync_to_async(issue_ticket)(alice, SESSION)
    seen = await asyncio.gather(*(ask(f"{PATH}?ticket={ticket}") for _ in range(50)))
    assert sorted(one["name"] for one in seen) == [""] * 49 + ["alice"]


async def test_a_ticket_is_for_its_own_session(alice):
    ticket, _ = await sync_to_async(issue_ticket)(alice, uuid.uuid4())
    assert await ask(f"{PATH}?ticket={ticket}") == ANONYMOUS | {"failure": "invalid"}


async def test_a_ticket_knows_its_session_in_every_spelling(alice):
    for path in (f"/ws/sessions/{SESSION.hex}", f"{PATH}/", PATH.upper()):
        ticket, _ = await sync_to_async(issue_ticket)(alice, SESSION)
        assert (await ask(f"{path}?ticket={ticket}"))["name"] == "alice", path


async def test_a_ticket_ends_after_30_seconds(alice, time_machine):
    time_machine.move_to("2030-01-01T00:00:00Z")
    ticket, _ = await sync_to_async(issue_ticket)(alice, SESSION)
    time_machine.move_to("2030-01-01T00:00:31Z")
    assert await ask(f"{PATH}?ticket={ticket}") == ANONYMOUS | {"failure": "invalid"}


OWN_PAGES = [
    ("http://testserver", "testserver"),
    ("https://testserver", "testserver"),
    ("http://testserver:8000", "testserver:8000"),
    ("http://testserver", "testserver:80"),
    ("HTTP://TestServer", "testserver"),
    ("https://front.example", "testserver"),
    ("https://trusted.example", "testserver"),
    ("https://a.wild.example", "testserver"),
    ("http://[::1]:8000", "[::1]:8000"),
]


async def test_a_cookie_opens_a_socket_for_our_own_pages(cookie, settings):
    settings.ALLOWED_HOSTS = ["testserver", "[::1]"]
    settings.FRONTEND_URL = "https://front.example/"
    settings.CSRF_TRUSTED_ORIGINS = ["https://trusted.example", "https://*.wild.example"]
    for origin, host in OWN_PAGES:
        assert await ask(cookie=cookie, origin=origin, host=host) == ANONYMOUS | {"name": "alice"}, origin


FOREIGN_PAGES = [
    None,
    "",
    "null",
    "https://evil.example",
    "http://testserver.evil.example",
    "http://eviltestserver",
    "http://testserver:9999",
    "http://testserver@evil.example",
    "ftp://testserver",
    "http://front.example",
    "https://front.example.evil.example",
    "http://[",
    "http://testserver:port",
    "\xff\x00",
]


async def test_a_cookie_from_a_foreign_page_is_refused_before_accept(cookie, settings):
    settings.FRONTEND_URL = "https://front.example"
    settings.CSRF_TRUSTED_ORIGINS = ["https://*.wild.example"]
    for origin in FOREIGN_PAGES:
        headers = {} if origin is None else {"origin": origin}
        assert await ask(cookie=cookie, **headers) is None, origin


async def test_behind_https_a_plain_page_is_foreign(cookie, settings):
    settings.HTTPS = True
    assert await ask(cookie=cookie, origin="http://testserver") is None
    assert (await ask(cookie=cookie, origin="https://testserver"))["name"] == "alice"


async def test_a_foreign_host_is_refused_before_accept(access):
    for host in (None, "", "evil.example", "testserver@evil.example", "te st", "[", "\xff"):
        assert await ask(host=host, authorization=f"Bearer {access}") is None, host


async def test_the_refusal_is_a_plain_http_answer_where_the_server_can(cookie):
    sent = []

    async def send(message):
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": PATH,
        "query_string": b"",
        "headers": [(b"host", b"testserver"), (b"cookie", cookie.encode()), (b"origin", b"https://evil.example")],
        "extensions": {"websocket.http.response": {}},
    }
    await SocketAuth(Mirror.as_asgi())(scope, None, send)
    assert [message["type"] for message in sent] == ["websocket.http.response.start", "websocket.http.response.body"]
    assert sent[0]["status"] == 403


NO_CREDENTIALS = [
    {},
    {"cookie": "sessionid="},
    {"cookie": "sessionid=unknownunknownunknown", "origin": "http://testserver"},
    {"cookie": 'sessionid="\x00\xff"; ;;=;'},
    {"cookie": "sessionid=" + "a" * 5000},
    {"authorization": "Basic YTpi"},
    {"authorization": ""},
]


async def test_without_a_credential_one_is_nobody():
    for headers in NO_CREDENTIALS:
        assert await ask(**headers) == ANONYMOUS, headers


async def test_garbage_is_an_invalid_token():
    for token in ("", " ", "a b", "\xff\xfe", "." * 100, "a" * 100_000, "e30.e30.e30"):
        assert await ask(authorization=f"Bearer {token}") == ANONYMOUS | {"failure": "invalid"}, token[:20]


async def test_neither_token_nor_ticket_of_a_sign_in_that_was_ended_opens_a_socket(alice):
    pair = await sync_to_async(tokens.issue)(alice)
    family = jwt.decode(pair.access, options={"verify_signature": False})["fam"]
    ticket, _ = await sync_to_async(issue_ticket)(alice, SESSION, family=family)
    other = (await sync_to_async(tokens.issue)(alice)).access
    await sync_to_async(actions.sign_out)(pair.refresh)
    assert (await ask(authorization=f"Bearer {pair.access}"))["failure"] == "invalid"
    assert (await ask(f"{PATH}?ticket={ticket}"))["failure"] == "invalid"
    assert await authenticate_token(pair.access) is None
    assert (await ask(authorization=f"Bearer {other}"))["name"] == "alice"


async def test_a_token_of_a_sign_in_that_was_renewed_still_opens_a_socket(alice):
    pair = await sync_to_async(tokens.issue)(alice)
    await sync_to_async(actions.rotate_refresh)(pair.refresh)
    assert (await ask(authorization=f"Bearer {pair.access}"))["name"] == "alice"


async def test_a_ticket_ends_with_the_cookie_or_the_password_that_it_was_asked_for_with(alice, cookie):
    key = cookie.rpartition("=")[2]
    tickets = [await sync_to_async(issue_ticket)(alice, SESSION, session_key=key) for _ in range(3)]
    assert (await ask(f"{PATH}?ticket={tickets[0][0]}"))["name"] == "alice"
    await User.objects.filter(pk=alice.pk).aupdate(password="another")
    assert (await ask(f"{PATH}?ticket={tickets[1][0]}"))["failure"] == "invalid"
    await User.objects.filter(pk=alice.pk).aupdate(password=alice.password)
    await Session.objects.filter(pk=key).adelete()
    assert (await ask(f"{PATH}?ticket={tickets[2][0]}"))["failure"] == "invalid"


async def test_garbage_is_an_invalid_ticket():
    for query in ("ticket=%00", "ticket=%ff", "ticket=a&ticket=b", "ticket=" + "x" * 5000):
        assert await ask(f"{PATH}?{query}") == ANONYMOUS | {"failure": "invalid"}, query[:20]


async def test_a_flood_of_parameters_is_no_ticket():
    assert await ask(f"{PATH}?" + "&".join(f"a{n}=1" for n in range(100))) == ANONYMOUS


async def test_an_open_socket_can_be_renewed_with_a_token(alice, access):
    identity = await authenticate_token(access)
    assert (identity.user.pk, identity.expires_at) == (alice.pk, ends(access))
    assert await authenticate_token("nonsense") is None
    assert await authenticate_token("") is None
