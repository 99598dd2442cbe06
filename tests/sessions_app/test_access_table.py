"""Who may do what, as one table per transport: REST, pages, admin. Each cell is tried. Sockets: tests/realtime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.actions import set_role
from accounts.models import Role, User
from execution.models import AvailableLanguage, Run, RunInput, Status
from sessions_app import documents, files, sharing
from sessions_app.access import standing_in
from sessions_app.models import ChatMessage, CodeSession, Collaborator, Invite, InviteUse, Update

# ok, or how it is refused: no (403), hidden (404, as if absent), stays (409, the owner), absent (404, not in there).
# The anonymous get 401 over REST and are sent to the login page elsewhere.
REST = """
                     owner   admin   write   read    stranger  moderator
view                 ok      ok      ok      ok      hidden    ok
people               ok      ok      ok      ok      hidden    ok
ticket               ok      ok      ok      ok      hidden    ok
read_chat            ok      ok      ok      ok      hidden    ok
say                  ok      ok      ok      ok      hidden    no
edit                 ok      ok      ok      no      hidden    no
rename               ok      ok      no      no      hidden    no
make_public          ok      ok      no      no      hidden    no
archive              ok      no      no      no      hidden    no
restore              ok      hidden  hidden  hidden  hidden    hidden
history              ok      ok      ok      ok      hidden    ok
text_history         ok      ok      ok      ok      hidden    ok
past_text            ok      ok      ok      ok      hidden    ok
restore_text         ok      ok      ok      no      hidden    no
run                  ok      ok      ok      no      hidden    no
read_run             ok      ok      ok      ok      hidden    ok
read_output          ok      ok      ok      ok      hidden    ok
type_into_run        ok      ok      ok      no      hidden    no
stop_any_run         ok      ok      no      no      hidden    ok
read_own_run         ok      ok      ok      ok      ok        ok
type_into_own_run    ok      ok      ok      no      hidden    no
stop_own_run         ok      ok      ok      ok      ok        ok
add_writer           ok      ok      no      no      hidden    no
add_admin            ok      no      no      no      hidden    no
change_reader        ok      ok      no      no      hidden    no
promote_to_admin     ok      no      no      no      hidden    no
change_admin         ok      no      no      no      hidden    no
change_owner         stays   stays   no      no      hidden    no
remove_reader        ok      ok      no      no      hidden    no
remove_admin         ok      no      no      no      hidden    no
remove_owner         stays   stays   stays   stays   hidden    stays
remove_oneself       stays   ok      ok      ok      hidden    absent
leave                stays   ok      ok      ok      hidden    absent
report               ok      ok      ok      ok      hidden    ok
join_by_invite       ok      ok      ok      ok      ok        ok
join_without         ok      ok      ok      ok      hidden    ok
join_by_wrong_invite hidden  hidden  hidden  hidden  hidden    hidden
see_invites          ok      ok      no      no      hidden    no
invite               ok      ok      no      no      hidden    no
revoke_invite        ok      ok      no      no      hidden    no
rotate_invite        ok      ok      no      no      hidden    no
transfer             ok      no      no      no      hidden    no
files                ok      ok      ok      ok      hidden    ok
read_file            ok      ok      ok      ok      hidden    ok
create_file          ok      ok      ok      no      hidden    no
rename_file          ok      ok      ok      no      hidden    no
delete_file          ok      ok      ok      no      hidden    no
see_deleted_files    ok      ok      ok      ok      hidden    ok
read_deleted_file    ok      ok      ok      ok      hidden    ok
bring_file_back      ok      ok      ok      no      hidden    no
fork                 ok      ok      ok      ok      hidden    no
"""
PAGES = """
                     owner   admin   write   read    stranger  moderator
page                 ok      ok      ok      ok      hidden    ok
restore_page         ok      hidden  hidden  hidden  hidden    hidden
fork_page            ok      ok      ok      ok      hidden    no
join_page            ok      ok      ok      ok      ok        ok
join                 ok      ok      ok      ok      ok        ok
wrong_join_page      hidden  hidden  hidden  hidden  hidden    hidden
"""
ADMIN = """
                     owner   admin   write   read    stranger  moderator
sessions             no      no      no      no      no        ok
session              no      no      no      no      no        ok
runs                 no      no      no      no      no        ok
run                  no      no      no      no      no        ok
cancel_runs          no      no      no      no      no        ok
chat                 no      no      no      no      no        ok
remove_chat          no      no      no      no      no        ok
lock                 no      no      no      no      no        ok
freeze               no      no      no      no      no        ok
close                no      no      no      no      no        ok
"""
STATUS = {"ok": range(200, 300), "no": (403,), "hidden": (404,), "stays": (409,), "absent": (404,)}
OWN_RUN = ("read_own_run", "type_into_own_run", "stop_own_run")
ARCHIVED = ("restore", "restore_page")
WRONG = "A" * 22


def cells(table: str) -> list[tuple[str, str, str]]:
    """(action, role, expected) for every cell, and every action once more for the anonymous."""
    head, *rows = (line.split() for line in table.strip().splitlines())
    tried = []
    for action, *expected in rows:
        tried += [(action, role, outcome) for role, outcome in zip(head, expected, strict=True)]
        tried.append((action, "anonymous", "anonymous"))
    return tried


@dataclass
class World:
    session: CodeSession
    people: dict[str, Any]
    run: Run
    own_run: Run
    invite: Invite
    token: str
    message: ChatMessage
    file_id: str

    def of(self, name: str) -> str:
        return str(self.people[name].pk)


def person(name: str, **fields: Any) -> User:
    return User.objects.create_user(name, f"{name}@example.org", "correct horse battery", **fields)


@pytest.fixture
def people(session, alice, bob, carol, mallory, mod):
    root = person("root", is_superuser=True)
    set_role(mod, Role.MODERATOR, by=root)
    mod.refresh_from_db()
    others = {name: person(name) for name in ("dave", "other_reader", "other_admin", "newcomer")}
    for name, permission in (("dave", "admin"), ("other_reader", "read"), ("other_admin", "admin")):
        Collaborator.objects.create(session=session, user=others[name], permission=permission)
    roles = {"owner": alice, "admin": others["dave"], "write": bob, "read": carol, "stranger": mallory}
    return roles | {"moderator": mod, "anonymous": None} | others


@pytest.fixture
def world(session, people, action, role):
    AvailableLanguage.objects.create(key="python", version="3", checked_at=timezone.now())
    going = {"session": session, "language": "python", "interactive": True, "status": Status.RUNNING}
    run = Run.objects.create(user=people["other_admin"], **going)
    own_run = Run.objects.create(user=people[role], **going) if action in OWN_RUN else run
    invite, token = sharing.create_invite(standing_in(people["owner"], session.pk), people["owner"])
    file_id = ""
    if action in ("rename_file", "delete_file", "read_deleted_file", "bring_file_back"):
        owner = people["owner"]
        file_id = files.create_file(standing_in(owner, session.pk), owner, "old.txt")
        if action in ("read_deleted_file", "bring_file_back"):
            files.delete_file(standing_in(owner, session.pk), owner, file_id)
    if action in ARCHIVED:
        session.archived_at = timezone.now()
        session.save()
    if action == "restore_text":
        documents.replace_entry_text(session.pk, "print(3)\n", people["owner"].pk)
    message = ChatMessage.objects.create(session=session, user=people["other_admin"], text="hello")
    return World(session, people, run, own_run, invite, token, message, file_id)


def stored(world):
    """Everything that an action here could change."""
    rows = (CodeSession, Collaborator, Invite, InviteUse, Run, RunInput, ChatMessage, Update)
    text = documents.entry_text(CodeSession.objects.get(pk=world.session.pk))
    return text, [sorted(model.objects.values_list(), key=str) for model in rows]


def over_rest(client, action, world):
    path = f"/api/sessions/{world.session.pk}"
    person = f"{path}/collaborators"
    run, own_run = f"/api/execute/{world.run.pk}", f"/api/execute/{world.own_run.pk}"
    match action:
        case "view":
            return client.get(path)
        case "people":
            return client.get(f"{path}/collaborators")
        case "ticket":
            return client.post(f"{path}/ticket")
        case "read_chat":
            return client.get(f"{path}/chat")
        case "say":
            return client.post(f"{path}/chat", {"text": "hello"})
        case "edit":
            return client.patch(path, {"content": "print(2)\n"})
        case "rename":
            return client.patch(path, {"title": "New"})
        case "make_public":
            return client.patch(path, {"is_public": True})
        case "archive":
            return client.delete(path)
        case "restore":
            return client.post(f"{path}/restore")
        case "history":
            return client.get(f"/api/execute/history/{world.session.pk}")
        case "text_history":
            return client.get(f"{path}/history")
        case "past_text":
            return client.get(f"{path}/history/1")
        case "restore_text":
            return client.post(f"{path}/history/1/restore")
        case "run":
            return client.post("/api/execute", {"session_id": str(world.session.pk)})
        case "read_run":
            return client.get(f"/api/execute/status/{world.run.pk}")
        case "read_output":
            return client.get(f"{run}/output")
        case "type_into_run":
            return client.post(f"{run}/input", {"text": "hello\n"})
        case "stop_any_run":
            return client.post(f"{run}/cancel")
        case "read_own_run":
            return client.get(f"{own_run}/output")
        case "type_into_own_run":
            return client.post(f"{own_run}/input", {"text": "hello\n"})
        case "stop_own_run":
            return client.post(f"{own_run}/cancel")
        case "add_writer":
            return client.post(person, {"username": "newcomer", "permission": "write"})
        case "add_admin":
            return client.post(person, {"username": "newcomer", "permission": "admin"})
        case "change_reader":
            return client.patch(f"{person}/{world.of('other_reader')}", {"permission": "write"})
        case "promote_to_admin":
            return client.patch(f"{person}/{world.of('other_reader')}", {"permission": "admin"})
        case "change_admin":
            return client.patch(f"{person}/{world.of('other_admin')}", {"permission": "read"})
        case "change_owner":
            return client.patch(f"{person}/{world.of('owner')}", {"permission": "read"})
        case "remove_reader":
            return client.delete(f"{person}/{world.of('other_reader')}")
        case "remove_admin":
            return client.delete(f"{person}/{world.of('other_admin')}")
        case "remove_owner":
            return client.delete(f"{person}/{world.of('owner')}")
        case "remove_oneself":
            return client.delete(f"{person}/{client.me}")
        case "report":
            return client.post(f"{path}/report", {"reason": "It mines coins"})
        case "leave":
            return client.post(f"{path}/leave")
        case "join_by_invite":
            return client.post(f"{path}/join", {"invite": world.token})
        case "join_without":
            return client.post(f"{path}/join", {})
        case "join_by_wrong_invite":
            return client.post(f"{path}/join", {"invite": WRONG})
        case "see_invites":
            return client.get(f"{path}/invites")
        case "invite":
            return client.post(f"{path}/invites")
        case "revoke_invite":
            return client.delete(f"{path}/invites/{world.invite.pk}")
        case "rotate_invite":
            return client.post(f"{path}/invites/{world.invite.pk}/rotate")
        case "files":
            return client.get(f"{path}/files")
        case "read_file":
            return client.get(f"{path}/files/main")
        case "create_file":
            return client.post(f"{path}/files", {"path": "new.txt"})
        case "rename_file":
            return client.patch(f"{path}/files/{world.file_id}", {"path": "new.txt"})
        case "see_deleted_files":
            return client.get(f"{path}/files/deleted")
        case "read_deleted_file":
            return client.get(f"{path}/files/deleted/{world.file_id}")
        case "bring_file_back":
            return client.post(f"{path}/files/deleted/{world.file_id}/restore")
        case "delete_file":
            return client.delete(f"{path}/files/{world.file_id}")
        case "fork":
            return client.post(f"{path}/fork")
        case "transfer":
            return client.post(f"{path}/transfer", {"username": "other_reader"})
    raise AssertionError(action)


def by_page(client, action, world):
    match action:
        case "page":
            return client.get(f"/sessions/{world.session.pk}")
        case "restore_page":
            return client.post(f"/sessions/{world.session.pk}/restore")
        case "fork_page":
            return client.post(f"/sessions/{world.session.pk}/fork")
        case "join_page":
            return client.get(f"/join/{world.token}")
        case "join":
            return client.post(f"/join/{world.token}")
        case "wrong_join_page":
            return client.get(f"/join/{WRONG}")
    raise AssertionError(action)


def by_admin(client, action, world):
    match action:
        case "sessions":
            return client.get(reverse("admin:sessions_app_codesession_changelist"))
        case "session":
            return client.get(reverse("admin:sessions_app_codesession_change", args=[world.session.pk]))
        case "runs":
            return client.get(reverse("admin:execution_run_changelist"))
        case "run":
            return client.get(reverse("admin:execution_run_change", args=[world.run.pk]))
        case "cancel_runs":
            chosen = {"action": "cancel", "_selected_action": [str(world.run.pk)], "confirm": "1"}
            return client.post(reverse("admin:execution_run_changelist"), chosen)
        case "chat":
            return client.get(reverse("admin:sessions_app_chatmessage_changelist"))
        case "remove_chat":
            chosen = {"action": "remove", "_selected_action": [str(world.message.pk)], "confirm": "1"}
            return client.post(reverse("admin:sessions_app_chatmessage_changelist"), chosen)
        case "lock" | "freeze" | "close":
            chosen = {"action": action, "_selected_action": [str(world.session.pk)], "confirm": "1", "reason": "x"}
            return client.post(reverse("admin:sessions_app_codesession_changelist"), chosen)
    raise AssertionError(action)


def browser(user):
    client = Client()
    if user is not None:
        client.force_login(user)
    return client


@pytest.mark.parametrize(("action", "role", "expected"), cells(REST))
def test_the_table_holds_over_rest(action, role, expected, world, api):
    client, before = api(world.people[role]), stored(world)
    client.me = world.of(role) if world.people[role] else world.of("newcomer")
    answer = over_rest(client, action, world)
    if expected == "anonymous":
        assert answer.status_code == 401
    else:
        assert answer.status_code in STATUS[expected], answer.content
    if expected != "ok":
        assert answer["Content-Type"] == "application/problem+json"
        assert stored(world) == before
    elif action == "restore_text":
        assert stored(world)[0] == "print(1)\n" != before[0]


@pytest.mark.parametrize(("action", "role", "expected"), cells(PAGES))
def test_the_table_holds_on_pages(action, role, expected, world):
    before = stored(world)
    answer = by_page(browser(world.people[role]), action, world)
    if expected == "anonymous":
        assert answer.status_code == 302 and answer["Location"].startswith("/login?next=")
    elif action == "fork_page" and expected == "ok":
        assert answer["Location"] == f"/sessions/{CodeSession.objects.get(forked_from=world.session).pk}"
    elif expected == "ok" and answer.status_code == 302:
        assert answer["Location"] == f"/sessions/{world.session.pk}"
    else:
        assert answer.status_code in STATUS[expected]
    if expected != "ok":
        assert world.session.title not in answer.text
        assert stored(world) == before


@pytest.mark.parametrize(("action", "role", "expected"), cells(ADMIN))
def test_the_table_holds_in_the_admin(action, role, expected, world):
    client, before = browser(world.people[role]), stored(world)
    answer = by_admin(client, action, world)
    if expected == "ok":
        changes = action in ("cancel_runs", "remove_chat", "lock", "freeze", "close")
        assert answer.status_code == (302 if changes else 200)
        assert (stored(world) != before) == changes
        return
    assert answer.status_code in (302, 403)
    assert world.session.title not in answer.text
    assert stored(world) == before
    if answer.status_code == 302:
        # To where somebody else could sign in, and for those who did no further.
        end = client.get(answer["Location"], follow=True)
        assert end.status_code == (200 if role == "anonymous" else 403)
        assert role != "anonymous" or end.redirect_chain[-1][0].startswith("/login?next=")


@pytest.mark.parametrize("role", ["stranger"])
@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("view", "ok"),
        ("people", "ok"),
        ("ticket", "ok"),
        ("history", "ok"),
        ("text_history", "ok"),
        ("past_text", "ok"),
        ("restore_text", "no"),
        ("read_run", "ok"),
        ("read_output", "ok"),
        ("join_without", "ok"),
        ("read_chat", "ok"),
        ("say", "no"),
        ("edit", "no"),
        ("rename", "no"),
        ("make_public", "no"),
        ("archive", "no"),
        ("run", "no"),
        ("type_into_run", "no"),
        ("stop_any_run", "no"),
        ("add_writer", "no"),
        ("change_reader", "no"),
        ("remove_reader", "no"),
        ("see_invites", "no"),
        ("invite", "no"),
        ("revoke_invite", "no"),
        ("rotate_invite", "no"),
        ("transfer", "no"),
        ("files", "ok"),
        ("read_file", "ok"),
        ("create_file", "no"),
        ("rename_file", "no"),
        ("delete_file", "no"),
        ("see_deleted_files", "ok"),
        ("read_deleted_file", "ok"),
        ("bring_file_back", "no"),
        ("fork", "ok"),
        ("restore", "hidden"),
        ("leave", "absent"),
    ],
)
def test_a_public_session_is_read_by_anybody_signed_in_and_changed_by_no_stranger(action, role, expected, world, api):
    CodeSession.objects.filter(pk=world.session.pk).update(is_public=True)
    before = stored(world)
    answer = over_rest(api(world.people[role]), action, world)
    assert answer.status_code in STATUS[expected], answer.content
    assert stored(world) == before or action in ("join_without", "fork")


@pytest.mark.parametrize(("action", "role"), [("join_without", "moderator")])
def test_a_moderator_who_looks_does_not_become_one_of_the_people(action, role, world, api):
    before = stored(world)
    assert over_rest(api(world.people[role]), action, world).status_code == 200
    assert stored(world) == before


def test_a_suspended_person_reaches_nothing(session, bob, api):
    client, page = api(bob), browser(bob)
    bob.is_active = False
    bob.save()
    assert client.get(f"/api/sessions/{session.pk}").status_code == 401
    assert page.get(f"/sessions/{session.pk}").status_code == 302
