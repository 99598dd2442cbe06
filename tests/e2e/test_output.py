"""Whatever a program prints, the page goes on and shows the end of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import Visitor
    from tests.live import LiveServer

# Together nearly the megabyte that a program may print.
HOSTILE = r"""import sys
for _ in range(300):
    print("out", flush=True)
    print("err", file=sys.stderr, flush=True)
for piece in "\x1b[31mx\x1b[32my", "e\u0301\u0302", "\u0301", "a\b", "#\r", "main.py:1 ", "x", "\u202e", "\x1b]":
    print(piece * (100_000 // len(piece.encode())), end="")
print("\nTHE END")
"""
BAR = r"""for step in range(4000):
    print('\r' + ('#' * (step // 40)).ljust(100, '.'), step, end='', flush=True)
print()
print('RESULT 42')
"""
MOST_ELEMENTS = 12_000


@pytest.fixture
def ana(server: LiveServer, visit: Callable[[LiveServer, str], Visitor]) -> Visitor:
    server.wait_for_languages()
    ana = visit(server, "ana")
    ana.have_account()
    return ana


def run(server: LiveServer, visitor: Visitor, program: str) -> None:
    owner = server.person("owner")
    session_id = owner.new_session(language="python", content=program)["id"]
    owner.let_in(session_id, visitor)
    visitor.page.goto(f"{visitor.url}/sessions/{session_id}")
    visitor.expect_saved()
    visitor.page.keyboard.press("Control+Enter")
    expect(visitor.page.locator(".run-word")).to_have_text("Finished", timeout=60_000)


def test_page_answers_and_shows_the_end_of_a_hostile_megabyte(server, ana):
    run(server, ana, HOSTILE)
    expect(ana.page.locator(".output")).to_contain_text("THE END", timeout=60_000)
    # The same once more from what the server keeps.
    ana.page.reload()
    expect(ana.page.locator(".output")).to_contain_text("THE END", timeout=60_000)
    ana.page.get_by_role("tab", name="Chat").click()
    expect(ana.page.get_by_label("Message", exact=True)).to_be_visible()
    ana.page.get_by_role("tab", name="Output").click()
    assert ana.page.locator(".output *").count() < MOST_ELEMENTS
    assert ana.page.locator(".output").evaluate("output => output.textContent.length") < 400_000


def test_progress_bar_of_many_steps_leaves_its_last_state_and_the_result(server, ana):
    run(server, ana, BAR)
    expect(ana.page.locator(".output-text")).to_contain_text("RESULT 42")
    assert ana.page.locator(".output-text").evaluate("text => text.textContent") == f"{'#' * 99}. 3999\nRESULT 42\n"
    ana.page.evaluate("getSelection().selectAllChildren(document.querySelector('.output-text'))")
    assert ana.page.evaluate("`${getSelection()}`").rstrip("\n") == f"{'#' * 99}. 3999\nRESULT 42"
