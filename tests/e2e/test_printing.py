"""What is printed is the whole open file, not the page around it."""

from __future__ import annotations

import re

from playwright.sync_api import expect


def test_all_lines_are_printed_under_the_title_and_none_of_the_controls(server, visit):
    ana = visit(server, "ana")
    ana.have_account()
    text = "\n".join(f"value_{number} = {number}" for number in range(300))
    session_id = server.person("owner").new_session(title="On paper", content=text, is_public=True)["id"]
    page = ana.page
    page.goto(f"{server.url}/sessions/{session_id}")
    expect(page.locator("#state-words")).to_have_text("Read only")
    expect(ana.editor).to_have_attribute("inputmode", "none")
    page.evaluate(
        """() => addEventListener("beforeprint", () => {
            window.printed = [...document.querySelectorAll(".sheet li")].map((line) => line.textContent).join("\\n");
        })"""
    )
    pdf = page.pdf()
    assert page.evaluate("window.printed") == text
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) > 4
    expect(page.locator(".sheet")).to_have_count(0)

    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator(".sheet")).to_contain_text("On paper")
    expect(page.get_by_role("button")).to_have_count(0)
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"
