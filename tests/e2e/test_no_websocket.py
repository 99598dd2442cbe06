"""Where no WebSocket comes through, the text can be read and run, and the page says why it cannot be edited."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page, WebSocketRoute

    Block = Callable[[WebSocketRoute], None]

CLOSED = "The live connection is closed as soon as it is opened"


class Network:
    """What lies between a page and the server: `block` gets the sockets for as long as it is set."""

    def __init__(self, page: Page, block: Block) -> None:
        self.block: Block | None = block
        page.route_web_socket(re.compile("/ws/"), self._route)

    def _route(self, socket: WebSocketRoute) -> None:
        if self.block is None:
            socket.connect_to_server()
        else:
            self.block(socket)


def test_text_is_read_and_run_without_a_websocket_and_edited_once_there_is_one(server, visit):
    server.wait_for_languages()
    owner, ana = server.person("owner"), visit(server, "ana")
    ana.have_account()
    program = "import time\nprint('one')\ntime.sleep(1)\nprint('two')\n"
    session_id = owner.new_session(language="python", content=program)["id"]
    owner.call("POST", f"/api/sessions/{session_id}/files", 201, json={"path": "data.txt", "content": "some data"})
    owner.let_in(session_id, ana)
    page = ana.page
    network = Network(page, lambda socket: socket.close(code=1011))

    page.goto(f"{server.url}/sessions/{session_id}")
    notice = page.locator(".notice[data-key=unconnected]")
    expect(notice).to_contain_text(CLOSED)
    expect(page.locator("#state-words")).to_have_text("Not connected. Read only")
    text = page.get_by_role("region", name="Text for reading")
    expect(text).to_have_text(program)
    with page.expect_download() as download:
        notice.get_by_role("button", name="Download this text").click()
    assert Path(download.value.path()).read_text() == program
    page.get_by_label("File", exact=True).select_option("data.txt")
    expect(text).to_have_text("some data")
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".run-word")).to_have_text("Finished", timeout=60_000)
    expect(page.locator(".output-text")).to_have_text("one\ntwo\n")

    network.block = None
    notice.get_by_role("button", name="Try again").click()
    ana.expect_saved()
    expect(notice).to_have_count(0)
    expect(text).to_have_count(0)
    ana.write("print('three')")
    ana.expect_saved()
    assert owner.call("GET", f"/api/sessions/{session_id}", 200)["content"] == "print('three')"


def test_reason_is_told_for_each_way_of_having_no_connection(server, visit):
    ana = visit(server, "ana")
    ana.have_account()
    session_id = server.person("owner").new_session(is_public=True, content="words")["id"]
    reasons: dict[str, Block] = {
        "stops the live connection.": lambda socket: None,
        "The server cannot open the live document now.": lambda socket: socket.close(code=4503),
        "The server is restarting.": lambda socket: socket.close(code=1012),
    }
    pages = {reason: ana.page.context.new_page() for reason in reasons}
    for reason, page in pages.items():
        Network(page, reasons[reason])
        page.goto(f"{server.url}/sessions/{session_id}")
    for reason, page in pages.items():
        notice = page.locator(".notice[data-key=unconnected]")
        expect(notice).to_contain_text(f"{reason} You can read the last saved text")
        expect(page.get_by_role("region", name="Text for reading")).to_have_text("words")
