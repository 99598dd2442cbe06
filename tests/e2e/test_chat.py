"""People talk beside the code: at once, later, when a message fails, and whatever one of them writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator, Route

    from tests.e2e.conftest import Visitor
    from tests.live import LiveServer

MARKUP = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
HOSTILE = f"{MARKUP} **bold** javascript:x()"


@pytest.fixture
def ana(server: LiveServer, visit: Callable[[LiveServer, str], Visitor]) -> Visitor:
    ana = visit(server, "ana")
    ana.have_account()
    return ana


def enter(visitor: Visitor, session_id: str) -> None:
    visitor.page.goto(f"{visitor.url}/sessions/{session_id}")
    expect(visitor.page.locator("#state")).to_have_attribute("data-state", "saved", timeout=15_000)


def show_chat(visitor: Visitor) -> None:
    visitor.page.get_by_role("tab", name="Chat").click()


def say(visitor: Visitor, text: str) -> None:
    visitor.page.get_by_label("Message", exact=True).fill(text)
    visitor.page.keyboard.press("Enter")


def texts(visitor: Visitor) -> Locator:
    return visitor.page.locator("#chat-list .chat-text")


def test_two_people_talk_and_markup_stays_text(server, ana, visit):
    owner, ben = server.person("owner"), visit(server, "ben")
    ben.have_account()
    session_id = owner.new_session(title="Talking")["id"]
    for visitor in (ana, ben):
        owner.let_in(session_id, visitor)
        enter(visitor, session_id)
    show_chat(ana)
    say(ana, "Look at line 3")
    say(ana, HOSTILE)
    # Ben looks at the output; the tab counts, and a screen reader hears it.
    tab = ben.page.get_by_role("tab", name="Chat, 2 unread messages")
    expect(tab).to_have_text("Chat2")
    expect(ben.page.get_by_role("status")).to_contain_text(f"{ana.username} wrote: Look at line 3")
    tab.click()
    expect(ben.page.get_by_role("tab", name="Chat")).to_have_text("Chat")
    for visitor in (ana, ben):
        expect(texts(visitor)).to_have_text(["Look at line 3", HOSTILE])
        expect(visitor.page.locator("#chat-list :is(img, script, a, strong)")).to_have_count(0)
        expect(visitor.page).to_have_title("Talking · CodeCrafter")
    say(ben, "I see it")
    expect(texts(ana)).to_have_text(["Look at line 3", HOSTILE, "I see it"])

    # What else happens to the session shows at once, and stands between the messages.
    owner.call("PATCH", f"/api/sessions/{session_id}", 200, json={"title": "Renamed", "language": "ruby"})
    for visitor in (ana, ben):
        expect(visitor.page.get_by_label("Title of this session")).to_have_value("Renamed")
        expect(visitor.page.get_by_label("Language")).to_have_value("ruby")
        expect(visitor.page.locator("#chat-list")).to_contain_text(
            f"{owner.username} renamed this session to “Renamed”"
        )
        expect(visitor.page.locator("#chat-list")).to_contain_text(f"{owner.username} changed the language to Ruby")


def test_history_is_read_back_page_by_page_in_order(server, ana):
    owner = server.person("owner")
    session_id = owner.new_session()["id"]
    owner.let_in(session_id, ana)
    said = [f"message {number}" for number in range(25)]
    for text in said:
        owner.call("POST", f"/api/sessions/{session_id}/chat", 201, json={"text": text})
    size = len(owner.call("GET", f"/api/sessions/{session_id}/chat", 200)["results"])
    enter(ana, session_id)
    show_chat(ana)
    expect(texts(ana)).to_have_text(said[-size:])
    if size < len(said):
        ana.page.get_by_role("button", name="Earlier messages").click()
        expect(texts(ana)).to_have_text(said)
    expect(ana.page.get_by_role("button", name="Earlier messages")).to_be_hidden()


def test_message_that_was_not_sent_is_kept_and_sent_again_once(server, ana):
    owner = server.person("owner")
    session_id = owner.new_session()["id"]
    owner.let_in(session_id, ana)
    enter(ana, session_id)
    show_chat(ana)

    def lose_the_answer(route: Route) -> None:
        if route.request.method == "POST":
            route.abort()
        else:
            route.continue_()

    ana.page.route("**/chat", lose_the_answer)
    say(ana, "is anybody there")
    failed = ana.page.locator(".chat-message", has_text="Not sent. The server did not answer.")
    expect(failed).to_contain_text("is anybody there")
    ana.page.unroute("**/chat")
    failed.get_by_role("button", name="Send again").click()
    expect(ana.page.locator("#chat-list [data-id]")).to_have_count(1)
    expect(ana.page.locator(".chat-failed")).to_have_count(0)
    expect(texts(ana)).to_have_text(["is anybody there"])
    assert len(owner.call("GET", f"/api/sessions/{session_id}/chat", 200)["results"]) == 1
    # A message that is refused says why.
    say(ana, "\u200b")
    expect(ana.page.locator(".chat-failed")).to_contain_text("Not sent.")


def test_visitor_of_a_public_session_reads_the_chat_and_cannot_write(server, ana):
    owner = server.person("owner")
    session_id = owner.new_session(is_public=True)["id"]
    owner.call("POST", f"/api/sessions/{session_id}/chat", 201, json={"text": "welcome"})
    ana.page.goto(f"{server.url}/sessions/{session_id}")
    expect(ana.page.locator("#state-words")).to_have_text("Read only", timeout=15_000)
    show_chat(ana)
    expect(texts(ana)).to_have_text(["welcome"])
    expect(ana.page.get_by_label("Message", exact=True)).to_be_hidden()
    expect(ana.page.get_by_text("You are visiting a public session.")).to_be_visible()


def test_draft_survives_a_reload_and_is_gone_once_logged_out(server, ana):
    owner = server.person("owner")
    session_id = owner.new_session()["id"]
    owner.let_in(session_id, ana)
    field = ana.page.get_by_label("Message", exact=True)
    enter(ana, session_id)
    show_chat(ana)
    field.fill("a long thought")
    ana.page.reload()
    show_chat(ana)
    expect(field).to_have_value("a long thought")
    ana.page.goto(f"{server.url}/sessions")
    drafts = "Object.keys(localStorage).filter((key) => key.startsWith('draft:')).length"
    assert ana.page.evaluate(drafts) == 1
    ana.page.get_by_role("button", name="Log out").click()
    expect(ana.page.get_by_role("link", name="Log in")).to_be_visible()
    assert ana.page.evaluate(drafts) == 0


def test_who_reads_above_is_told_of_new_messages_and_links_lead_where_they_say(server, ana):
    owner = server.person("owner")
    session_id = owner.new_session()["id"]
    owner.let_in(session_id, ana)
    path = f"/api/sessions/{session_id}/chat"
    for number in range(15):
        owner.call("POST", path, 201, json={"text": f"message {number}" + "\nand more" * 4})
    enter(ana, session_id)
    show_chat(ana)
    expect(texts(ana).last).to_be_in_viewport()
    ana.page.get_by_role("region", name="Messages").evaluate("messages => messages.scrollTo(0, 0)")
    for text in ("one", "two, see https://example.org/a?b=c."):
        owner.call("POST", path, 201, json={"text": text})
    news = ana.page.get_by_role("button", name="2 new messages")
    news.click()
    expect(texts(ana).last).to_be_in_viewport()
    expect(news).to_be_hidden()
    link = texts(ana).last.get_by_role("link")
    expect(link).to_have_text("https://example.org/a?b=c")
    expect(link).to_have_attribute("href", "https://example.org/a?b=c")
    expect(link).to_have_attribute("rel", "noopener nofollow ugc")


@pytest.mark.parametrize("hours", [-3, 3])
def test_times_are_right_on_a_device_whose_clock_is_wrong(server, ana, hours):
    owner = server.person("owner")
    session_id = owner.new_session()["id"]
    owner.let_in(session_id, ana)
    ana.page.add_init_script(
        f"""const real = Date, off = {hours} * 3600_000;
        Date = class extends real {{
            constructor(...given) {{ given.length ? super(...given) : super(real.now() + off); }}
            static now() {{ return real.now() + off; }}
        }};"""
    )
    enter(ana, session_id)
    show_chat(ana)
    owner.call("POST", f"/api/sessions/{session_id}/chat", 201, json={"text": "now"})
    owner.call("PATCH", f"/api/sessions/{session_id}", 200, json={"title": "Renamed"})
    expect(ana.page.locator("#chat-list time")).to_have_text(["just now", "just now"])
    ana.page.goto(f"{server.url}/sessions")
    expect(ana.page.locator("time[data-relative]").first).to_have_text("just now")
