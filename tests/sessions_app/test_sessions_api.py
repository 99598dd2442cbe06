from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from sessions_app.models import CodeSession, Collaborator, Invite


def test_a_new_session_opens_with_a_working_hello_world(alice, api):
    answer = api(alice).post("/api/sessions", {"title": "First", "language": "python"})
    assert answer.status_code == 201
    body = answer.json()
    assert "print" in body["content"]
    assert body["permission"] == "owner"
    assert body["owner"] == {"id": str(alice.pk), "username": "alice"}
    assert body["version"] == 1 and answer["ETag"].startswith('"1.')
    assert answer["Location"] == f"/api/sessions/{body['id']}"


def test_javascript_is_the_default_and_aliases_are_understood(alice, api):
    assert api(alice).post("/api/sessions", {"title": "a"}).json()["language"] == "javascript"
    assert api(alice).post("/api/sessions", {"title": "b", "language": "py"}).json()["language"] == "python"


def test_content_given_empty_stays_empty(alice, api):
    assert api(alice).post("/api/sessions", {"title": "a", "content": ""}).json()["content"] == ""


@pytest.mark.parametrize("path", ["/api/sessions/", "/api/v1/sessions", "/api/v1/sessions/"])
def test_a_trailing_slash_and_the_version_prefix_are_accepted(path, alice, api):
    assert api(alice).post(path, {"title": "a"}).status_code == 201
    assert api(alice).get(path).status_code == 200


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({}, "title", "required"),
        ({"title": ""}, "title", "blank"),
        ({"title": "x" * 121}, "title", "max_length"),
        ({"title": "nul \0"}, "title", "null_characters_not_allowed"),
        ({"title": "a", "language": "klingon"}, "language", "unknown_language"),
        ({"title": "a", "content": "x" * (512 * 1024 + 1)}, "content", "too_large"),
        ({"title": "a", "content": 7.5 * 2, "is_public": "perhaps"}, "is_public", "invalid"),
        ({"title": "a", "metadata": {"k": "x" * 17_000}}, "metadata", "too_large"),
        ({"title": "a", "metadata": {"k": "\0"}}, "metadata", "invalid"),
        ({"title": "a", "metadata": ["no"]}, "metadata", "not_a_dict"),
    ],
)
def test_a_bad_field_is_named_and_nothing_is_created(body, field, code, alice, api):
    answer = api(alice).post("/api/sessions", body)
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "invalid"
    assert [error["code"] for error in problem["errors"][field]] == [code]
    assert not CodeSession.objects.exists()


def test_broken_json_is_a_clear_problem(alice, api):
    answer = api(alice).post("/api/sessions", "{", content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")


def test_another_media_type_is_refused(alice, api):
    answer = api(alice).post("/api/sessions", "title=a", content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 415
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("bad", ["1", "not-a-uuid", "7d0f9a52-0d4c-4c3e-8a3b-0f7f2f7f0a11"])
def test_a_bad_session_id_is_a_plain_404(bad, alice, api):
    answer = api(alice).get(f"/api/sessions/{bad}")
    assert answer.status_code == 404
    assert answer["Content-Type"] == "application/problem+json"


def test_text_survives_as_it_is(alice, api):
    text = "naïve = '😀'\n\tprint(\0)\n"
    created = api(alice).post("/api/sessions", {"title": "a", "content": text}).json()
    assert api(alice).get(f"/api/sessions/{created['id']}").json()["content"] == text


def test_a_content_write_is_a_merge_and_checks_the_base_revision_when_given(session, bob, api):
    path = f"/api/sessions/{session.pk}"
    assert api(bob).patch(path, {"content": "print(2)\n"}).json()["content"] == "print(2)\n"
    stale = api(bob).patch(path, {"content": "print(3)\n", "base_revision": 1})
    assert (stale.status_code, stale.json()["code"]) == (409, "revision_passed")
    assert api(bob).get(path).json()["content"] == "print(2)\n"


def test_a_refused_part_changes_nothing_of_the_whole(session, bob, api):
    path = f"/api/sessions/{session.pk}"
    assert api(bob).patch(path, {"content": "x", "title": "Mine"}).status_code == 403
    body = api(bob).get(path).json()
    assert (body["title"], body["content"]) == ("Together", "print(1)\n")


def test_a_lost_update_is_refused(session, alice, api):
    path = f"/api/sessions/{session.pk}"
    etag = api(alice).get(path)["ETag"]
    assert api(alice).patch(path, {"title": "One"}, headers={"If-Match": etag}).status_code == 200
    late = api(alice).patch(path, {"title": "Two"}, headers={"If-Match": etag})
    assert (late.status_code, late.json()["code"]) == (412, "changed_meanwhile")
    assert api(alice).get(path).json()["title"] == "One"


def test_changing_the_language_swaps_only_an_untouched_hello_world(alice, api):
    client = api(alice)
    created = client.post("/api/sessions", {"title": "a", "language": "python"}).json()
    changed = client.patch(f"/api/sessions/{created['id']}", {"language": "c"}).json()
    assert "#include" in changed["content"]
    client.patch(f"/api/sessions/{created['id']}", {"content": "int mine;\n"})
    kept = client.patch(f"/api/sessions/{created['id']}", {"language": "python"}).json()
    assert kept["content"] == "int mine;\n"


def test_the_list_shows_own_and_shared_sessions_without_their_text(session, alice, bob, mallory, api):
    CodeSession.objects.create(owner=mallory, title="Foreign", is_public=True)
    for person, permission in ((alice, "owner"), (bob, "write")):
        rows = api(person).get("/api/sessions").json()["results"]
        assert [(row["title"], row["permission"]) for row in rows] == [("Together", permission)]
        assert "content" not in rows[0]


def test_the_list_filters_and_refuses_what_it_does_not_know(session, alice, api):
    client = api(alice)
    assert client.get("/api/sessions?search=gether").json()["results"]
    assert not client.get("/api/sessions?search=nothing").json()["results"]
    assert client.get("/api/sessions?language=python&is_public=false&ordering=title").json()["results"]
    for wrong in ("?sort=title", "?ordering=owner", "?language=klingon", "?is_public=maybe"):
        answer = client.get(f"/api/sessions{wrong}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid"), wrong


def test_pages_follow_each_other_without_gaps(alice, api):
    for number in range(7):
        CodeSession.objects.create(owner=alice, title=f"s{number}")
    seen, url = [], "/api/sessions?page_size=3&ordering=title"
    while url:
        page = api(alice).get(url).json()
        seen += [row["title"] for row in page["results"]]
        url = page["next"]
    assert seen == [f"s{number}" for number in range(7)]


def test_the_list_takes_as_many_queries_for_many_rows_as_for_one(alice, api, django_assert_max_num_queries):
    for number in range(20):
        CodeSession.objects.create(owner=alice, title=f"s{number}")
    client = api(alice)
    with django_assert_max_num_queries(4):
        assert len(client.get("/api/sessions").json()["results"]) == 20


def test_an_archived_session_is_gone_until_its_owner_restores_it(session, alice, bob, api):
    path = f"/api/sessions/{session.pk}"
    assert api(alice).delete(path).status_code == 204
    assert api(alice).get(path).status_code == 404
    assert api(bob).get(path).status_code == 404
    assert not api(alice).get("/api/sessions").json()["results"]
    assert len(api(alice).get("/api/sessions?archived=true").json()["results"]) == 1
    assert api(bob).post(f"{path}/restore").status_code == 404
    assert api(alice).post(f"{path}/restore").json()["content"] == "print(1)\n"
    assert api(bob).get(path).status_code == 200


def test_after_thirty_days_nothing_is_restored(session, alice, api):
    session.archived_at = timezone.now() - timedelta(days=31)
    session.save()
    assert api(alice).post(f"/api/sessions/{session.pk}/restore").status_code == 403


def test_an_invite_lets_in_once_shown_and_until_revoked(session, alice, mallory, api):
    owner, stranger, path = api(alice), api(mallory), f"/api/sessions/{session.pk}"
    made = owner.post(f"{path}/invites").json()
    assert made["url"].endswith(f"/join/{made['token']}")
    assert made["token"] not in str(owner.get(f"{path}/invites").json())
    assert not Invite.objects.filter(token_sha256=made["token"]).exists()
    assert stranger.post(f"{path}/join", {"invite": "wrong"}).json()["code"] == "invite_not_found"
    assert stranger.post(f"{path}/join", {"invite": made["token"]}).json()["permission"] == "write"
    assert stranger.patch(path, {"content": "print(5)\n"}).status_code == 200

    assert owner.delete(f"{path}/invites/{made['id']}").status_code == 204
    assert owner.delete(f"{path}/collaborators/{mallory.pk}").status_code == 204
    assert stranger.post(f"{path}/join", {"invite": made["token"]}).status_code == 404
    assert stranger.get(path).status_code == 404


def test_an_invite_opens_no_other_session(session, alice, mallory, api):
    other = CodeSession.objects.create(owner=alice, title="Other")
    token = api(alice).post(f"/api/sessions/{session.pk}/invites").json()["token"]
    assert api(mallory).post(f"/api/sessions/{other.pk}/join", {"invite": token}).status_code == 404
    assert not Collaborator.objects.filter(user=mallory).exists()


def test_an_invite_never_lowers_what_one_has(session, alice, bob, api):
    Collaborator.objects.filter(user=bob).update(permission="admin")
    token = api(alice).post(f"/api/sessions/{session.pk}/invites").json()["token"]
    assert api(bob).post(f"/api/sessions/{session.pk}/join", {"invite": token}).json()["permission"] == "admin"


def test_joining_a_public_session_puts_it_in_ones_list(session, mallory, api):
    path = f"/api/sessions/{session.pk}"
    assert api(mallory).post(f"{path}/join").status_code == 404
    CodeSession.objects.update(is_public=True)
    assert api(mallory).post(f"{path}/join").json()["permission"] == "read"
    assert len(api(mallory).get("/api/sessions").json()["results"]) == 1


def test_collaborators_are_changed_and_removed(session, alice, bob, api):
    path = f"/api/sessions/{session.pk}/collaborators"
    assert {row["user"]["username"] for row in api(alice).get(path).json()} == {"bob", "carol"}
    assert api(alice).patch(f"{path}/{bob.pk}", {"permission": "read"}).json()["permission"] == "read"
    assert api(bob).patch(f"/api/sessions/{session.pk}", {"content": "x"}).status_code == 403
    assert api(alice).delete(f"{path}/{bob.pk}").status_code == 204
    assert api(bob).get(f"/api/sessions/{session.pk}").status_code == 404


def test_an_admin_neither_touches_admins_nor_the_owner(session, alice, bob, carol, api):
    Collaborator.objects.update(permission="admin")
    path = f"/api/sessions/{session.pk}/collaborators"
    assert api(bob).patch(f"{path}/{carol.pk}", {"permission": "read"}).status_code == 403
    assert api(bob).delete(f"{path}/{carol.pk}").status_code == 403
    for answer in (
        api(bob).patch(f"{path}/{alice.pk}", {"permission": "read"}),
        api(bob).delete(f"{path}/{alice.pk}"),
        api(alice).post(path, {"username": "ALICE", "permission": "read"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "owner_stays")


def test_one_can_leave(session, bob, api):
    assert api(bob).post(f"/api/sessions/{session.pk}/leave").status_code == 204
    assert api(bob).get(f"/api/sessions/{session.pk}").status_code == 404


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"username": "nobody", "permission": "write"}, "person_not_found"),
        ({"username": "mallory", "permission": "owner"}, "invalid"),
        ({"username": "mallory"}, "invalid"),
    ],
)
def test_a_wrong_collaborator_is_refused(body, code, session, alice, mallory, api):
    answer = api(alice).post(f"/api/sessions/{session.pk}/collaborators", body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_an_unknown_path_of_the_api_is_a_problem_too(alice, api):
    answer = api(alice).get("/api/nothing/here")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")


def test_the_wrong_verb_is_a_problem_too(session, alice, api):
    answer = api(alice).post(f"/api/sessions/{session.pk}", {})
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


def test_a_change_that_is_refused_in_part_changes_nothing(session, alice, api):
    path = f"/api/sessions/{session.pk}"
    answer = api(alice).patch(path, {"title": "New", "content": "x", "base_revision": 99})
    assert answer.status_code == 409
    assert api(alice).get(path).json()["title"] == "Together"


def test_removing_a_person_turns_the_invite_link_off(session, alice, bob, api):
    path = f"/api/sessions/{session.pk}"
    token = api(alice).post(f"{path}/invites").json()["token"]
    assert api(alice).delete(f"{path}/collaborators/{bob.pk}").status_code == 204
    assert api(bob).post(f"{path}/join", {"invite": token}).status_code == 404


def test_leaving_keeps_the_invite_link(session, alice, bob, api):
    path = f"/api/sessions/{session.pk}"
    token = api(alice).post(f"{path}/invites").json()["token"]
    assert api(bob).post(f"{path}/leave").status_code == 204
    assert api(bob).post(f"{path}/join", {"invite": token}).status_code == 200
