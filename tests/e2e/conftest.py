"""Browser tests: a real server, real Chromium, people who click. They run in a pytest process of their own, because
playwright keeps an event loop in the main thread."""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.live import LiveServer, Person

PASSWORD = "correct horse battery"
# A busy machine is slow, not wrong.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium_path,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        yield launched
        launched.close()


@dataclass
class Visitor:
    """Somebody at a browser of their own."""

    page: Page
    url: str
    username: str

    def sign_up(self) -> None:
        self.page.goto(f"{self.url}/signup")
        self.page.get_by_label("Username").fill(self.username)
        self.page.get_by_label("Email").fill(f"{self.username}@example.org")
        self.page.get_by_label("Password").first.fill(PASSWORD)
        self.page.get_by_role("button", name="Create account").click()
        self.page.wait_for_url("**/sessions")

    def have_account(self) -> None:
        """Sign up with the same form, without looking at it."""
        context, address = self.page.context, f"{self.url}/signup"
        context.request.get(address)
        token = next(cookie["value"] for cookie in context.cookies() if cookie["name"] == "csrftoken")
        form = {"username": self.username, "email": f"{self.username}@example.org", "password1": PASSWORD}
        answer = context.request.post(
            address, form={**form, "csrfmiddlewaretoken": token}, headers={"Referer": address}
        )
        assert answer.ok and answer.url.endswith("/sessions"), answer.url

    def create_session(self, language: str, title: str) -> str:
        """Create through the dashboard; returns the address of the session."""
        self.page.get_by_text(language, exact=True).first.click()
        self.page.get_by_label("Title", exact=True).fill(title)
        self.page.get_by_role("button", name="Create session").click()
        self.page.wait_for_url("**/sessions/*-*")
        self.expect_saved()
        return self.page.url

    def let_everybody_read(self) -> None:
        self.page.get_by_role("button", name="Share").click()
        self.page.get_by_text("Anyone signed in can read").click()
        expect(self.page.locator("#share [role=status]")).to_contain_text("Anyone signed in can read this session.")
        self.page.keyboard.press("Escape")

    @property
    def editor(self):
        return self.page.locator(".cm-content")

    def text(self) -> str:
        """The text as the editor holds it, without other people's carets in it."""
        return self.page.evaluate(
            """() => [...document.querySelectorAll(".cm-line")].map((line) => {
                const copy = line.cloneNode(true);
                for (const caret of copy.querySelectorAll(".caret")) caret.remove();
                return copy.textContent;
            }).join("\\n")"""
        )

    def write(self, text: str) -> None:
        """Replace the whole text by typing over it."""
        self.editor.click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(text)

    def expect_saved(self) -> None:
        expect(self.page.locator("#state-words")).to_have_text(re.compile(r"^Saved"), timeout=15_000)

    def expect_text(self, wanted: str) -> None:
        for line in wanted.split("\n"):
            expect(self.editor).to_contain_text(line, timeout=15_000)


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[[LiveServer, str], Visitor]]:
    contexts = []

    def arrive(server: LiveServer, name: str) -> Visitor:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: pytest.fail(f"a script failed in {name}'s page: {error}"))
        return Visitor(page, server.url, f"{name}-{uuid.uuid4().hex[:6]}")

    yield arrive
    for context in contexts:
        context.close()


@dataclass
class Pair:
    """Ana and Ben have one session open, and both may edit. Its owner is at no page."""

    live: LiveServer
    owner: Person
    ana: Visitor
    ben: Visitor
    session_id: str

    @property
    def address(self) -> str:
        return f"{self.live.url}/sessions/{self.session_id}"

    @property
    def api(self) -> str:
        return f"/api/sessions/{self.session_id}"

    def create(self, path: str, content: str) -> str:
        return self.owner.call("POST", f"{self.api}/files", 201, json={"path": path, "content": content})["id"]

    def delete(self, file_id: str) -> None:
        self.owner.call("DELETE", f"{self.api}/files/{file_id}", 204)

    def files(self) -> dict[str, str]:
        """Path -> text of each file, as the server has them."""
        listed: list[dict[str, Any]] = self.owner.call("GET", f"{self.api}/files", 200)
        return {
            file["path"]: self.owner.call("GET", f"{self.api}/files/{file['id']}", 200)["content"] for file in listed
        }

    def expect(self, holds: Callable[[dict[str, str]], bool]) -> None:
        """Wait until this holds of the files: a page that still says Saved may not have sent the last key."""
        deadline = time.monotonic() + 30
        while not holds(files := self.files()):
            assert time.monotonic() < deadline, files
            self.ana.page.wait_for_timeout(100)

    def set_in_database(self, code: str, **values: str) -> None:
        self.live.manage("shell", "-v", "0", "-c", code.format(**values))

    def crash(self) -> None:
        """Kill the server, and wait until both pages know that it is gone."""
        self.live.kill()
        for visitor in (self.ana, self.ben):
            if not visitor.page.is_closed() and "/sessions/" in visitor.page.url:
                expect(visitor.page.locator("#state-words")).to_contain_text("Reconnecting", timeout=60_000)


@pytest.fixture
def pair(live: LiveServer, visit: Callable[[LiveServer, str], Visitor]) -> Pair:
    owner, ana, ben = live.person("owner"), visit(live, "ana"), visit(live, "ben")
    session_id: str = owner.new_session(content="print('main')\n")["id"]
    for visitor in (ana, ben):
        visitor.have_account()
        owner.let_in(session_id, visitor)
        visitor.page.goto(f"{live.url}/sessions/{session_id}")
        visitor.expect_saved()
    return Pair(live, owner, ana, ben, session_id)
