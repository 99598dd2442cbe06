"""People without an account, in the one session that lets them in: what they may there, and that they are nobody else
where."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings as django_settings
from django.core.cache import cache
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

import languages
from accounts.models import User
from codecrafter.asgi import application
from sessions_app import actions, invites, sharing
from sessions_app.access import access_to, permissions_in
from sessions_app.document import contents
from sessions_app.models import CodeSession, Collaborator, GuestPass, Invite


@pytest.fixture
def open_session(session):
    CodeSession.objects.filter(pk=session.pk).update(allows_guests=True)
    session.refresh_from_db()
    return session


def link(session, permission="write", **terms):
    return invites.create_invite(access_to(session.owner, session.pk), session.owner, permission=permission, **terms)


def come(token, name="Ann"):
    """A browser that has come through this link."""
    client = Client()
    answer = client.post(f"/join/{token}", {"name": name})
    assert answer.status_code == 302 and answer["Location"].startswith("/sessions/"), answer.content
    return client


def patch(client, path, body):
    return client.patch(path, body, content_type="application/json")


def guest_of(session):
    return GuestPass.objects.filter(session=session).latest("pk").user


def test_a_guest_by_an_edit_link_reads_writes_speaks_and_is_called_a_guest(open_session):
    _, token = link(open_session)
    client, path = come(token), f"/api/sessions/{open_session.pk}"
    page = client.get(f"/sessions/{open_session.pk}")
    assert page.status_code == 200 and "Ann (guest " in page.text
    assert client.get(path).json()["permission"] == "write"
    assert patch(client, path, {"content": "print(2)\n"}).status_code == 200
    assert (
        client.post(f"{path}/chat", {"text": "hi"}, "application/json").json()["user"]["username"].startswith("Ann (")
    )
    assert client.post(f"{path}/files", {"path": "a.txt"}, "application/json").status_code == 201
    assert contents.entry_text(open_session) == "print(2)\n"


def test_a_guest_by_a_view_link_reads_and_changes_nothing(open_session):
    _, token = link(open_session, "read")
    client, path = come(token), f"/api/sessions/{open_session.pk}"
    assert client.get(path).json()["permission"] == "read"
    for answer in (
        patch(client, path, {"content": "mine"}),
        client.post(f"{path}/files", {"path": "a.txt"}, "application/json"),
        client.post("/api/execute", {"session_id": str(open_session.pk)}, "application/json"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
    assert contents.entry_text(open_session) == "print(1)\n"


def test_a_guest_manages_nothing_and_owns_nothing(open_session, bob):
    invite, token = link(open_session)
    client, path = come(token), f"/api/sessions/{open_session.pk}"
    refused = [
        patch(client, path, {"title": "Mine"}),
        patch(client, path, {"is_public": True}),
        patch(client, path, {"allows_guests": False}),
        client.delete(path),
        client.post(f"{path}/collaborators", {"username": "bob", "permission": "read"}, "application/json"),
    ]
    assert {answer.status_code for answer in refused} == {403}
    closed = [
        client.get(f"{path}/invites"),
        client.post(f"{path}/invites"),
        client.delete(f"{path}/invites/{invite.pk}"),
        client.patch(f"{path}/collaborators/{bob.pk}", {"permission": "read"}, "application/json"),
        client.post(f"{path}/fork"),
        client.post(f"{path}/transfer", {"username": "bob"}, "application/json"),
        client.post(f"{path}/ticket"),
        client.get(f"{path}/guests"),
        client.post(f"{path}/join"),
        client.post("/api/sessions", {"title": "Mine"}, "application/json"),
    ]
    assert {answer.status_code for answer in closed} == {401}
    assert CodeSession.objects.count() == 1
    # Nor by somebody else's doing.
    guest = guest_of(open_session)
    owner = access_to(open_session.owner, open_session.pk)
    with pytest.raises(sharing.PersonNotFound):
        sharing.set_collaborator(owner, open_session.owner, guest.username, "read")
    with pytest.raises(sharing.PersonNotFound):
        sharing.transfer_session(owner, open_session.owner, guest.username)


def test_a_guest_sees_no_other_session_not_even_a_public_one(open_session, alice):
    _, token = link(open_session)
    client = come(token)
    others = [
        actions.create_session(alice, language=languages.get("python"), title="Other", is_public=is_public)
        for is_public in (True, False)
    ]
    for other in others:
        CodeSession.objects.filter(pk=other.pk).update(allows_guests=True)
        for path in ("", "/chat", "/history", "/files", "/collaborators", "/export.zip"):
            assert client.get(f"/api/sessions/{other.pk}{path}").status_code == 404
        assert client.post("/api/execute", {"session_id": str(other.pk)}, "application/json").status_code == 404
        assert client.get(f"/sessions/{other.pk}").status_code == 302
    # Nor runs a program anywhere else.
    answer = client.post("/api/execute", {"language": "python", "code": "1"}, "application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")


def views():
    """Every view there is."""

    def walk(patterns):
        for pattern in patterns:
            if hasattr(pattern, "url_patterns"):
                yield from walk(pattern.url_patterns)
            else:
                yield getattr(pattern.callback, "cls", pattern.callback)

    return list(walk(get_resolver().url_patterns))


OPEN = {
    "SessionDetail", "SessionExport", "SessionLeave", "CollaboratorList", "ChatList", "HistoryList", "PastText",
    "PastRestore", "FileList", "FileDetail", "DeletedFileList", "DeletedFileDetail", "DeletedFileRestore", "Execute",
    "RunStatus", "RunOutputPiece", "RunCancel", "RunInput", "RunHistory", "LanguageList", "session_detail",
    "session_join", "session_guest", "GuestName",
}  # fmt: skip


def test_just_these_views_know_a_guest():
    opened = {view.__name__ for view in views() if getattr(view, "is_open_to_guests", False)}
    assert opened == OPEN


@pytest.mark.parametrize("path", ["/sessions", "/profile", "/explore", "/admin/", "/profile/tokens", "/sessions/new"])
def test_a_page_of_people_takes_a_guest_for_nobody(path, open_session):
    _, token = link(open_session)
    answer = come(token).get(path)
    assert answer.status_code in (302, 404, 405), path
    if answer.status_code == 302:
        assert "/login" in answer["Location"]


def test_a_guest_corrects_their_name_and_stays_the_same_guest(open_session, api, bob):
    _, token = link(open_session)
    client, path = come(token, "Anm"), f"/api/sessions/{open_session.pk}/guest-name"
    before = guest_of(open_session)
    answer = patch(client, path, {"name": "Ann"})
    assert answer.status_code == 200, answer.content
    assert answer.json()["user"] == {"id": str(before.pk), "username": before.username.replace("Anm", "Ann")}
    assert guest_of(open_session).username == before.username.replace("Anm", "Ann")
    for name in ("", "x" * 16, "Ann (guest 0000)", "\u202eAnn"):
        assert patch(client, path, {"name": name}).status_code == 400, name
    assert guest_of(open_session).username == before.username.replace("Anm", "Ann")
    # Neither of another session, nor somebody with an account.
    other = actions.create_session(bob, language=languages.get("python"))
    assert patch(client, f"/api/sessions/{other.pk}/guest-name", {"name": "Ann"}).status_code == 404
    assert api(open_session.owner).patch(path, {"name": "Ann"}).status_code == 403


def test_a_guest_can_sign_in_and_is_the_person_then(open_session, bob, password):
    _, token = link(open_session)
    client = come(token)
    assert client.get("/login").status_code == 200
    answer = client.post("/login", {"login": "bob", "password": password})
    assert answer["Location"] == "/sessions"
    assert client.get("/sessions").context["user"] == bob


def test_nobody_signs_in_as_a_guest(open_session, client):
    _, token = link(open_session)
    come(token)
    guest = guest_of(open_session)
    assert not guest.has_usable_password()
    for name in (guest.username, guest.email):
        answer = client.post("/api/auth/login", {"username": name, "password": ""}, "application/json")
        assert answer.status_code in (400, 401)


def test_without_the_owners_word_a_link_wants_an_account(session, client, db):
    _, token = link(session)
    answers = [
        client.get(f"/join/{token}"),
        client.get(f"/join/{'A' * 22}"),
        client.post(f"/join/{token}", {"name": "Ann"}),
    ]
    assert [answer.status_code for answer in answers] == [302] * 3
    assert all(answer["Location"].startswith("/login?next=/join/") for answer in answers)
    assert session.title not in "".join(answer.text for answer in answers)
    assert not User.objects.filter(is_guest=True).exists()


def test_only_the_owner_lets_guests_in(session, alice, bob, api):
    path = f"/api/sessions/{session.pk}"
    Collaborator.objects.filter(user=bob).update(permission="admin")
    assert api(bob).patch(path, {"allows_guests": True}).status_code == 403
    assert api(alice).get(path).json()["allows_guests"] is False
    assert api(alice).patch(path, {"allows_guests": True}).json()["allows_guests"] is True


def test_a_public_session_lets_guests_read_when_its_owner_allows_it(open_session, client):
    door = f"/sessions/{open_session.pk}/guest"
    assert client.get(f"/sessions/{open_session.pk}")["Location"].startswith("/login")
    assert client.get(door)["Location"] == f"/sessions/{open_session.pk}"
    CodeSession.objects.filter(pk=open_session.pk).update(is_public=True)
    assert client.get(f"/sessions/{open_session.pk}")["Location"] == door
    assert "Join as a guest" in client.get(door).text
    assert client.post(door, {"name": "Ann"})["Location"] == f"/sessions/{open_session.pk}"
    assert client.get(f"/api/sessions/{open_session.pk}").json()["permission"] == "read"
    CodeSession.objects.filter(pk=open_session.pk).update(is_public=False)
    assert client.get(f"/api/sessions/{open_session.pk}").status_code == 404


@pytest.mark.parametrize(
    "end",
    [
        "allows_guests", "revoke", "rotate", "collaborator removed", "guest removed", "leave", "time", "archive",
        "suspend",
    ],
)  # fmt: skip
def test_a_guest_is_out_when(end, open_session, alice, bob, api, time_machine):
    invite, token = link(open_session)
    client, path = come(token), f"/api/sessions/{open_session.pk}"
    guest = guest_of(open_session)
    owner = api(alice)
    assert client.get(path).status_code == 200
    match end:
        case "allows_guests":
            owner.patch(path, {"allows_guests": False})
            owner.patch(path, {"allows_guests": True})
        case "revoke":
            owner.delete(f"{path}/invites/{invite.pk}")
        case "rotate":
            owner.post(f"{path}/invites/{invite.pk}/rotate")
        case "collaborator removed":
            owner.delete(f"{path}/collaborators/{bob.pk}")
        case "guest removed":
            assert [row["user"]["id"] for row in owner.get(f"{path}/guests").json()] == [str(guest.pk)]
            assert owner.delete(f"{path}/guests/{guest.pk}").status_code == 204
            assert owner.delete(f"{path}/guests/{guest.pk}").status_code == 404
            assert not Invite.objects.usable().exists()
        case "leave":
            assert client.post(f"{path}/leave").status_code == 204
        case "time":
            time_machine.move_to(timezone.now() + sharing.GUEST_TIME + timedelta(seconds=1))
        case "archive":
            owner.delete(path)
        case "suspend":
            User.objects.filter(pk=guest.pk).update(is_active=False)
    assert client.get(path).status_code in (401, 404)
    assert permissions_in([(open_session.pk, guest)])[open_session.pk, guest.pk] is None or end == "suspend"
    assert client.get(f"/sessions/{open_session.pk}").status_code == 302


def test_a_used_up_link_and_an_expired_one_keep_who_came(open_session):
    invite, token = link(open_session, uses=1)
    client = come(token)
    assert Client().post(f"/join/{token}", {"name": "Late"})["Location"].startswith("/login")
    Invite.objects.filter(pk=invite.pk).update(expires_at=timezone.now() - timedelta(hours=1))
    assert client.get(f"/api/sessions/{open_session.pk}").status_code == 200
    assert GuestPass.objects.count() == 1


def test_who_came_by_a_link_is_listed_on_it(open_session, alice, api):
    _, token = link(open_session)
    come(token)
    (row,) = api(alice).get(f"/api/sessions/{open_session.pk}/invites").json()
    assert row["joined"][0]["user"]["username"].startswith("Ann (guest ")


def test_a_guests_name_is_forgotten_a_month_later_and_what_they_wrote_stays(open_session, alice, api, time_machine):
    _, token = link(open_session)
    client, path = come(token), f"/api/sessions/{open_session.pk}"
    client.post(f"{path}/chat", {"text": "hi"}, "application/json")
    patch(client, path, {"content": "mine"})
    guest = guest_of(open_session)
    time_machine.move_to(timezone.now() + sharing.GUEST_TIME + sharing.GUEST_KEPT - timedelta(minutes=1))
    sharing.forget_guests()
    assert User.objects.get(pk=guest.pk).username == guest.username
    time_machine.move_to(timezone.now() + timedelta(minutes=2))
    sharing.forget_guests()
    sharing.forget_guests()
    assert not User.objects.filter(username__startswith="Ann").exists()
    assert api(alice).get(f"{path}/chat").json()["results"][0]["user"] is None
    assert api(alice).get(path).json()["content"] == "mine"


@pytest.mark.parametrize(
    "name", ["", " ", "-x", "x" * 16, "<b>", "a\u202eb", "a/b", "alice (owner)", "Ann\x00", "a@b", "\u200b"]
)
def test_a_name_that_would_mislead_is_refused(name, open_session, client):
    _, token = link(open_session)
    answer = client.post(f"/join/{token}", {"name": name})
    assert answer.status_code == 400 and "Use 1 to 15 letters" in answer.text
    assert "<b>" not in answer.text.partition("<main")[2]
    assert not User.objects.filter(is_guest=True).exists()


@pytest.mark.parametrize("name", ["Ann", "José", "李雷", "Ann B.", "a", "x_1"])
def test_a_name_of_a_person_is_taken(name, open_session):
    _, token = link(open_session)
    come(token, name)
    assert guest_of(open_session).username.startswith(f"{name} (guest ")


def test_two_guests_of_one_name_and_an_account_of_it_are_told_apart(open_session, alice):
    _, token = link(open_session)
    come(token, "alice")
    come(token, "alice")
    names = set(User.objects.filter(is_guest=True).values_list("username", flat=True))
    assert len(names) == 2 and "alice" not in names


def test_there_are_only_so_many_guests(open_session, client, monkeypatch):
    monkeypatch.setattr(invites, "GUESTS_MAX", 1)
    _, token = link(open_session)
    come(token)
    answer = client.post(f"/join/{token}", {"name": "Late"})
    assert answer.status_code == 409 and "its limit of guests" in answer.text


def test_guests_who_never_opened_the_session_keep_nobody_out(open_session, client, monkeypatch, time_machine):
    monkeypatch.setattr(invites, "GUESTS_MAX", 1)
    _, token = link(open_session)
    early = come(token, "Squatter")
    time_machine.move_to(timezone.now() + timedelta(minutes=6))
    assert client.post(f"/join/{token}", {"name": "Late"}).status_code == 302
    assert early.get(f"/sessions/{open_session.pk}").status_code == 200, "the pass still lets the first one in"


@pytest.mark.django_db(transaction=True)
async def test_a_guest_who_has_the_session_open_keeps_the_place(open_session, monkeypatch):
    monkeypatch.setattr(invites, "GUESTS_MAX", 1)
    _, token = await sync_to_async(link)(open_session)
    client = await sync_to_async(come)(token)
    passes = GuestPass.objects.filter(session=open_session)
    await passes.aupdate(seen_at=timezone.now() - timedelta(minutes=6))
    here = socket_of(client, open_session)
    await here.connect(30)
    while not await passes.filter(seen_at__gt=timezone.now() - timedelta(minutes=1)).aexists():
        await asyncio.sleep(0.1)
    await here.disconnect()
    answer = await sync_to_async(Client().post)(f"/join/{token}", {"name": "Late"})
    assert answer.status_code == 409


def test_guests_are_counted_by_address(open_session, client, settings):
    cache.clear()
    settings.RATE_LIMITS, settings.RATES = True, {**django_settings.RATES, "guest": "2/3600"}
    _, token = link(open_session)
    statuses = [Client().post(f"/join/{token}", {"name": "Ann"}).status_code for _ in range(3)]
    assert statuses == [302, 302, 429]
    assert int(Client().post(f"/join/{token}", {"name": "Ann"})["Retry-After"]) > 0
    cache.clear()


def test_the_form_wants_a_csrf_token(open_session):
    _, token = link(open_session)
    client = Client(enforce_csrf_checks=True)
    assert client.post(f"/join/{token}", {"name": "Ann"}).status_code == 403


@pytest.mark.django_db(transaction=True)
async def test_the_socket_of_a_guest_opens_one_session_and_closes_with_the_pass(open_session, alice):
    _, token = await sync_to_async(link)(open_session)
    client = await sync_to_async(come)(token)
    other = await sync_to_async(actions.create_session)(
        alice, language=languages.get("python"), title="Other", is_public=True
    )
    elsewhere = socket_of(client, other)
    await elsewhere.connect(30)
    assert await code_of(elsewhere) == 4404
    here = socket_of(client, open_session)
    await here.connect(30)
    hello = await here.receive_json_from(30)
    assert (hello["type"], hello["permission"]) == ("hello", "write")
    assert hello["user"]["username"].startswith("Ann (guest ")
    await sync_to_async(invites.revoke_invite)(
        await sync_to_async(access_to)(alice, open_session.pk), alice, (await Invite.objects.aget()).pk
    )
    assert await code_of(here) == 4403


def socket_of(client, session):
    cookie = client.cookies["sessionid"].value
    headers = [(b"cookie", f"sessionid={cookie}".encode()), (b"origin", b"http://testserver"), (b"host", b"testserver")]
    return WebsocketCommunicator(
        application, f"/ws/sessions/{session.pk}", headers=headers, subprotocols=["codecrafter.v1"]
    )


async def code_of(socket):
    while True:
        message = await socket.receive_output(30)
        if message["type"] == "websocket.close":
            return message["code"]


def test_many_guests_at_one_address_have_ten_times_what_one_person_has(open_session, settings):
    _, token = link(open_session)
    guests = [come(token, name) for name in ("Ann", "Ben", "Cid")]
    path = f"/api/sessions/{open_session.pk}"
    settings.RATE_LIMITS, settings.RATES = True, settings.RATES | {"user": "1/900"}
    cache.clear()
    # Each of them has one request, and another guest from there spends what all of them have.
    assert [guest.get(path).status_code for guest in guests] == [200] * 3
    assert [guests[0].get(path).status_code for _ in range(8)] == [429] * 8
    late = come(token, "Dan")
    assert late.get(path).status_code == 429
    assert late.get(path, REMOTE_ADDR="192.0.2.7").status_code == 200
