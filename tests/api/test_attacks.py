"""What strangers and members try on other people's things. Accounts are in tests/accounts/test_attacks.py."""

from __future__ import annotations

import json
import re
import uuid
from html.parser import HTMLParser

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver
from django.utils import timezone
from django.utils.http import parse_header_parameters

import languages
from accounts import actions as people
from accounts.models import Scope
from codecrafter.asgi import application
from execution.models import AvailableLanguage, Run
from sessions_app import actions
from sessions_app.models import ChatMessage, CodeSession, Invite, Update

pytestmark = pytest.mark.django_db
VERBS = ("get", "post", "put", "patch", "delete")
EVIL = "\"'><img src=x onerror=alert(1)></script><script>alert(2)</script>{{7*7}}{% debug %}${7*7}"


def api_routes():
    """(route, view class) of every path under /api/ that names something, from the URL table itself."""

    def walk(patterns, before=""):
        for pattern in patterns:
            route = before + str(pattern.pattern)
            if hasattr(pattern, "url_patterns"):
                yield from walk(pattern.url_patterns, route)
            elif route.startswith("api/") and "<" in route and not route.endswith("/") and "(?P" not in route:
                yield route, pattern.callback.cls

    yield from walk(get_resolver().url_patterns)


NAMED = sorted({(route, verb) for route, view in api_routes() for verb in VERBS if hasattr(view, verb)})


@pytest.fixture
def theirs(alice, bob):
    """Something of Alice's for every kind of id."""
    AvailableLanguage.objects.create(key="python", version="3.11", checked_at=timezone.now())
    session = actions.create_session(alice, language=languages.get("python"), title="Private", content="secret\n")
    token, _ = people.make_token(alice, name="a token", scopes=[Scope.READ])
    return {
        "session_id": session.pk,
        "job_id": Run.objects.create(session=session, user=alice, language="python", interactive=True).pk,
        "user_id": bob.pk,
        "invite_id": Invite.objects.create(session=session, token_sha256="0" * 64, created_by=alice).pk,
        "token_id": token.pk,
        "bot_id": people.make_bot(alice, "a-bot").pk,
        "message_id": ChatMessage.objects.create(session=session, user=alice, text="secret").pk,
        "file_id": "main",
        "revision": 1,
    }


def filled(route, ids):
    path = re.sub(r"<\w+:(\w+)>", lambda match: str(ids[match[1]]), f"/{route}")
    assert "<" not in path, path
    return path


def test_the_table_of_routes_is_here():
    routes = {route for route, _ in NAMED}
    assert {"api/sessions/<uuid:session_id>", "api/v1/execute/status/<uuid:job_id>"} <= routes
    assert len(NAMED) > 60


def stored():
    return list(CodeSession.objects.values()), list(Run.objects.values()), Update.objects.count()


def test_what_is_anothers_looks_like_what_is_not_there(theirs, api, mallory):
    """The same status, the same words, for any body; and nothing has changed."""
    client = api(mallory)
    nobodys = {name: value if name in ("file_id", "revision") else uuid.uuid4() for name, value in theirs.items()}
    bodies = ({}, {"title": "Mine", "language": "c", "content": "x", "permission": "admin", "username": "mallory"})
    before = stored()
    for route, verb in NAMED:
        for body in bodies:
            found, absent = (
                getattr(client, verb)(filled(route, ids), *([] if verb == "get" else [body]))
                for ids in (theirs, nobodys)
            )
            assert (found.status_code, found.content) == (absent.status_code, absent.content), (verb, route)
            assert found.status_code in (400, 404), (verb, route, found.content)
            assert b"secret" not in found.content and b"Private" not in found.content, (verb, route)
        assert stored() == before, (verb, route)


def test_a_cookie_alone_changes_nothing(theirs, alice):
    """What a page of somebody else can make Alice's browser send."""
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)
    for route, verb in NAMED:
        for kind in ("application/json", "text/plain") if verb != "get" else ():
            answer = getattr(browser, verb)(filled(route, theirs), "{}", content_type=kind)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (verb, route)


def page_routes():
    """Every path of the session pages."""
    from sessions_app.urls import urlpatterns

    return [str(pattern.pattern) for pattern in urlpatterns]


@pytest.mark.parametrize("route", page_routes())
def test_no_session_page_takes_a_form_of_a_foreign_page(route, theirs, alice):
    path = filled(route, {**theirs, "token": "x" * 22, "guest_token": "x" * 22})
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)
    before = list(CodeSession.objects.values())
    assert browser.post(path, {"title": "Mine"}, HTTP_ORIGIN="https://evil.example").status_code in (403, 404, 405)
    browser.get(path)
    assert list(CodeSession.objects.values()) == before


def test_fields_that_are_not_asked_for_are_not_taken(api, alice, mallory):
    wanted = {
        "id": str(uuid.UUID(int=7)), "owner": str(mallory.pk), "owner_id": str(mallory.pk), "version": 99,
        "permission": "read", "created_at": "2000-01-01T00:00:00Z", "archived_at": "2000-01-01T00:00:00Z",
        "locked_at": "2000-01-01T00:00:00Z", "closed_at": "2000-01-01T00:00:00Z", "forked_from": str(uuid.UUID(int=8)),
    }  # fmt: skip
    client = api(alice)
    made = client.post("/api/sessions", {"title": "a", **wanted}).json()
    path = f"/api/sessions/{made['id']}"
    assert client.patch(path, {"title": "b", **wanted}).status_code == 200
    assert client.put(path, {"title": "c", "language": "c", **wanted}).status_code == 200
    row = CodeSession.objects.get()
    assert (row.owner, row.version, row.title) == (alice, 3, "c")
    assert (row.archived_at, row.locked_at, row.closed_at, row.forked_from_id) == (None, None, None, None)
    assert str(row.pk) != wanted["id"] and row.created_at.year > 2000


def test_a_run_is_the_callers_and_as_the_server_says(api, alice, mallory, theirs):
    wanted = {
        "user": str(alice.pk),
        "status": "completed",
        "exit_code": 0,
        "attempt": 9,
        "job_id": str(theirs["job_id"]),
    }
    body = {"language": "python", "code": "print(1)", **wanted}
    made = api(mallory).post("/api/execute", body).json()
    assert (made["status"], made["exit_code"], made["user"]["username"]) == ("queued", None, "mallory")
    assert made["job_id"] != wanted["job_id"]


SQL = [
    "' OR 1=1 --",
    "'; DROP TABLE accounts_user; --",
    '" OR ""="',
    "%' OR '%'='",
    "\\",
    "%",
    "_",
    "')) UNION SELECT 1",
]


@pytest.mark.parametrize("text", SQL)
def test_sql_in_parameters_is_text(text, api, alice, mallory, theirs):
    client = api(mallory)
    for name in ("search", "language", "ordering", "is_public", "cursor", "page_size", "archived", "x" + text):
        for path in ("/api/sessions", "/api/sessions/public"):
            answer = client.get(path, {name: text})
            assert answer.status_code in (200, 400), answer.content
            assert answer.status_code == 400 or answer.json()["results"] == []
    made = client.post("/api/sessions", {"title": text, "metadata": {text: text}, "content": text}).json()
    assert (made["title"], made["metadata"], made["content"]) == (text.strip(), {text: text}, text)
    # A wildcard of LIKE finds itself only.
    client.post("/api/sessions", {"title": "plain"})
    assert [row["title"] for row in client.get("/api/sessions", {"search": text}).json()["results"]] == [text]


def test_no_value_of_a_caller_is_in_the_text_of_a_query(api, alice, settings):
    """Parameters travel beside the SQL: the text that the database parses has none of them."""
    marker = "needle'needle"
    executed = []

    def listen(execute, sql, params, many, context):
        executed.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(listen), CaptureQueriesContext(connection):
        client = api(alice)
        client.post("/api/sessions", {"title": marker, "metadata": {marker: marker}, "content": marker})
        client.get("/api/sessions", {"search": marker})
        client.post("/api/auth/login", {"username": marker, "password": marker})
    assert executed and not any("needle" in sql for sql in executed)


# What is stored is shown as text


class Elements(HTMLParser):
    """The elements and attributes that a browser would make of a page."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def pages(session):
    return [
        "/sessions", f"/sessions/{session.pk}", "/explore", f"/sessions/{session.pk}/report",
        "/api/sessions", "/api/sessions/public", f"/api/sessions/{session.pk}", f"/api/sessions/{session.pk}/chat",
        f"/api/sessions/{session.pk}/files",
    ]  # fmt: skip


def test_titles_files_texts_and_chat_are_shown_as_text_and_the_policy_stands_behind(api, alice, mod):
    client = api(alice)
    made = client.post(
        "/api/sessions", {"title": EVIL[:120], "content": EVIL, "metadata": {EVIL: EVIL}, "is_public": True}
    ).json()
    session = CodeSession.objects.get(pk=made["id"])
    client.post(f"/api/sessions/{session.pk}/chat", {"text": EVIL})
    client.post(f"/api/sessions/{session.pk}/files", {"path": "a&#x27;onload=1.txt", "content": EVIL})
    mod.is_superuser = mod.is_staff = True
    mod.save()
    admin_pages = [
        "/admin/sessions_app/codesession/", f"/admin/sessions_app/codesession/{session.pk}/change/",
        "/admin/sessions_app/chatmessage/",
    ]  # fmt: skip
    seen = 0
    for person, paths in ((alice, pages(session)), (mod, admin_pages)):
        browser = Client()
        browser.force_login(person)
        for path in paths:
            answer = browser.get(path, HTTP_ACCEPT="text/html", follow=True)
            assert answer.status_code in (200, 404), path
            html = answer.content.decode()
            seen += "onerror" in html
            assert "49" not in re.findall(r"\{\{.*?\}\}|\$\{.*?\}", html)
            for tag, attributes in Elements(html).found:
                assert tag != "img" or attributes.get("src") != "x", path
                assert not any(name.startswith("on") for name in attributes), (path, tag, attributes)
                assert tag != "script" or "src" in attributes or "json" in attributes.get("type", ""), path
            policy = answer["Content-Security-Policy"]
            assert (
                "script-src 'self'" in policy and "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]
            )
            assert answer["X-Content-Type-Options"] == "nosniff"
    assert seen >= 4


def test_the_api_answers_with_types_that_no_browser_runs(api, alice, theirs):
    client = api(alice)
    session = f"/api/sessions/{theirs['session_id']}"
    for path in (session, f"{session}/files", f"{session}/chat", "/api/nothing", f"{session}/export.zip"):
        answer = client.get(path)
        assert answer["Content-Type"] in ("application/json", "application/problem+json", "application/zip")
        assert answer["X-Content-Type-Options"] == "nosniff"
    assert client.get(f"{session}/export.zip")["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "title", ['a"; filename="evil.html', "a\r\nSet-Cookie: x=1", "a\nX-Evil: 1", "ünïcode \u2028 名前"]
)
def test_a_title_puts_nothing_into_headers(title, api, alice):
    client = api(alice)
    made = client.post("/api/sessions", {"title": title})
    if made.status_code == 400:
        return
    answer = client.get(f"/api/sessions/{made.json()['id']}/export.zip")
    assert answer.status_code == 200
    assert not {"Set-Cookie", "X-Evil"} & set(answer.headers)
    disposition = answer["Content-Disposition"]
    assert disposition.isascii() and "\r" not in disposition and "\n" not in disposition
    kind, parameters = parse_header_parameters(disposition)
    assert (kind, list(parameters)) == ("attachment", ["filename"]) and parameters["filename"].endswith(".zip")


@pytest.mark.parametrize(
    "host", ["evil.example", "testserver.evil.example", "testserver:x", "a b", "testserver@evil.example"]
)
def test_a_foreign_host_is_refused_everywhere(host, client, alice):
    for path in ("/", "/login", "/api/execute/languages", "/api/nothing"):
        assert client.get(path, HTTP_HOST=host).status_code == 400


def test_no_header_decides_where_an_invite_leads(api, alice, theirs):
    headers = {"X-Forwarded-Host": "evil.example", "X-Host": "evil.example", "Forwarded": "host=evil.example"}
    made = api(alice).post(f"/api/sessions/{theirs['session_id']}/invites", {}, headers=headers)
    assert made.status_code == 201 and made.json()["url"].startswith("http://testserver/join/")


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity", "1" * 5000])
def test_a_number_that_json_does_not_have_is_refused(number, api, alice):
    body = f'{{"title": "a", "metadata": {{"k": {number}}}}}'
    answer = api(alice).post("/api/sessions", body, content_type="application/json")
    assert answer.status_code == 400, answer.content
    assert not CodeSession.objects.exists()


@pytest.mark.parametrize(
    "body", ['{"title": "a", "metadata": ' + '{"a":' * 900 + "1" + "}" * 900 + "}", "[" * 900 + "]" * 900]
)
def test_deep_nesting_is_an_answer(body, api, alice):
    assert api(alice).post("/api/sessions", body, content_type="application/json").status_code in (201, 400)


# Bodies


async def sent_in_pieces(path, pieces, headers=()):
    """(status, body, how many pieces were taken) of a request whose body comes in pieces, without a length."""
    taken, answer = 0, []

    async def receive():
        nonlocal taken
        if taken == len(pieces):
            return {"type": "http.disconnect"}
        taken += 1
        return {"type": "http.request", "body": pieces[taken - 1], "more_body": taken < len(pieces)}

    async def send(message):
        answer.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "client": ("192.0.2.1", 1),
        "server": ("testserver", 80), "headers": [(b"host", b"testserver"), *headers],
    }  # fmt: skip
    await application(scope, receive, send)
    return answer[0]["status"], b"".join(part.get("body", b"") for part in answer[1:]), taken


@pytest.mark.parametrize("path", ["/api/execute", "/api/auth/login", "/api/nothing", "/login", "/api/sessions/import"])
@pytest.mark.parametrize("length", [None, b"10", b"x"])
async def test_a_body_over_ten_megabytes_in_pieces_is_cut_off_when_it_is_over(path, length, settings):
    piece = b" " * (1024 * 1024)
    headers = [(b"content-type", b"application/json")] + ([(b"content-length", length)] if length else [])
    status, body, taken = await sent_in_pieces(path, [piece] * 200, headers)
    assert (status, json.loads(body)["code"]) == (413, "body_too_large")
    assert taken == 11


async def test_a_length_over_ten_megabytes_is_refused_before_anything_is_read(settings):
    headers = [(b"content-length", b"10485761")]
    status, body, taken = await sent_in_pieces("/api/execute", [b"{}"], headers)
    assert (status, json.loads(body)["code"], taken) == (413, "body_too_large", 0)
