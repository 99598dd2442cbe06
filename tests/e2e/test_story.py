"""The main job: two people, one session, edits both ways, one Run that both see, a crash that loses nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.live import LiveServer

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page, Route

SLOW_PROGRAM = """import time
for step in range(1, 5):
    print("line", step)
    time.sleep(0.5)
"""


@pytest.fixture
def live(tmp_path: Path):
    with LiveServer(tmp_path / "data") as started:
        started.wait_for_languages()
        yield started


def moments_of_lines(page: Page) -> list[float]:
    """When each of the four lines was first on the page, in milliseconds."""
    return page.evaluate("window.seenLines")


WATCH = """() => {
  window.seenLines = [];
  const look = () => {
    const text = document.querySelector("#runs").textContent;
    while (window.seenLines.length < 4 && text.includes(`line ${window.seenLines.length + 1}`))
      window.seenLines.push(performance.now());
  };
  const everything = {childList: true, subtree: true, characterData: true};
  new MutationObserver(look).observe(document.querySelector("#runs"), everything);
}"""


def test_two_people_write_and_run_together_and_a_crash_loses_nothing(live, visit):
    tell_the_story(live, visit)


def test_the_same_story_on_postgresql_redis_rabbitmq_and_a_worker_process(
    tmp_path, visit, postgres_url, redis_url, rabbitmq_url
):
    settings = {"DATABASE_URL": postgres_url, "REDIS_URL": redis_url, "CELERY_BROKER_URL": rabbitmq_url}
    with LiveServer(tmp_path / "data", settings) as live:
        worker = live.worker("first")
        worker.start()
        try:
            live.wait_for_languages()
            tell_the_story(live, visit)
        finally:
            worker.end()


def tell_the_story(server, visit) -> None:
    ana, ben = visit(server, "ana"), visit(server, "ben")
    ana.sign_up()
    ben.sign_up()

    # Ana creates a session and shares it by its link; Ben accepts.
    address = ana.create_session("Python", "Pairing")
    ana.page.get_by_role("button", name="Share").click()
    ana.page.get_by_role("button", name="Create invite link").click()
    link = ana.page.locator("#share-link input").input_value()
    ana.page.keyboard.press("Escape")
    ben.page.goto(link)
    ben.page.get_by_role("button", name="Join").click()
    ben.page.wait_for_url(address)
    ben.expect_saved()

    # Both type at once and see the same text.
    ana.write(SLOW_PROGRAM)
    ben.expect_text('print("line", step)')
    ana.editor.click()
    ana.page.keyboard.press("Control+Home")
    ben.editor.click()
    ben.page.keyboard.press("Control+End")
    for number in range(12):
        ana.page.keyboard.type("#a" if number == 0 else "a")
        ben.page.keyboard.type("#b" if number == 0 else "b")
    ana.page.keyboard.press("Enter")
    ana.expect_saved()
    ben.expect_saved()
    ben.expect_text("#" + "a" * 12)
    ana.expect_text("#" + "b" * 12)
    assert ana.text() == ben.text()

    # One presses Run; both see the lines arrive while the program prints.
    for person in (ana, ben):
        person.page.evaluate(WATCH)
    ben.page.keyboard.press("Control+Enter")
    for person in (ana, ben):
        expect(person.page.locator("#runs")).to_contain_text("line 4", timeout=60_000)
        expect(person.page.locator("#runs")).to_contain_text("Finished", timeout=60_000)
        moments = moments_of_lines(person.page)
        assert len(moments) == 4 and moments[3] - moments[0] > 900, "the lines came in one go, not as they were printed"

    # The server crashes in the middle of the work and comes back.
    ana.editor.click()
    ana.page.keyboard.press("Control+End")
    ana.page.keyboard.type("\nkept = 1")
    ana.expect_saved()
    server.kill()
    expect(ana.page.locator("#state-words")).not_to_have_text("Saved", timeout=15_000)
    ana.page.keyboard.type("\noffline = 2")
    server.start()
    for person in (ana, ben):
        person.expect_saved()
        person.expect_text("kept = 1")
        person.expect_text("offline = 2")
    assert ana.text() == ben.text()


def test_undo_takes_back_ones_own_edits_only(live, visit):
    ana, ben = visit(live, "ana"), visit(live, "ben")
    ana.sign_up()
    ben.sign_up()
    address = ana.create_session("Python", "Undo")
    ana.page.get_by_role("button", name="Share").click()
    ana.page.get_by_label("Username").fill(ben.username)
    ana.page.get_by_role("button", name="Add").click()
    expect(ana.page.locator("#share-people")).to_contain_text(ben.username)
    ana.page.keyboard.press("Escape")
    ben.page.goto(address)
    ben.expect_saved()
    ana.write("ana wrote this\n")
    ben.expect_text("ana wrote this")
    ben.editor.click()
    ben.page.keyboard.press("Control+End")
    ben.page.keyboard.type("ben wrote that")
    ana.expect_text("ben wrote that")
    ana.page.keyboard.press("Control+z")
    expect(ben.editor).not_to_contain_text("ana wrote this")
    ben.expect_text("ben wrote that")


def test_an_emoji_in_another_ones_place_is_saved_whole_whoever_puts_it_there(live, visit):
    """They share their first half, and the browser tells the editor of the text it shows, not of what was meant."""
    ana, ben = visit(live, "ana"), visit(live, "ben")
    ana.sign_up()
    ben.sign_up()
    address = ana.create_session("Python", "Faces")
    ana.let_everybody_read()
    ben.page.goto(address)
    ana.write("mood = '😀'\nlast = '😀'")
    ben.expect_text("last = '😀'")
    # As an input method does that offers one after the other.
    keyboard = ana.page.context.new_cdp_session(ana.page)
    for face in ("😀", "😁", "😂"):
        keyboard.send("Input.imeSetComposition", {"text": face, "selectionStart": 2, "selectionEnd": 2})
    keyboard.send("Input.insertText", {"text": "😃"})
    # As a correction does.
    ana.page.evaluate("""() => {
        const texts = document.createTreeWalker(document.querySelector(".cm-content"), NodeFilter.SHOW_TEXT);
        while (!texts.nextNode().data.includes("😀"));
        texts.currentNode.data = texts.currentNode.data.replace("😀", "😄");
    }""")
    wanted = "mood = '😄'\nlast = '😀'😃"
    for line in wanted.split("\n"):
        expect(ben.editor).to_contain_text(line)
    ana.expect_saved()
    assert ana.text() == ben.text() == wanted
    ana.page.reload()
    ana.expect_saved()
    assert ana.text() == wanted


def test_switch_that_is_being_saved_takes_no_second_press_and_shows_what_was_saved(live, visit):
    ana = visit(live, "ana")
    ana.sign_up()
    ana.create_session("Python", "Two presses")
    held: list[Route] = []
    ana.page.route("**/api/sessions/*", lambda route: held.append(route) if is_change(route) else route.continue_())
    switch = ana.page.get_by_role("switch", name="Anyone signed in can read")

    def share() -> None:
        ana.page.get_by_role("button", name="Share").click()

    share()
    with ana.page.expect_request(lambda request: request.method == "PATCH"):
        switch.click()
    switch.click()
    ana.page.keyboard.press("Escape")
    share()
    expect(switch).to_be_checked()
    switch.click()
    held.pop().continue_()
    expect(ana.page.locator("#share [role=status]")).to_contain_text("Anyone signed in can read this session.")
    expect(switch).to_be_checked()
    assert not held
    # One that is not saved is said to whoever has closed the dialog, too.
    with ana.page.expect_request(lambda request: request.method == "PATCH"):
        switch.click()
    ana.page.keyboard.press("Escape")
    held.pop().abort()
    expect(ana.page.locator("#notices")).to_contain_text("The server did not answer.")
    share()
    expect(switch).to_be_checked()


def is_change(route: Route) -> bool:
    return route.request.method == "PATCH"


def test_a_reader_sees_everything_and_changes_nothing(live, visit):
    ana, carol = visit(live, "ana"), visit(live, "carol")
    ana.sign_up()
    carol.sign_up()
    address = ana.create_session("Python", "Lecture")
    ana.let_everybody_read()
    ana.write("print('for everybody')\n")
    ana.expect_saved()
    carol.page.goto(address)
    expect(carol.page.locator("#state-words")).to_have_text("Read only", timeout=15_000)
    carol.expect_text("for everybody")
    expect(carol.editor).to_have_attribute("aria-readonly", "true")
    before = carol.text()
    carol.editor.click()
    carol.page.keyboard.type("not mine to write")
    assert carol.text() == before == ana.text()
    ana.page.keyboard.press("Control+Enter")
    expect(carol.page.locator("#runs")).to_contain_text("for everybody", timeout=60_000)


def test_page_of_somebody_who_logged_out_in_another_tab_says_so_and_leads_back(live, visit):
    ana = visit(live, "ana")
    ana.sign_up()
    ana.create_session("Python", "Two tabs")
    other = ana.page.context.new_page()
    other.goto(f"{live.url}/sessions")
    other.get_by_role("button", name="Log out").click()
    expect(other.get_by_role("link", name="Log in").first).to_be_visible()
    other.goto(f"{live.url}/login")
    other.get_by_label("Username or email").fill(ana.username)
    other.get_by_label("Password", exact=True).fill("correct horse battery")
    other.get_by_role("button", name="Log in", exact=True).click()
    other.wait_for_url("**/sessions")
    ana.page.bring_to_front()
    expect(ana.page.locator(".notice", has_text="You are signed out.")).to_be_visible()
    # The browser has signed in again already, so nothing is asked.
    ana.page.get_by_role("button", name="Sign in again").click()
    ana.expect_saved()
    ana.write("print('still at work')\n")
    ana.expect_saved()
    ana.page.keyboard.press("Control+Enter")
    expect(ana.page.locator("#runs")).to_contain_text("still at work", timeout=60_000)


def test_a_mistake_in_the_share_dialog_is_told_in_words(live, visit):
    ana = visit(live, "ana")
    ana.sign_up()
    ana.create_session("Python", "Sharing")
    ana.page.get_by_role("button", name="Share").click()
    ana.page.get_by_label("Username").fill("nobody-of-this-name")
    ana.page.get_by_role("button", name="Add").click()
    expect(ana.page.locator("#share-problem")).to_have_text("There is no user with this name.")


# What it would do, were it taken for more than text.
MARKUP = '<img src=x onerror="window.taken=1"><script>window.taken=1</script>'
LINK = "\\x1b]8;;javascript:window.taken=1\\x07a link\\x1b]8;;\\x07 \\x1b[31mred\\x1b[0m"


def test_markup_in_a_title_a_text_and_what_a_program_prints_stays_text(live, visit):
    ana = visit(live, "ana")
    ana.sign_up()
    ana.create_session("Python", MARKUP)
    ana.write(f"import sys\nm = {MARKUP!r}\nprint(m, '{LINK}')\nprint(m, file=sys.stderr)\nraise ValueError(m)\n")
    ana.expect_saved()
    ana.page.keyboard.press("Control+Enter")
    runs = ana.page.locator("#runs")
    expect(runs).to_contain_text(f"ValueError: {MARKUP}", timeout=60_000)
    for page in ("as it is printed", "as it is kept"):
        expect(runs).to_contain_text(f"{MARKUP} a link red")
        expect(runs).to_contain_text(f"ValueError: {MARKUP}")
        nothing_of_it_lives(ana.page, page)
        ana.page.reload()
        ana.expect_saved()
    ana.page.goto(f"{live.url}/sessions")
    expect(ana.page.get_by_text(MARKUP).first).to_be_visible()
    nothing_of_it_lives(ana.page, "the list of sessions")


def nothing_of_it_lives(page: Page, where: str) -> None:
    assert page.evaluate("window.taken ?? null") is None, where
    found = "img[src='x'], [onerror], a[href^='javascript'], script:not([src]):not([type='application/json'])"
    assert page.locator(found).count() == 0, where
