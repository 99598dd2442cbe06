"""The moderators' pages: useful, read-only, without a query per row, and without a side door."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts import moderators
from accounts.actions import set_role
from accounts.models import Role, User
from activity import audit
from activity.models import Activity, AuditEntry
from execution.models import AvailableLanguage, DeadLetter, Run, RunFile, RunOutput, Status
from sessions_app.models import ChatMessage, CodeSession, Collaborator, Report
from web.problems import Forbidden

if TYPE_CHECKING:
    from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks, Settings

pytestmark = pytest.mark.django_db

LISTS = [
    "accounts_user",
    "sessions_app_codesession",
    "sessions_app_chatmessage",
    "execution_run",
    "execution_deadletter",
    "activity_activity",
    "activity_auditentry",
    "sessions_app_report",
    "execution_availablelanguage",
]
OURS = ["accounts", "sessions_app", "execution", "activity"]


def fill(count: int) -> None:
    """Rows of every kind, each by a person of its own."""
    start = User.objects.count()
    for number in range(start, start + count):
        person = User.objects.create(username=f"person{number}", email=f"person{number}@example.org")
        session = CodeSession.objects.create(owner=person, title=f"Session {number}", language="python")
        Collaborator.objects.create(session=session, user=User.objects.earliest("date_joined"), permission="read")
        ChatMessage.objects.create(session=session, user=person, text="hello")
        run = Run.objects.create(user=person, session=session, language="python", status=Status.ERROR)
        DeadLetter.objects.create(run=run, reason="three attempts")
        Activity.objects.create(
            timestamp=timezone.now(),
            level="info",
            action="edit",
            message="m",
            user_id=person.pk,
            session_id=session.pk,
        )
        audit.append("tried", actor_id=person.pk, target_type="user", target_id=person.pk)
        Report.objects.create(session=session, reporter=person, reason=f"spam {number}")
        AvailableLanguage.objects.create(key=f"language{number}", version="1", checked_at=timezone.now())


def act(client: Client, page: str, action: str, rows: list[Any], **given: str) -> str:
    """Press a button and say yes on the page that asks."""
    response = client.post(
        reverse(f"admin:{page}_changelist"),
        {"action": action, "_selected_action": [row.pk for row in rows], "confirm": "1", **given},
        follow=True,
    )
    assert response.status_code == 200
    return response.text


def test_a_list_costs_as_many_queries_for_many_rows_as_for_few(mod_client: Client) -> None:
    def queries() -> dict[str, int]:
        made = {}
        for page in LISTS:
            with CaptureQueriesContext(connection) as captured:
                answer = mod_client.get(reverse(f"admin:{page}_changelist"))
            made[page] = len(captured)
            assert len(answer.context["cl"].result_list) >= User.objects.filter(username__startswith="person").count()
        return made

    fill(2)
    queries()
    few = queries()
    fill(25)
    assert queries() == few
    assert max(few.values()) <= 12


QUERIES = ["person1", "2f9d3d4e-8a2c-4b53-9a57-1d0c3f0e6f11", "' OR 1=1 --", "%", "\x00", "é"]


@pytest.mark.parametrize("page", LISTS)
def test_any_search_text_is_answered(mod_client: Client, page: str) -> None:
    fill(2)
    url = reverse(f"admin:{page}_changelist")
    assert {query: mod_client.get(url, {"q": query}).status_code for query in QUERIES} == dict.fromkeys(QUERIES, 200)


def test_lists_find_rows_by_person_id_and_session(mod_client: Client) -> None:
    fill(12)
    run = Run.objects.get(user__username="person7")
    for page, query in (
        ("accounts_user", "person7@"),
        ("accounts_user", str(run.user_id)),
        ("sessions_app_codesession", "Session 7"),
        ("sessions_app_codesession", str(run.session_id)),
        ("execution_run", str(run.pk)),
        ("execution_run", "person7"),
        ("execution_deadletter", str(run.pk)),
        ("activity_activity", str(run.user_id)),
        ("activity_auditentry", str(run.user_id)),
        ("activity_auditentry", "person7"),
        ("sessions_app_report", "person7"),
        ("execution_availablelanguage", "language7"),
    ):
        found = mod_client.get(reverse(f"admin:{page}_changelist"), {"q": query}).context["cl"].result_list
        assert len(found) == 1, (page, query)


def test_counts_are_those_of_the_row(mod_client: Client) -> None:
    fill(3)
    session = CodeSession.objects.first()
    assert session is not None
    Run.objects.create(user=session.owner, session=session, language="python")
    rows = mod_client.get(reverse("admin:sessions_app_codesession_changelist")).context["cl"].result_list
    counts = {row.pk: (row.people_count, row.runs_count) for row in rows}
    assert counts[session.pk] == (1, 2)
    people = mod_client.get(reverse("admin:accounts_user_changelist")).context["cl"].result_list
    assert {(row.owned_count, row.runs_count) for row in people if row.pk == session.owner_id} == {(1, 2)}


@pytest.mark.parametrize("page", LISTS)
def test_nobody_adds_or_deletes_what_the_system_makes(mod_client: Client, root: User, page: str) -> None:
    fill(1)
    model = {f"{model._meta.app_label}_{model._meta.model_name}": model for model in admin.site._registry}[page]
    row = model._default_manager.first()
    assert row is not None
    for person in (None, root):
        if person is not None:
            mod_client.force_login(person)
        assert mod_client.get(reverse(f"admin:{page}_add")).status_code == 403
        assert mod_client.post(reverse(f"admin:{page}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
        assert mod_client.get(reverse(f"admin:{page}_change", args=[row.pk])).status_code == 200
    assert model._default_manager.filter(pk=row.pk).exists()


def test_files_and_output_are_shown_escaped(mod_client: Client, alice: User) -> None:
    run = Run.objects.create(user=alice, language="python", stdin=b"<b>in</b>", stats={"limit": "<i>"})
    RunFile.objects.create(run=run, path="<u>.py", content=b"<script>alert(1)</script>")
    RunOutput.objects.create(run=run, stream="stdout", offset=0, data=b"<img src=x onerror=alert(1)>\x00\xff")
    RunOutput.objects.create(run=run, stream="stdout", offset=30, data=b"x" * 100_000)
    RunOutput.objects.create(run=run, stream="stderr", offset=0, data="ü".encode())
    text = mod_client.get(reverse("admin:execution_run_change", args=[run.pk])).text
    for raw in ("<script>alert", "<img src=x", "<u>.py", "<b>in"):
        assert raw not in text
    for escaped in ("&lt;script&gt;alert(1)", "&lt;img src=x", "&lt;u&gt;.py", "&lt;b&gt;in", "ü"):
        assert escaped in text
    assert "The first 64 KiB are shown." in text


def test_cancelling_stops_what_is_waiting_and_says_so(
    mod_client: Client, moderator: User, alice: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    waiting = [Run.objects.create(user=alice, language="python") for _ in range(2)]
    over = Run.objects.create(user=alice, language="python", status=Status.COMPLETED)
    with django_capture_on_commit_callbacks(execute=True):
        text = act(mod_client, "execution_run", "cancel", [*waiting, over])
    assert "2 cancelled, 1 already over." in text
    over.refresh_from_db()
    assert over.status == Status.COMPLETED
    for run in waiting:
        run.refresh_from_db()
        assert (run.status, run.cancelled_by) == (Status.CANCELLED, moderator)
    assert Activity.objects.filter(action="run.cancelled", user_id=moderator.pk).count() == 2


def test_more_than_ten_at_once_are_refused(mod_client: Client, alice: User) -> None:
    runs = [Run.objects.create(user=alice, language="python") for _ in range(11)]
    assert "11 rows are selected" in act(mod_client, "execution_run", "cancel", runs)
    assert Run.objects.active().count() == 11


def test_a_removed_message_leaves_the_chat_and_is_kept_for_moderators(
    mod_client: Client, moderator: User, alice: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    session = CodeSession.objects.create(owner=alice, title="Together", language="python")
    said = [ChatMessage.objects.create(session=session, user=alice, text=f"<b>{n}</b>") for n in range(2)]
    with django_capture_on_commit_callbacks(execute=True):
        assert "1 removed." in act(mod_client, "sessions_app_chatmessage", "remove", said[:1])
        assert "1 removed, 1 unchanged." in act(mod_client, "sessions_app_chatmessage", "remove", said)
    assert not ChatMessage.objects.shown().exists()
    assert set(ChatMessage.objects.values_list("removed_by", flat=True)) == {moderator.pk}
    assert Activity.objects.filter(action="moderation.chat_removed", user_id=moderator.pk).count() == 2
    page = mod_client.get(reverse("admin:sessions_app_chatmessage_change", args=[said[0].pk])).text
    assert "&lt;b&gt;0&lt;/b&gt;" in page and "<b>0" not in page


def test_a_dead_letter_is_requeued_once(mod_client: Client, alice: User) -> None:
    run = Run.objects.create(user=alice, language="python", status=Status.ERROR, attempt=3)
    letter = DeadLetter.objects.create(run=run, reason="three attempts")
    assert "1 requeued." in act(mod_client, "execution_deadletter", "requeue", [letter])
    run.refresh_from_db()
    assert (run.status, run.attempt) == (Status.QUEUED, 0)
    assert "0 requeued, 1 not waiting for it." in act(mod_client, "execution_deadletter", "requeue", [letter])


def test_without_the_permission_there_is_no_button(client: Client, alice: User, moderator: User) -> None:
    moderator.groups.clear()
    group = Group.objects.create(name="Lookers")
    from django.contrib.auth.models import Permission

    group.permissions.add(*Permission.objects.filter(codename__in=["view_run", "view_deadletter"]))
    moderator.groups.add(group)
    client.force_login(moderator)
    run = Run.objects.create(user=alice, language="python")
    assert "Cancel the selected" not in client.get(reverse("admin:execution_run_changelist")).text
    act(client, "execution_run", "cancel", [run])
    run.refresh_from_db()
    assert run.status == Status.QUEUED


def state() -> list[Any]:
    """Every row of ours but the logs."""
    logs = (Activity, AuditEntry)
    models = [model for label in OURS for model in apps.get_app_config(label).get_models() if model not in logs]
    return [list(model._default_manager.order_by("pk").values()) for model in models]


@pytest.mark.slow
def test_no_page_changes_anything_by_get(moderator: User, root: User) -> None:
    fill(2)
    clients = [Client(), Client()]
    for client, person in zip(clients, (moderator, root), strict=True):
        client.force_login(person)
    Run.objects.update(status=Status.QUEUED)
    before, entries = state(), AuditEntry.objects.exclude(action="look").count()
    walked = 0
    for client in clients:
        for model, page in admin.site._registry.items():
            row = model._default_manager.first()
            for pattern in page.urls:
                if not pattern.name:
                    continue
                args = [row.pk] if row is not None and "<path:object_id>" in str(pattern.pattern) else []
                if args == [] and "<path:object_id>" in str(pattern.pattern):
                    continue
                walked += client.get(reverse(f"admin:{pattern.name}", args=args)).status_code == 200
            for button in getattr(page, "buttons", ()):
                pressed = {"action": button.name, "_selected_action": str(row.pk), "confirm": "1", "reason": "x"}
                name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
                client.get(reverse(f"{name}_changelist"), pressed)
                client.get(reverse(f"{name}_change", args=[row.pk]), pressed)
        client.get(reverse("admin:index"))
        client.get(reverse("admin:accounts_user_change", args=[root.pk]), {"role": "user"})
    assert walked > 40
    assert state() == before
    assert AuditEntry.objects.exclude(action="look").count() == entries


def test_a_button_asks_before_it_does_anything(mod_client: Client) -> None:
    fill(1)
    before = state()
    for model, page in admin.site._registry.items():
        for button in getattr(page, "buttons", ()):
            row = model._default_manager.first()
            url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
            answer = mod_client.post(url, {"action": button.name, "_selected_action": [str(row.pk)]})
            assert (answer.status_code, answer.templates[0].name) == (200, "admin/desk_confirm.html"), button
            assert button.consequence in answer.text.replace("&#x27;", "'")
    assert state() == before


def test_buttons_need_the_csrf_token(moderator: User, alice: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(moderator)
    run = Run.objects.create(user=alice, language="python")
    answer = strict.post(
        reverse("admin:execution_run_changelist"), {"action": "cancel", "_selected_action": [str(run.pk)]}
    )
    assert answer.status_code == 403


def test_looking_at_a_run_or_a_session_is_noted(
    mod_client: Client, moderator: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    fill(1)
    run = Run.objects.get()
    with django_capture_on_commit_callbacks(execute=True):
        mod_client.get(reverse("admin:execution_run_change", args=[run.pk]))
        mod_client.get(reverse("admin:sessions_app_codesession_change", args=[run.session_id]))
        mod_client.get(reverse("admin:sessions_app_chatmessage_changelist"))
    noted = AuditEntry.objects.filter(actor_id=moderator.pk, action="look").order_by("number")
    assert list(noted.values_list("target_type", "target_id")) == [
        ("run", str(run.pk)),
        ("session", str(run.session_id)),
        ("chat", "list"),
    ]


@pytest.mark.parametrize("page", ["admin:index", *(f"admin:{page}_changelist" for page in LISTS)])
def test_people_without_a_role_see_the_log_in_page(client: Client, alice: User, page: str) -> None:
    client.force_login(alice)
    answer = client.get(reverse(page))
    assert (answer.status_code, answer["Location"].split("?")[0]) == (302, reverse("admin:login"))


def test_the_site_bears_our_name_and_shows_no_tokens(client: Client, root: User) -> None:
    client.force_login(root)
    text = client.get(reverse("admin:index")).text
    assert "CodeCrafter" in text
    assert "Django administration" not in text
    assert "token" not in text.lower().replace("csrfmiddlewaretoken", "")


def test_a_role_brings_the_group_and_the_door_and_takes_them_away(root: User, alice: User) -> None:
    set_role(alice, Role.MODERATOR, by=root)
    alice = User.objects.get(pk=alice.pk)
    assert (alice.is_moderator, alice.is_staff, alice.is_superuser) == (True, True, False)
    assert all(alice.has_perm(name) for name in moderators.PERMISSIONS)
    assert not alice.has_perm("accounts.change_user")
    set_role(alice, Role.ADMIN, by=root)
    alice = User.objects.get(pk=alice.pk)
    assert (alice.is_staff, alice.is_superuser, alice.groups.count()) == (True, True, 0)
    set_role(alice, Role.USER, by=root)
    alice = User.objects.get(pk=alice.pk)
    assert (alice.is_moderator, alice.is_staff, alice.is_superuser) == (False, False, False)
    assert not any(alice.has_perm(name) for name in moderators.PERMISSIONS)


def test_only_another_superuser_gives_roles(root: User, moderator: User, alice: User) -> None:
    for by, whom in ((moderator, alice), (moderator, moderator), (alice, alice), (root, root)):
        with pytest.raises(Forbidden):
            set_role(whom, Role.ADMIN, by=by)


def test_a_superuser_gives_a_role_on_the_page_and_changes_nothing_else(client: Client, root: User, alice: User) -> None:
    client.force_login(root)
    page = reverse("admin:accounts_user_change", args=[alice.pk])
    notes = {"notes-TOTAL_FORMS": "0", "notes-INITIAL_FORMS": "0"}
    meddled = {"username": "eve", "is_superuser": "on", "email": "e@e.e", "suspended_at": "2026-01-01"}
    answer = client.post(page, {"role": "moderator", **meddled, **notes})
    assert answer.status_code == 302
    alice.refresh_from_db()
    assert (alice.role, alice.is_staff, alice.is_superuser, alice.username) == ("moderator", True, False, "alice")
    assert alice.groups.get().name == moderators.GROUP


def test_a_moderator_cannot_give_roles_on_the_page(mod_client: Client, alice: User, moderator: User) -> None:
    for person in (alice, moderator):
        page = reverse("admin:accounts_user_change", args=[person.pk])
        assert mod_client.post(page, {"role": "admin"}).status_code == 403
    alice.refresh_from_db()
    assert alice.role == Role.USER


@pytest.mark.django_db(transaction=True)
def test_the_group_is_there_after_migrate_and_keeps_what_was_added() -> None:
    Group.objects.filter(name=moderators.GROUP).delete()
    call_command("migrate", verbosity=0)
    group = Group.objects.get(name=moderators.GROUP)
    names = {
        f"{app}.{codename}" for app, codename in group.permissions.values_list("content_type__app_label", "codename")
    }
    assert names == set(moderators.PERMISSIONS)


class TestMongo:
    """The same page, from a store that Django's list cannot read."""

    def test_entries_are_listed_by_person_and_paged(
        self,
        mod_client: Client,
        settings: Settings,
        mongodb_url: str,
        alice: User,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        from activity import log

        settings.MONGODB_URL = f"{mongodb_url}.admin_page"
        with django_capture_on_commit_callbacks(execute=True):
            for number in range(60):
                log.record("edit", f"entry <{number:02}>", user_id=alice.pk)
            log.record("edit", "by nobody")
        assert log.store().flush(10)
        url = reverse("admin:activity_activity_changelist")
        first = mod_client.get(url, {"user_id": str(alice.pk)})
        assert "by nobody" not in first.text
        assert "entry &lt;59&gt;" in first.text
        assert "entry &lt;09&gt;" not in first.text
        second = mod_client.get(url, {"user_id": str(alice.pk), "before": first.context["next"]})
        assert "entry &lt;09&gt;" in second.text
        assert "entry &lt;10&gt;" not in second.text
        assert "by nobody" in mod_client.get(url).text

    def test_a_dead_mongodb_is_said_in_words(self, mod_client: Client, settings: Settings) -> None:
        from tests.services.servers import free_port

        settings.MONGODB_URL = f"mongodb://127.0.0.1:{free_port()}/codecrafter"
        answer = mod_client.get(reverse("admin:activity_activity_changelist"))
        assert answer.status_code == 200
        assert "is not responding" in answer.text

    def test_an_id_that_is_none_is_said_in_words(self, mod_client: Client, settings: Settings) -> None:
        settings.MONGODB_URL = "mongodb://127.0.0.1:1/codecrafter"
        answer = mod_client.get(reverse("admin:activity_activity_changelist"), {"user_id": "alice"})
        assert "No user or id matches." in answer.text

    def test_it_is_for_moderators(self, client: Client, settings: Settings, alice: User) -> None:
        settings.MONGODB_URL = "mongodb://127.0.0.1:1/codecrafter"
        client.force_login(alice)
        assert client.get(reverse("admin:activity_activity_changelist")).status_code == 302
        User.objects.filter(pk=alice.pk).update(is_staff=True)
        assert client.get(reverse("admin:activity_activity_changelist")).status_code == 403


def test_a_moderator_has_these_rights_and_cannot_get_more(mod_client: Client, moderator: User, root: User) -> None:
    assert moderator.get_all_permissions() == set(moderators.PERMISSIONS)
    group = Group.objects.get(name=moderators.GROUP)
    before = state()
    for url, form in (
        (reverse("admin:accounts_user_change", args=[moderator.pk]), {"role": "admin", "is_superuser": "on"}),
        (reverse("admin:auth_group_change", args=[group.pk]), {"name": "Moderator", "permissions": "1"}),
        (reverse("admin:auth_group_add"), {"name": "More"}),
        (reverse("admin:accounts_user_add"), {"username": "eve", "role": "admin"}),
        (reverse("admin:accounts_user_delete", args=[root.pk]), {"post": "yes"}),
    ):
        assert mod_client.get(url).status_code in (200, 403)
        assert mod_client.post(url, form).status_code == 403
    for person in (root, moderator):
        for button, words in (("suspend", "suspended"), ("revoke", "signed out"), ("lift", "lifted")):
            told = act(mod_client, "accounts_user", button, [person], reason="x", days="7")
            assert f"1 {words}" not in told
            assert "You cannot do this to " in told
    assert state() == before
    assert set(group.permissions.all()) == set(Group.objects.get(pk=group.pk).permissions.all())


@pytest.mark.slow
def test_whoever_may_only_look_presses_no_button(client: Client, moderator: User) -> None:
    from django.contrib.auth.models import Permission

    fill(1)
    lookers = Group.objects.create(name="Lookers")
    lookers.permissions.add(*Permission.objects.filter(codename__startswith="view_"))
    moderator.groups.set([lookers])
    client.force_login(moderator)
    before, entries = state(), AuditEntry.objects.exclude(action="look").count()
    for model, page in admin.site._registry.items():
        for button in getattr(page, "buttons", ()):
            row = model._default_manager.first()
            name = f"{model._meta.app_label}_{model._meta.model_name}"
            act(client, name, button.name, [row], reason="x", text="x", days="7")
            shown = client.get(reverse(f"admin:{name}_change", args=[row.pk]))
            assert shown.status_code == 200 and 'class="desk-button' not in shown.text
    assert state() == before
    assert AuditEntry.objects.exclude(action="look").count() == entries


def test_every_button_does_what_it_says_and_is_in_the_trail(mod_client: Client, moderator: User, alice: User) -> None:
    fill(1)
    session, report = CodeSession.objects.get(), Report.objects.get()
    language = AvailableLanguage.objects.get()
    for page, button, row, told in (
        ("accounts_user", "suspend", alice, "1 suspended."),
        ("accounts_user", "lift", alice, "1 lifted."),
        ("accounts_user", "lift", alice, "0 lifted, 1 not suspended."),
        ("accounts_user", "revoke", alice, "1 signed out."),
        ("accounts_user", "note", alice, "1 noted."),
        ("sessions_app_codesession", "lock", session, "1 locked."),
        ("sessions_app_codesession", "unlock", session, "1 unlocked."),
        ("sessions_app_codesession", "freeze", session, "1 frozen."),
        ("sessions_app_codesession", "unfreeze", session, "1 unfrozen."),
        ("sessions_app_codesession", "close", session, "1 closed."),
        ("sessions_app_codesession", "reopen", session, "1 restored."),
        ("sessions_app_report", "resolve", report, "1 resolved."),
        ("sessions_app_report", "dismiss", report, "0 dismissed, 1 already settled."),
        ("execution_availablelanguage", "switch_off", language, "1 switched off."),
        ("execution_availablelanguage", "switch_off", language, "0 switched off, 1 already were."),
        ("execution_availablelanguage", "switch_on", language, "1 switched on."),
    ):
        assert told in act(mod_client, page, button, [row], reason="why", text="a note", days="7"), (page, button)
    assert "a note" in mod_client.get(reverse("admin:accounts_user_change", args=[alice.pk])).text
    done = AuditEntry.objects.filter(actor_id=moderator.pk).exclude(action="look").order_by("number")
    assert list(done.values_list("action", flat=True)) == [
        "user.suspended",
        "user.suspension_lifted",
        "tokens.revoked",
        "session.locked",
        "session.unlocked",
        "session.frozen",
        "session.unfrozen",
        "session.closed",
        "session.reopened",
        "report.resolved",
        "language.switched_off",
        "language.switched_on",
    ]
    assert set(done.values_list("reason", flat=True)) == {"why"}
    assert audit.verify().broken is None


def test_opening_as_an_observer_says_so_first(mod_client: Client, moderator: User) -> None:
    fill(1)
    session = CodeSession.objects.get()
    url = reverse("admin:sessions_app_codesession_changelist")
    pressed = {"action": "observe", "_selected_action": [str(session.pk)], "confirm": "1", "reason": "A report"}
    opened = mod_client.post(url, pressed)
    assert opened["Location"] == f"/sessions/{session.pk}"
    entry = AuditEntry.objects.get(action="session.observed")
    assert (entry.actor_id, entry.target_id, entry.reason) == (moderator.pk, str(session.pk), "A report")


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"days": "7"}, "This field is required"),
        ({"days": "date", "reason": "x"}, "Choose the day"),
        ({"days": "date", "until": "2020-01-01", "reason": "x"}, "Choose a day in the future"),
        ({"days": "9999", "reason": "x"}, "not one of the available choices"),
    ],
)
def test_a_suspension_without_a_reason_or_an_end_is_asked_for_again(
    mod_client: Client, alice: User, given: dict[str, str], word: str
) -> None:
    assert word in act(mod_client, "accounts_user", "suspend", [alice], **given)
    alice.refresh_from_db()
    assert alice.is_able


def test_runs_are_found_by_state_and_duration(mod_client: Client, alice: User) -> None:
    now = timezone.now()
    for status, seconds in ((Status.QUEUED, None), (Status.RUNNING, 30), (Status.COMPLETED, 5), (Status.FAILED, 300)):
        started = now - timedelta(seconds=seconds) if seconds is not None else None
        ended = now if status in (Status.COMPLETED, Status.FAILED) else None
        Run.objects.create(user=alice, language="c", status=status, started_at=started, finished_at=ended)
    for query, found in (
        ("state=running", [Status.RUNNING]),
        ("state=waiting", [Status.QUEUED]),
        ("state=active", [Status.QUEUED, Status.RUNNING]),
        ("duration=10", [Status.COMPLETED]),
        ("duration=60", [Status.RUNNING]),
        ("duration=long", [Status.FAILED]),
        ("duration=nonsense", list(Status)[:4]),
    ):
        rows = mod_client.get(reverse("admin:execution_run_changelist") + f"?{query}").context["cl"].result_list
        assert len(rows) == len(found), query
        assert query.endswith("nonsense") or {run.status for run in rows} == set(found), query


def test_the_first_page_counts_what_waits(mod_client: Client, alice: User) -> None:
    fill(2)
    Run.objects.create(user=alice, language="c", status=Status.RUNNING)
    cards = {words: count for words, count, _ in mod_client.get(reverse("admin:index")).context["cards"]}
    assert cards == {
        "open reports": 2,
        "programs running": 1,
        "programs waiting": 0,
        "dead letters": 2,
        "suspended users": 0,
        "languages switched off": 0,
    }
