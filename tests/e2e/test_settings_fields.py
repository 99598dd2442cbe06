"""A field of the page never takes back what somebody else has changed."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect


@pytest.fixture
def shared(server, visit):
    """A session of somebody who changes it over REST, and a manager of it at a page."""
    owner, ana = server.person("owner"), visit(server, "ana")
    ana.have_account()
    session_id = owner.new_session(title="Old name")["id"]
    owner.let_in(session_id, ana, "admin")
    ana.page.goto(f"{server.url}/sessions/{session_id}")
    ana.expect_saved()

    def change(**fields) -> None:
        owner.call("PATCH", f"/api/sessions/{session_id}", 200, json=fields)

    return ana.page, owner, change, lambda: owner.call("GET", f"/api/sessions/{session_id}", 200)


def test_title_field_catches_up_and_a_title_from_before_is_not_saved_over_a_new_one(shared):
    page, owner, change, now = shared
    title = page.get_by_label("Title of this session")
    title.focus()
    change(title="New name")
    expect(title).to_have_value("New name")

    # Both write: nothing is lost, and the person decides.
    page.keyboard.press("End")
    page.keyboard.type(" (draft)")
    change(title="Newer name")
    expect(page).to_have_title("Newer name · CodeCrafter")
    expect(title).to_have_value("New name (draft)")
    page.keyboard.press("Enter")
    notice = page.locator(".notice[data-key=title]")
    expect(notice).to_contain_text(
        f"{owner.username} renamed this session to “Newer name” while you were writing “New name (draft)”. "
        "Yours was not saved."
    )
    expect(title).to_have_value("Newer name")
    assert now()["title"] == "Newer name"
    notice.get_by_role("button", name="Use mine").click()
    expect(title).to_have_value("New name (draft)")
    expect(notice).to_have_count(0)
    assert now()["title"] == "New name (draft)"


def test_save_that_meets_a_change_of_something_else_is_repeated(shared):
    page, _, change, now = shared

    def change_first(route) -> None:
        change(is_public=True)
        route.continue_()

    page.route("**/api/sessions/*", change_first, times=1)
    page.get_by_label("Title of this session").fill("Mine")
    page.keyboard.press("Enter")
    expect(page).to_have_title("Mine · CodeCrafter")
    assert (now()["title"], now()["is_public"]) == ("Mine", True)


def test_open_share_dialog_shows_what_another_manager_changes(shared):
    page, _, change, _ = shared
    page.get_by_role("button", name="Share").click()
    public = page.get_by_role("switch", name="Anyone signed in can read")
    expect(public).not_to_be_checked()
    change(is_public=True)
    expect(public).to_be_checked()
    guests = page.get_by_role("switch", name="Let people in without an account")
    change(allows_guests=True)
    expect(guests).to_be_checked()
