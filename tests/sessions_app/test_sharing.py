"""Invite links, leaving, and handing a session over."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import User
from sessions_app import invites, sharing
from sessions_app.access import access_to
from sessions_app.errors import InviteNotFound, NotAllowed
from sessions_app.limits import INVITES_MAX
from sessions_app.models import CodeSession, Collaborator, Invite, InviteUse


@pytest.fixture
def path(session):
    return f"/api/sessions/{session.pk}"


def permission_of(session, user):
    return Collaborator.objects.filter(session=session, user=user).values_list("permission", flat=True).first()


def test_a_link_grants_what_it_was_made_for(session, alice, mallory, path, api):
    made = api(alice).post(f"{path}/invites", {"permission": "read"}).json()
    assert (made["permission"], made["expires_at"], made["uses_left"]) == ("read", None, None)
    assert api(mallory).post(f"{path}/join", {"invite": made["token"]}).json()["permission"] == "read"
    assert api(mallory).patch(path, {"content": "mine"}).status_code == 403


def test_a_reader_who_comes_by_an_edit_link_can_edit(session, alice, carol, path, api):
    token = api(alice).post(f"{path}/invites").json()["token"]
    assert api(carol).post(f"{path}/join", {"invite": token}).json()["permission"] == "write"


@pytest.mark.parametrize(
    "wrong",
    [{"permission": "admin"}, {"permission": "owner"}, {"uses": 0}, {"uses": 1001}, {"expires_in": 1}, {"uses": "x"}],
)
def test_a_wrong_link_is_not_made(wrong, alice, path, api):
    answer = api(alice).post(f"{path}/invites", wrong)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert not Invite.objects.exists()


def test_every_dead_link_gets_the_same_answer(session, alice, bob, mallory, path, api):
    owner, client = api(alice), api(mallory)

    def make(**fields):
        made = owner.post(f"{path}/invites").json()
        Invite.objects.filter(pk=made["id"]).update(**fields)
        return made["token"]

    dead = {
        "wrong": "A" * 22,
        "revoked": make(revoked_at=timezone.now()),
        "expired": make(expires_at=timezone.now() - timedelta(seconds=1)),
        "used up": make(uses_left=0),
        "not a token": "../\x00é",
    }
    rotated = owner.post(f"{path}/invites").json()
    owner.post(f"{path}/invites/{rotated['id']}/rotate")
    dead["rotated"] = rotated["token"]
    answers = {why: client.post(f"{path}/join", {"invite": token}) for why, token in dead.items() if why[0] != "n"}
    assert {answer.content for answer in answers.values()} == {answers["wrong"].content}
    assert {answer.status_code for answer in answers.values()} == {404}
    assert permission_of(session, mallory) is None
    with pytest.raises(InviteNotFound):
        invites.find_invite(dead["not a token"])


def test_the_pages_of_dead_links_are_the_same(session, alice, mallory, client):
    client.force_login(mallory)
    access = access_to(alice, session.pk)
    _, expired = invites.create_invite(access, alice, expires_at=timezone.now() - timedelta(seconds=1))
    revoked, token = invites.create_invite(access, alice)
    invites.revoke_invite(access, alice, revoked.pk)
    pages = [client.get(f"/join/{token}") for token in ("A" * 22, expired, token)]
    assert {page.status_code for page in pages} == {404}
    # Above it is the form to log out, with another CSRF token every time.
    assert len({page.text.partition("<main")[2] for page in pages}) == 1
    assert {page["Content-Length"] for page in pages} == {pages[0]["Content-Length"]}


def test_a_link_ends_with_its_time(session, alice, mallory, path, api, time_machine):
    token = api(alice).post(f"{path}/invites", {"expires_in": 3600}).json()["token"]
    time_machine.move_to(timezone.now() + timedelta(seconds=3601))
    with pytest.raises(InviteNotFound):
        invites.accept_invite(mallory, token)


def test_a_link_says_who_came_through_it(session, alice, bob, mallory, path, api):
    made = api(alice).post(f"{path}/invites", {"uses": 5}).json()
    assert made["joined"] == []
    api(mallory).post(f"{path}/join", {"invite": made["token"]})
    # Neither gets anything from it, so neither uses it up.
    api(bob).post(f"{path}/join", {"invite": made["token"]})
    api(mallory).post(f"{path}/join", {"invite": made["token"]})
    (row,) = api(alice).get(f"{path}/invites").json()
    assert (row["uses_left"], row["joined_count"]) == (4, 1)
    assert [use["user"]["username"] for use in row["joined"]] == ["mallory"]
    assert "token" not in row and made["token"] not in str(row)


def test_links_are_listed_in_a_fixed_number_of_queries(
    session, alice, path, api, django_assert_num_queries, django_assert_max_num_queries
):
    access = access_to(alice, session.pk)
    for number in range(6):
        invite, _ = invites.create_invite(access, alice)
        for guest in range(3):
            person = User.objects.create_user(f"guest{number}-{guest}", f"{number}{guest}@example.org", "x")
            InviteUse.objects.create(invite=invite, user=person)
    client = api(alice)
    with django_assert_max_num_queries(6):
        assert [row["joined_count"] for row in client.get(f"{path}/invites").json()] == [3] * 6


def test_several_links_live_side_by_side_and_end_alone(session, alice, mallory, path, api):
    client = api(alice)
    one, other = (client.post(f"{path}/invites", {"permission": kind}).json() for kind in ("read", "write"))
    assert client.delete(f"{path}/invites/{one['id']}").status_code == 204
    assert client.delete(f"{path}/invites/{one['id']}").status_code == 404
    assert [row["id"] for row in client.get(f"{path}/invites").json()] == [other["id"]]
    assert api(mallory).post(f"{path}/join", {"invite": other["token"]}).status_code == 200


def test_a_rotated_link_keeps_its_terms_and_its_people(session, alice, bob, mallory, path, api):
    client = api(alice)
    made = client.post(f"{path}/invites", {"uses": 3, "expires_in": 3600}).json()
    api(mallory).post(f"{path}/join", {"invite": made["token"]})
    again = client.post(f"{path}/invites/{made['id']}/rotate").json()
    assert again["token"] != made["token"] and again["url"].endswith(again["token"])
    assert (again["id"], again["uses_left"], again["expires_at"]) == (made["id"], 2, made["expires_at"])
    assert api(bob).post(f"{path}/join", {"invite": made["token"]}).status_code == 404
    assert api(bob).post(f"{path}/join", {"invite": again["token"]}).status_code == 200
    assert permission_of(session, mallory) == "write"


def test_a_dead_link_is_not_woken_by_rotation(session, alice, path, api):
    made = api(alice).post(f"{path}/invites", {"uses": 1}).json()
    Invite.objects.update(uses_left=0)
    assert api(alice).post(f"{path}/invites/{made['id']}/rotate").status_code == 404


def test_another_sessions_link_is_neither_rotated_nor_revoked(session, alice, mallory, path, api):
    other = CodeSession.objects.create(owner=mallory, title="Other")
    made = api(mallory).post(f"/api/sessions/{other.pk}/invites").json()
    assert api(alice).post(f"{path}/invites/{made['id']}/rotate").status_code == 404
    assert api(alice).delete(f"{path}/invites/{made['id']}").status_code == 404
    assert invites.find_invite(made["token"]).session_id == other.pk


def test_a_session_has_only_so_many_links(session, alice, path, api):
    access = access_to(alice, session.pk)
    for _ in range(INVITES_MAX):
        invites.create_invite(access, alice)
    answer = api(alice).post(f"{path}/invites")
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_invites")


@pytest.mark.django_db(transaction=True)
def test_the_last_uses_of_a_link_are_had_once_each_however_many_come_at_once(session, alice):
    invite, token = invites.create_invite(access_to(alice, session.pk), alice, uses=3)
    # One of them comes twice.
    people = [User.objects.create_user(f"p{number}", f"p{number}@example.org", "x") for number in range(7)]
    people.append(people[0])
    barrier = Barrier(len(people), timeout=60)

    def come(person):
        try:
            barrier.wait()
            invites.accept_invite(person, token)
            return True
        except InviteNotFound:
            return False
        finally:
            connection.close()

    with ThreadPoolExecutor(len(people)) as pool:
        came = list(pool.map(come, people))
    joined = set(Collaborator.objects.filter(session=session, user__in=people).values_list("user", flat=True))
    assert len(joined) == 3
    assert {person.pk for person, did in zip(people, came, strict=True) if did} == joined
    assert Invite.objects.get(pk=invite.pk).uses_left == 0
    assert set(InviteUse.objects.filter(invite=invite).values_list("user", flat=True)) == joined


def test_the_owner_hands_the_session_over_and_stays_as_an_admin(session, alice, bob, path, api):
    answer = api(alice).post(f"{path}/transfer", {"username": "BOB"})
    assert (answer.status_code, answer.json()["permission"]) == (200, "admin")
    assert answer.json()["owner"]["username"] == "bob"
    assert api(bob).get(path).json()["permission"] == "owner"
    assert permission_of(session, bob) is None
    assert api(alice).delete(path).status_code == 403
    assert api(alice).post(f"{path}/transfer", {"username": "carol"}).status_code == 403
    # Now that somebody else owns it, she may leave.
    assert api(alice).post(f"{path}/leave").status_code == 204


@pytest.mark.parametrize("name", ["mallory", "alice", "nobody", "robot", "gone", "\x00"])
def test_a_session_goes_only_to_a_person_who_is_in_it(name, session, alice, mallory, path, api):
    for username, fields in (("robot", {"bot_of": alice}), ("gone", {"is_active": False})):
        person = User.objects.create_user(username, f"{username}@example.org", "x", **fields)
        Collaborator.objects.create(session=session, user=person, permission="admin")
    answer = api(alice).post(f"{path}/transfer", {"username": name})
    assert answer.status_code == 400
    assert CodeSession.objects.get(pk=session.pk).owner == alice


def test_who_is_no_longer_the_owner_hands_nothing_over(session, alice, bob, carol):
    old = access_to(alice, session.pk)
    sharing.transfer_session(access_to(alice, session.pk), alice, "bob")
    with pytest.raises(NotAllowed):
        sharing.transfer_session(old, alice, "carol")
    assert CodeSession.objects.get(pk=session.pk).owner == bob
    assert permission_of(session, carol) == "read"


@pytest.mark.django_db(transaction=True)
def test_of_two_transfers_at_once_one_wins_and_everybody_keeps_one_place(session, alice, bob, carol):
    barrier = Barrier(2, timeout=60)

    def give(username):
        access = access_to(alice, session.pk)
        try:
            barrier.wait()
            sharing.transfer_session(access, alice, username)
            return username
        except NotAllowed:
            return None
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        won = [name for name in pool.map(give, ["bob", "carol"]) if name]
    stored = CodeSession.objects.get(pk=session.pk)
    assert won == [stored.owner.username]
    people = set(stored.collaborators.values_list("user__username", flat=True))
    assert people == {"alice", "bob", "carol"} - set(won)
    assert permission_of(session, alice) == "admin"
