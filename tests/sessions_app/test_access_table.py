"""Who may do what, as one table per transport: REST, pages, admin. Each cell is tried. Sockets: tests/realtime."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from django.core.cache import caches
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.actions import set_role
from accounts.models import Role, User
from execution.models import AvailableLanguage, Run, RunInput, Status
from sessions_app import files, invites
from sessions_app.access import access_to
from sessions_app.document import contents
from sessions_app.models import ChatMessage, CodeSession, Collaborator, Invite, InviteUse, Update

if TYPE_CHECKING:
    from collections.abc import Iterator

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
ROLES = ("owner", "admin", "write", "read", "stranger", "moderator", "anonymous")
STATUS = {"no": 403, "hidden": 404, "stays": 409, "absent": 404, "anonymous": 401}
OWN_RUN = ("read_own_run", "type_into_own_run", "stop_own_run")
NEEDS_A_FILE = ("rename_file", "delete_file", "read_deleted_file", "bring_file_back")
NEEDS_A_DELETED_FILE = ("read_deleted_file", "bring_file_back")
ARCHIVED = ("restore", "restore_page")
GOING = {"language": "python", "interactive": True, "status": Status.RUNNING}
WRONG = "A" * 22


def column(table: str, role: str) -> dict[str, str]:
    """What the table says to each action of a role; "anonymous" to all those of the anonymous."""
    head, *rows = (line.split() for line in table.strip().splitlines())
    if role == "anonymous":
        return dict.fromkeys((action for action, *_ in rows), "anonymous")
    return {action: expected[head.index(role)] for action, *expected in rows}


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
def world(session, people):
    AvailableLanguage.objects.create(key="python", version="3", checked_at=timezone.now())
    run = Run.objects.create(user=people["other_admin"], session=session, **GOING)
    invite, token = invites.create_invite(access_to(people["owner"], session.pk), people["owner"])
    message = ChatMessage.objects.create(session=session, user=people["other_admin"], text="hello")
    return World(session, people, run, run, invite, token, message, "")


@contextmanager
def prepared(world: World, action: str, role: str) -> Iterator[Any]:
    """The world with what an action needs; yields what is stored. Afterwards nothing of it has happened."""
    owner, session = world.people["owner"], world.session
    with transaction.atomic():
        if action in OWN_RUN:
            world.own_run = Run.objects.create(user=world.people[role], session=session, **GOING)
        if action in NEEDS_A_FILE:
            world.file_id = files.create_file(access_to(owner, session.pk), owner, "old.txt")
        if action in NEEDS_A_DELETED_FILE:
            files.delete_file(access_to(owner, session.pk), owner, world.file_id)
        if action in ARCHIVED:
            CodeSession.objects.filter(pk=session.pk).update(archived_at=timezone.now())
        if action == "restore_text":
            contents.replace_entry_text(session.pk, "print(3)\n", owner.pk)
        yield stored(world)
        transaction.set_rollback(True)
    for cache in caches.all():
        cache.clear()


def stored(world):
    """Everything that an action here could change."""
    rows = (CodeSession, Collaborator, Invite, InviteUse, Run, RunInput, ChatMessage, Update)
    text = contents.entry_text(CodeSession.objects.get(pk=world.session.pk))
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


def outcome(answer: Any) -> str | int:
    return "ok" if 200 <= answer.status_code < 300 else answer.status_code


@pytest.mark.parametrize("role", ROLES)
def test_the_table_holds_over_rest(role, world, api):
    expected, found = column(REST, role), {}
    for action in expected:
        with prepared(world, action, role) as before:
            client = api(world.people[role])
            client.me = world.of(role) if world.people[role] else world.of("newcomer")
            answer = over_rest(client, action, world)
            found[action] = outcome(answer)
            if found[action] != "ok":
                assert answer["Content-Type"] == "application/problem+json", action
                assert stored(world) == before, action
            elif action == "restore_text":
                assert stored(world)[0] == "print(1)\n" != before[0]
    assert found == {action: STATUS.get(word, word) for action, word in expected.items()}


@pytest.mark.parametrize("role", ROLES)
def test_the_table_holds_on_pages(role, world):
    expected, found = column(PAGES, role), {}
    for action in expected:
        with prepared(world, action, role) as before:
            answer = by_page(browser(world.people[role]), action, world)
            found[action] = outcome(answer)
            if found[action] == 302:
                forks = action == "fork_page" and CodeSession.objects.filter(forked_from=world.session).first()
                reached = {f"/sessions/{(forks or world.session).pk}": "ok"}
                place = answer["Location"]
                found[action] = "anonymous" if place.startswith("/login?next=") else reached.get(place, place)
            if found[action] != "ok":
                assert world.session.title not in answer.text, action
                assert stored(world) == before, action
    pages = STATUS | {"anonymous": "anonymous"}
    assert found == {action: pages.get(word, word) for action, word in expected.items()}


@pytest.mark.parametrize("role", ROLES)
def test_the_table_holds_in_the_admin(role, world):
    for action, expected in column(ADMIN, role).items():
        with prepared(world, action, role) as before:
            client = browser(world.people[role])
            answer = by_admin(client, action, world)
            if expected == "ok":
                changes = action in ("cancel_runs", "remove_chat", "lock", "freeze", "close")
                assert answer.status_code == (302 if changes else 200), action
                assert (stored(world) != before) == changes, action
                continue
            assert answer.status_code in (302, 403), action
            assert world.session.title not in answer.text, action
            assert stored(world) == before, action
            if answer.status_code == 302:
                # To where somebody else could sign in, and for those who did no further.
                end = client.get(answer["Location"], follow=True)
                assert end.status_code == (200 if role == "anonymous" else 403), action
                assert role != "anonymous" or end.redirect_chain[-1][0].startswith("/login?next="), action


PUBLIC = """
ok      view people ticket history text_history past_text read_run read_output join_without read_chat
ok      files read_file see_deleted_files read_deleted_file fork
no      restore_text say edit rename make_public archive run type_into_run stop_any_run
no      add_writer change_reader remove_reader see_invites invite revoke_invite rotate_invite transfer
no      create_file rename_file delete_file bring_file_back
hidden  restore
absent  leave
"""


def test_a_public_session_is_read_by_anybody_signed_in_and_changed_by_no_stranger(world, api):
    CodeSession.objects.filter(pk=world.session.pk).update(is_public=True)
    rows = [line.split() for line in PUBLIC.strip().splitlines()]
    expected, found = {action: word for word, *actions in rows for action in actions}, {}
    for action in expected:
        with prepared(world, action, "stranger") as before:
            found[action] = outcome(over_rest(api(world.people["stranger"]), action, world))
            assert stored(world) == before or action in ("join_without", "fork"), action
    assert found == {action: STATUS.get(word, word) for action, word in expected.items()}


def test_a_moderator_who_looks_does_not_become_one_of_the_people(world, api):
    before = stored(world)
    assert over_rest(api(world.people["moderator"]), "join_without", world).status_code == 200
    assert stored(world) == before


def test_a_suspended_person_reaches_nothing(session, bob, api):
    client, page = api(bob), browser(bob)
    bob.is_active = False
    bob.save()
    assert client.get(f"/api/sessions/{session.pk}").status_code == 401
    assert page.get(f"/sessions/{session.pk}").status_code == 302
