"""Everybody who is here can be found, in the header and in a list, at any width and by keyboard."""

from __future__ import annotations

import contextlib
import re

from playwright.sync_api import expect
from websockets.sync.client import connect


def test_everybody_here_is_in_a_list_that_leads_to_them(server, visit):
    ana, ben = visit(server, "ana"), visit(server, "ben")
    for visitor in (ana, ben):
        visitor.have_account()
    owner = server.person("owner")
    session_id = owner.new_session(content="\n".join(f"row {number}" for number in range(200)))["id"]
    for visitor in (ana, ben):
        owner.let_in(session_id, visitor)
        visitor.page.goto(f"{server.url}/sessions/{session_id}")
        visitor.expect_saved()
    ben.editor.click()
    ben.page.keyboard.press("Control+End")

    opener = ana.page.locator("#people-open")
    expect(opener).to_have_accessible_name("2 people here")
    opener.focus()
    ana.page.keyboard.press("Enter")
    panel = ana.page.get_by_role("dialog", name="2 people here")
    rows = panel.get_by_role("listitem")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text(f"{ana.username}you")
    expect(rows.nth(1)).to_contain_text("can edit")
    hues = rows.locator(".avatar").evaluate_all("avatars => avatars.map(({className}) => className)")
    assert len(set(hues)) == 2
    expect(panel.get_by_label("Find by name")).to_be_hidden()
    ana.page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(opener).to_be_focused()

    ana.page.keyboard.press("Enter")
    there = panel.get_by_role("button", name=re.compile(rf"Go to {ben.username}, .*, line 200"))
    there.click()
    expect(panel).to_be_hidden()
    expect(ana.page.locator(".cm-line", has_text="row 199")).to_be_in_viewport()


def test_one_of_many_is_found_by_name_on_a_phone(server, visit):
    ana = visit(server, "ana")
    ana.have_account()
    owner = server.person("owner")
    session_id = owner.new_session(is_public=True)["id"]
    ana.page.set_viewport_size({"width": 360, "height": 740})
    ana.page.goto(f"{server.url}/sessions/{session_id}")
    pupils = [server.person("pupil") for _ in range(8)]
    with contextlib.ExitStack() as sockets:
        for pupil in pupils:
            sockets.enter_context(
                connect(pupil.socket_url(session_id), additional_headers=pupil.headers, compression=None)
            )
        opener = ana.page.locator("#people-open")
        expect(opener).to_have_accessible_name("9 people here")
        opener.click()
        panel = ana.page.get_by_role("dialog", name="9 people here")
        expect(panel.get_by_role("listitem")).to_have_count(9)
        letters = panel.locator(".avatar > span").all_text_contents()
        assert len(letters) == 9 and len(set(letters)) == 9
        panel.get_by_label("Find by name").fill(pupils[3].username[:12])
        expect(panel.get_by_role("listitem")).to_have_count(1)
        expect(panel.get_by_role("status")).to_have_text("1 of 9")
        expect(panel.get_by_role("listitem")).to_contain_text(f"{pupils[3].username}can read")
