"""A moderator's walk: find a bad run, cancel it, suspend its owner, see all of it in the audit trail, lift it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.e2e.conftest import Visitor
    from tests.live import LiveServer

PROMOTE = """
from accounts.actions import set_role
from accounts.models import Role, User
root = User.objects.filter(is_superuser=True).first() or User.objects.create_superuser("root-{name}", "r@example.org")
set_role(User.objects.get(username="{name}"), Role.MODERATOR, by=root)
"""
# Waits for input, so it runs for as long as nobody stops it.
BAD_RUN = {"language": "bash", "code": "echo mining; read line", "interactive": True}


@pytest.fixture
def mia(server: LiveServer, visit: Callable[[LiveServer, str], Visitor]) -> Visitor:
    mia = visit(server, "mia")
    mia.have_account()
    server.manage("shell", "-v", "0", "-c", PROMOTE.format(name=mia.username))
    return mia


def ask(visitor: Visitor, path: str, **body: Any) -> Any:
    """Over REST, with the cookies of their browser."""
    context, address = visitor.page.context, f"{visitor.url}{path}"
    token = next(cookie["value"] for cookie in context.cookies() if cookie["name"] == "csrftoken")
    answer = context.request.post(address, data=body, headers={"X-CSRFToken": token, "Referer": address})
    assert answer.ok, answer.text()
    return answer.json()


def press(page: Page, label: str, reason: str) -> None:
    """A button of a row's page, and the same on the page that asks."""
    page.get_by_role("button", name=label, exact=True).click()
    page.get_by_label("Reason").fill(reason)
    page.get_by_role("button", name=label, exact=True).click()


def test_a_moderator_finds_a_bad_run_stops_it_and_answers_for_it(
    server: LiveServer, visit: Callable[[LiveServer, str], Visitor], mia: Visitor
) -> None:
    server.wait_for_languages()
    bob = visit(server, "bob")
    bob.have_account()
    session_id = ask(bob, "/api/sessions", title="Innocent", language="bash")["id"]
    bob.page.goto(f"{server.url}/sessions/{session_id}")
    ask(bob, "/api/execute", **BAD_RUN, session_id=session_id)
    expect(bob.page.locator("#runs")).to_contain_text("mining")

    # The first page says how many run; the list behind it has who and what.
    page = mia.page
    page.goto(f"{server.url}/admin/")
    page.get_by_role("link", name="programs running").click()
    row = page.locator("#result_list tbody tr").filter(has_text=bob.username)
    expect(row).to_contain_text("Running")
    row.get_by_role("link").first.click()
    expect(page.locator("#content")).to_contain_text("echo mining")
    press(page, "Cancel", "It mines coins")
    expect(page.get_by_text("1 cancelled.")).to_be_visible()
    expect(bob.page.locator("#runs")).to_contain_text(f"Stopped by {mia.username}")

    page.get_by_role("link", name=bob.username).click()
    press(page, "Suspend", "Mining coins")
    expect(page.get_by_text("1 suspended.")).to_be_visible()
    # The page that bob has open ends at once, and the login page tells him, and him alone, why.
    expect(bob.page.locator("#state")).to_have_attribute("data-state", "closed")
    log_in(bob)
    expect(bob.page.get_by_text("Reason: Mining coins").first).to_be_visible()

    page.get_by_role("link", name="Audit trail").click()
    entries = page.locator("#result_list tbody tr")
    expect(entries.filter(has_text="user.suspended")).to_contain_text("Mining coins")
    page.goto(f"{server.url}/admin/activity/auditentry/?q={mia.username}")
    for action, reason in (("user.suspended", "Mining coins"), ("run.cancelled", "It mines coins"), ("look", "")):
        expect(entries.filter(has_text=action).first).to_contain_text(reason)
    entries.filter(has_text="user.suspended").get_by_role("link", name=f"user {bob.username}").click()
    press(page, "Lift the suspension", "He has read the rules")
    expect(page.get_by_text("1 lifted.")).to_be_visible()
    log_in(bob)
    bob.page.wait_for_url(f"{server.url}/sessions")
    page.goto(f"{server.url}/admin/activity/auditentry/?q={bob.username}")
    expect(entries.first).to_contain_text("user.suspension_lifted")


def test_open_pages_say_what_a_moderator_does_to_their_session_and_why(
    server: LiveServer, visit: Callable[[LiveServer, str], Visitor], mia: Visitor
) -> None:
    bob = visit(server, "bob")
    bob.have_account()
    session_id = ask(bob, "/api/sessions", title="Exam", language="bash")["id"]
    bob.page.goto(f"{server.url}/sessions/{session_id}")
    bob.expect_saved()
    measure = bob.page.locator("#measure")
    expect(measure).to_be_hidden()
    row = f"{server.url}/admin/sessions_app/codesession/{session_id}/change/"
    mia.page.goto(row)
    press(mia.page, "Lock", "The <b>exam</b> is over")
    said = "A moderator has locked this session. It can be read but not changed. The <b>exam</b> is over"
    expect(measure).to_have_text(said)
    expect(bob.editor).to_have_attribute("aria-readonly", "true")
    bob.page.reload()
    expect(measure).to_have_text(said)
    mia.page.goto(row)
    for _ in ("on the row's page", "on the page that asks"):
        mia.page.get_by_role("button", name="Unlock", exact=True).click()
    expect(mia.page.get_by_text("1 unlocked.")).to_be_visible()
    expect(measure).to_be_hidden()
    expect(bob.editor).not_to_have_attribute("aria-readonly", "true")


def log_in(visitor: Visitor) -> None:
    page = visitor.page
    page.goto(f"{visitor.url}/login")
    page.get_by_label("Username or email").fill(visitor.username)
    page.get_by_label("Password", exact=True).fill("correct horse battery")
    page.get_by_role("button", name="Log in", exact=True).click()


FIND_FAULTY = "from execution import availability; availability.keep_self_test('bash', '5', 'greet printed nothing')"


def test_a_faulty_language_runs_in_pages_that_are_open_once_a_moderator_had_it_try_itself_again(
    server: LiveServer, visit: Callable[[LiveServer, str], Visitor], mia: Visitor
) -> None:
    server.wait_for_languages()
    server.manage("shell", "-v", "0", "-c", FIND_FAULTY)
    bob = visit(server, "bob")
    bob.have_account()
    session_id = ask(bob, "/api/sessions", title="Patience", language="bash", content="echo at last\n")["id"]
    bob.page.goto(f"{server.url}/sessions/{session_id}")
    bob.expect_saved()
    run = bob.page.get_by_role("button", name="Run", exact=True)
    expect(run).to_be_disabled()
    # It can be pressed nevertheless, and says why.
    run.click(force=True)
    expect(bob.page.locator("#notices")).to_contain_text("Bash does not work here at present: greet printed nothing")
    page, row = mia.page, f"{server.url}/admin/execution/availablelanguage/bash/change/"
    page.goto(row)
    state = page.locator(".field-state .readonly")
    expect(state).to_have_text("Faulty")
    for _ in ("on the row's page", "on the page that asks"):
        page.get_by_role("button", name="Run the self-test", exact=True).click()
    expect(page.get_by_text("sent to a worker")).to_be_visible()
    for _ in range(60):
        page.goto(row)
        if state.inner_text() != "Faulty":
            break
        page.wait_for_timeout(500)
    expect(state).to_have_text("Available")
    expect(page.locator(".field-fault .readonly")).to_have_text("-")
    run.click(force=True)
    expect(bob.page.locator("#runs")).to_contain_text("at last")
    expect(run).to_be_enabled()
