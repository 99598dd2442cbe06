"""What is typed while the server is away, or is not taken: kept on the device, told in words, merged or offered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import PASSWORD, Visitor
from tests.live import LiveServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEW_EPOCH = """
import uuid
from sessions_app.models import Document
Document.objects.filter(pk={session_id!r}).update(epoch=uuid.uuid4())
"""
SET_PERMISSION = """
from sessions_app.models import Collaborator
Collaborator.objects.filter(user__username={username!r}).update(permission="read")
"""
REMOVE = """
from sessions_app.models import Collaborator
Collaborator.objects.filter(user__username={username!r}).delete()
"""
LOCK = """
from django.utils import timezone
from sessions_app.models import CodeSession
CodeSession.objects.filter(pk={session_id!r}).update(locked_at={locked_at}, lock_reason="The exam is over.")
"""
SIGN_OUT = """
from django.contrib.sessions.models import Session
Session.objects.all().delete()
"""
NO_STORAGE = """Object.defineProperty(window, "indexedDB", {
  get() { throw new DOMException("not here", "SecurityError"); },
})"""
# Rows that a page of this browser could merge or offer, in all its databases together.
ROWS = """async () => {
  const result = (request) => new Promise((resolve) => { request.onsuccess = () => resolve(request.result); });
  let rows = 0;
  for (const {name} of await indexedDB.databases()) {
    const db = await result(indexedDB.open(name));
    rows += await result(db.transaction("updates").objectStore("updates").count());
    db.close();
  }
  return rows;
}"""
TYPE_ALL_THE_TIME = """() => {
  let count = 0;
  window.typing = setInterval(() => document.execCommand("insertText", false, `${count++},`), 5);
}"""

# What was typed last is on the device a moment later; until then closing asks.
ASKS_NOTHING = """() => {
  const leaving = new Event("beforeunload", { cancelable: true });
  window.dispatchEvent(leaving);
  return !leaving.defaultPrevented;
}"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("offline") / "data") as started:
        yield started


def add(visitor: Visitor, text: str) -> None:
    visitor.editor.click()
    visitor.page.keyboard.press("Control+End")
    visitor.page.keyboard.type(text)


def expect_state(visitor: Visitor, words: str) -> None:
    expect(visitor.page.locator("#state-words")).to_have_text(re.compile(words), timeout=60_000)


def expect_kept(visitor: Visitor) -> None:
    expect_state(visitor, r"Not saved: \d+ changes on this device")
    # What was typed last is written a moment later.
    visitor.page.wait_for_function(f"async () => await ({ROWS})() > 0")


def expect_nothing_on_the_device(visitor: Visitor) -> None:
    visitor.page.wait_for_function(f"async () => await ({ROWS})() === 0")


def expect_copy(visitor: Visitor, said: str, wanted: str, tmp_path: Path) -> None:
    """A notice says what happened and offers the text as a download."""
    bar = visitor.page.locator(".notice", has_text=said)
    with visitor.page.expect_download() as download:
        bar.get_by_role("button", name="Download my copy").click()
    download.value.save_as(tmp_path / "copy.txt")
    assert wanted in (tmp_path / "copy.txt").read_text()


def close_unasked(visitor: Visitor) -> None:
    """Close the tab as its person would; the browser asks nothing, because nothing would be lost."""
    visitor.page.wait_for_function(ASKS_NOTHING)
    asked: list[Any] = []
    visitor.page.on("dialog", lambda dialog: (asked.append(dialog), dialog.dismiss()))
    with visitor.page.expect_event("close"):
        visitor.page.close(run_before_unload=True)
    assert not asked


def test_two_people_type_through_a_crash_and_a_restart_and_nothing_is_lost(pair):
    ana, ben = pair.ana, pair.ben
    add(ana, "saved before\n")
    ana.expect_saved()
    pair.crash()
    for visitor, word in ((ana, "ana during the crash\n"), (ben, "ben during the crash\n")):
        add(visitor, word)
        expect_kept(visitor)
    pair.live.start()
    for visitor in (ana, ben):
        visitor.expect_saved()
        visitor.expect_text("saved before\nana during the crash\nben during the crash")
    assert ana.text() == ben.text() == pair.owner.text(pair.session_id)

    # A restart says goodbye; one of the two types on.
    pair.live.stop()
    expect_state(ben, "Server restarting")
    add(ana, "ana during the restart\n")
    pair.live.start()
    for visitor in (ana, ben):
        visitor.expect_saved()
        visitor.expect_text("ana during the restart")
        # What is saved stays on no device.
        expect_nothing_on_the_device(visitor)
    assert ana.text() == ben.text() == pair.owner.text(pair.session_id)


def test_page_that_was_away_says_what_a_moderator_did_meanwhile_and_when_that_has_ended(pair):
    measure = pair.ana.page.locator("#measure")
    for locked_at, said in (("timezone.now()", re.compile(r"locked this session.* The exam is over\.$")), ("None", "")):
        pair.crash()
        pair.set_in_database(LOCK, session_id=pair.session_id, locked_at=locked_at)
        pair.live.start()
        expect_state(pair.ana, "^Read only$" if said else "^Saved")
        expect(measure).to_have_text(said)
        expect(measure).to_be_visible(visible=bool(said))


def test_tab_that_was_closed_offline_is_merged_when_it_is_opened_again(pair):
    ana, ben = pair.ana, pair.ben
    stays = Visitor(ana.page.context.new_page(), pair.live.url, ana.username)
    stays.page.goto(pair.address)
    stays.expect_saved()
    pair.crash()
    expect_state(stays, "Reconnecting")
    add(ana, "typed in a tab that closes\n")
    add(stays, "typed in a tab that stays\n")
    expect_kept(ana)
    expect_kept(stays)
    close_unasked(ana)
    pair.live.start()
    stays.expect_saved()
    opened = Visitor(stays.page.context.new_page(), pair.live.url, ana.username)
    opened.page.goto(pair.address)
    opened.expect_saved()
    for visitor in (opened, stays, ben):
        visitor.expect_text("typed in a tab that closes\ntyped in a tab that stays")
    assert opened.text() == stays.text() == ben.text() == pair.owner.text(pair.session_id)
    assert ben.text().count("typed in a tab that closes") == 1
    expect_nothing_on_the_device(opened)


def test_another_history_of_the_document_is_never_mixed_with_the_old_text(pair, tmp_path):
    ana = pair.ana
    pair.crash()
    add(ana, "typed in the old history\n")
    expect_kept(ana)
    pair.set_in_database(NEW_EPOCH, session_id=pair.session_id)
    pair.live.start()
    said = "restored to another version"
    expect(ana.page.locator(".notice", has_text=said)).to_be_visible(timeout=60_000)
    ana.expect_saved()
    assert ana.text() == "print('main')\n"
    # Edits go on, and the old text is offered until it is discarded, also by a later page.
    add(ana, "1 + 1\n")
    ana.expect_saved()
    ana.page.reload()
    ana.expect_saved()
    assert ana.text() == "print('main')\n1 + 1\n" == pair.owner.text(pair.session_id)
    expect_copy(ana, said, "print('main')\ntyped in the old history\n", tmp_path)
    ana.page.get_by_role("button", name="Discard").click()
    expect_nothing_on_the_device(ana)


def test_page_that_was_demoted_while_away_goes_on_read_only_and_offers_what_was_not_taken(pair, tmp_path):
    ana, ben = pair.ana, pair.ben
    pair.crash()
    add(ana, "too late\n")
    add(ben, "in time\n")
    expect_kept(ana)
    pair.set_in_database(SET_PERMISSION, username=ana.username)
    pair.live.start()
    expect_state(ana, "Read only")
    ana.expect_text("in time")
    expect(ana.editor).to_have_attribute("aria-readonly", "true")
    assert ana.text() == "print('main')\nin time\n" == pair.owner.text(pair.session_id)
    expect_copy(ana, "You can now only read this session. 9 changes of yours were not saved", "too late", tmp_path)


def test_demotion_while_typing_leaves_the_page_with_the_text_of_the_server(pair):
    ana, ben, owner = pair.ana, pair.ben, pair.owner
    ana.editor.click()
    ana.page.evaluate(TYPE_ALL_THE_TIME)
    ben.expect_text("9,")
    answer = owner.call("GET", f"/api/sessions/{pair.session_id}/collaborators", 200)
    ana_id = next(row["user"]["id"] for row in answer if row["user"]["username"] == ana.username)
    path = f"/api/sessions/{pair.session_id}/collaborators/{ana_id}"
    owner.call("PATCH", path, 200, json={"permission": "read"})
    expect_state(ana, "Read only")
    expect(ana.editor).to_have_attribute("aria-readonly", "true")
    ana.page.evaluate("clearInterval(window.typing)")
    ben.expect_text(ana.text())
    assert ana.text() == ben.text() == owner.text(pair.session_id)


def test_whoever_loses_access_or_logs_out_leaves_nothing_on_the_device(pair):
    ana, ben = pair.ana, pair.ben
    pair.crash()
    for visitor in (ana, ben):
        add(visitor, "only here\n")
        expect_kept(visitor)
    close_unasked(ben)
    ben.page = ben.page.context.new_page()
    pair.set_in_database(REMOVE, username=ana.username)
    pair.live.start()
    # Ana's page learns it from the server, and says what that means for her text.
    notice = ana.page.locator(".notice", has_text="10 changes did not reach the server")
    expect(notice.get_by_role("button", name="Download my copy")).to_be_visible(timeout=60_000)
    expect_nothing_on_the_device(ana)
    # Ben is told before he logs out with something that is saved nowhere.
    ben.page.goto(f"{pair.live.url}/sessions")
    ben.page.get_by_role("button", name="Log out").click()
    expect(ben.page.locator("#unsaved")).to_contain_text("on this device only")
    ben.page.get_by_role("main").get_by_role("button", name="Log out").click()
    ben.page.wait_for_url(f"{pair.live.url}/")
    expect_nothing_on_the_device(ben)


def test_signed_out_page_leads_back_and_merges_what_was_not_saved(pair):
    ana = pair.ana
    pair.crash()
    add(ana, "typed while signed out\n")
    expect_kept(ana)
    pair.set_in_database(SIGN_OUT)
    pair.live.start()
    expect(ana.page.locator(".notice", has_text="You are signed out.")).to_contain_text(
        "kept on this device", timeout=60_000
    )
    ana.page.get_by_role("button", name="Sign in again").click()
    ana.page.get_by_label("Username or email").fill(ana.username)
    ana.page.get_by_label("Password", exact=True).fill(PASSWORD)
    ana.page.get_by_role("button", name="Log in", exact=True).click()
    ana.page.wait_for_url(pair.address)
    ana.expect_saved()
    ana.expect_text("typed while signed out")
    assert pair.owner.text(pair.session_id) == "print('main')\ntyped while signed out\n"


def test_browser_that_keeps_nothing_says_so_and_works(live, visit):
    ana = visit(live, "ana")
    ana.page.add_init_script(NO_STORAGE)
    ana.have_account()
    ana.page.goto(f"{live.url}/sessions")
    ana.create_session("Python", "Private")
    add(ana, "works\n")
    ana.expect_saved()
    live.kill()
    expect_state(ana, "Reconnecting")
    add(ana, "in the page\n")
    expect_state(ana, r"Not saved: \d+ changes in this page only")
    with ana.page.expect_event("dialog") as asked:
        ana.page.close(run_before_unload=True)
    assert asked.value.type == "beforeunload"
    asked.value.dismiss()
    live.start()
    ana.expect_saved()
    ana.expect_text("works\nin the page")
