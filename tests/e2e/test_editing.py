"""Two people edit the files of one session: where their text goes, and what they see of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.live import LiveServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Locator

    from tests.e2e.conftest import Visitor

WORDS = "def f():\n    return 1\n"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    # Small frames, so that an edit which has to be sent in several needs not be a large one.
    with LiveServer(tmp_path_factory.mktemp("editing") / "data", {"SOCKET_MAX_BYTES": "100000"}) as started:
        yield started


def open_file(visitor: Visitor, path: str) -> None:
    visitor.page.get_by_role("button", name=path, exact=True).click()
    expect(visitor.page.locator("#files-list [aria-current]")).to_contain_text(path)


def type_at_end(visitor: Visitor, text: str) -> None:
    visitor.editor.click()
    visitor.page.keyboard.press("Control+End")
    visitor.page.keyboard.type(text)


def state(visitor: Visitor) -> Locator:
    return visitor.page.locator("#state-words")


def notice(visitor: Visitor, words: str) -> Locator:
    return visitor.page.locator(".notice", has_text=words)


def test_no_key_reaches_another_file_when_the_one_that_is_typed_in_is_deleted(pair):
    ben, file_id = pair.ben, pair.create("util.py", WORDS)
    open_file(ben, "util.py")
    type_at_end(ben, "mine = 1")
    ben.expect_saved()
    pair.delete(file_id)
    offer = notice(ben, f"{pair.owner.username} deleted util.py. You can still read its text here")
    expect(offer).to_be_visible()
    ben.page.keyboard.type("lost keys")
    assert ben.text() == WORDS + "mine = 1"
    expect(state(ben)).to_have_text("Not saved: util.py was deleted")
    pair.expect(lambda files: files == {"main.py": "print('main')\n"})
    ben.page.keyboard.press("Control+z")
    offer.get_by_role("button", name="Keep it as a file").click()
    ben.expect_saved()
    expect(offer).to_be_hidden()
    pair.expect(lambda files: files == {"main.py": "print('main')\n", "util.py": WORDS + "mine = 1"})
    type_at_end(ben, "\n# goes on")
    ben.expect_saved()
    pair.expect(lambda files: files["util.py"].endswith("# goes on"))


def test_what_was_typed_offline_into_a_file_that_is_deleted_meanwhile_is_found_on_return(pair, tmp_path):
    ben, file_id = pair.ben, pair.create("util.py", WORDS)
    open_file(ben, "util.py")
    ben.page.context.set_offline(True)
    ben.page.evaluate("() => dispatchEvent(new Event('offline'))")
    pair.live.kill()
    expect(state(ben)).to_contain_text("Offline", timeout=60_000)
    type_at_end(ben, "offline = 1")
    expect(state(ben)).to_contain_text("on this device")
    open_file(ben, "main.py")
    pair.live.start()
    pair.delete(file_id)
    ben.page.context.set_offline(False)
    offer = notice(ben, "util.py was deleted. What you typed last is not in any file.")
    expect(offer).to_be_visible(timeout=60_000)
    expect(state(ben)).to_have_text("Not saved: util.py was deleted")
    expect(ben.page.locator("#announcer")).to_contain_text("Reconnected. Not saved: util.py was deleted.")
    # It stays on the device, for a page that is opened later.
    ben.page.wait_for_function("async () => (await indexedDB.databases()).some(({name}) => name.includes('apart'))")
    ben.page.reload()
    with ben.page.expect_download() as download:
        offer.get_by_role("button", name="Download my copy").click()
    download.value.save_as(tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == WORDS + "offline = 1"
    offer.get_by_role("button", name="Discard").click()
    ben.expect_saved()
    assert ben.text() == "print('main')\n"


def test_whoever_deletes_a_file_can_undo_that_and_another_who_renames_it_is_told(pair):
    ana, ben = pair.ana, pair.ben
    pair.create("util.py", WORDS)
    for visitor in (ana, ben):
        open_file(visitor, "util.py")
        visitor.page.get_by_role("button", name="Rename or delete util.py").click()
    ana.page.get_by_role("button", name="Delete file").click()
    ana.page.get_by_role("button", name="Delete it for everyone").click()
    expect(ben.page.locator("#file-problem")).to_have_text("util.py was deleted in the meantime.")
    expect(ben.page.get_by_role("button", name="Rename", exact=True)).to_be_disabled()
    expect(notice(ana, "You deleted util.py for everyone.")).to_be_visible()
    pair.expect(lambda files: files.keys() == {"main.py"})
    ana.page.get_by_role("button", name="Undo").click()
    expect(ana.page.locator("#files-list [aria-current]")).to_contain_text("util.py")
    pair.expect(lambda files: files["util.py"] == ana.text() == WORDS)


def test_file_that_somebody_brings_back_from_the_list_of_deleted_ones_ends_the_offer_to_undo(pair):
    ana, ben = pair.ana, pair.ben
    pair.create("util.py", WORDS)
    open_file(ana, "util.py")
    ana.page.get_by_role("button", name="Rename or delete util.py").click()
    ana.page.get_by_role("button", name="Delete file").click()
    ana.page.get_by_role("button", name="Delete it for everyone").click()
    undo = notice(ana, "You deleted util.py for everyone.")
    expect(undo).to_be_visible()
    ben.page.get_by_role("button", name="More", exact=True).click()
    ben.page.locator("#file-new-menu").click()
    row = ben.page.get_by_role("dialog", name="New file").get_by_role("listitem")
    expect(row).to_contain_text(f"util.py deleted by {ana.username} just now")
    row.get_by_role("button", name="Bring back util.py").click()
    expect(ben.page.locator("#files-list [aria-current]")).to_contain_text("util.py")
    expect(undo).to_be_hidden()
    expect(ana.page.get_by_role("button", name="util.py", exact=True)).to_be_visible()
    pair.expect(lambda files: files["util.py"] == ben.text() == WORDS)


def test_caret_stays_at_its_text_while_others_write_above_it_in_another_file_and_over_a_reload(pair):
    ana, ben = pair.ana, pair.ben
    pair.create("rows.txt", "".join(f"row_{number}\n" for number in range(200)))
    open_file(ana, "rows.txt")
    ana.editor.click()
    ana.page.keyboard.press("Control+Home")
    for _ in range(100):
        ana.page.keyboard.press("ArrowDown")
    ana.page.keyboard.type("mine_")
    ana.expect_saved()
    caret = ana.page.locator("#caret")
    expect(caret).to_have_text("Ln 101, Col 6")
    open_file(ana, "main.py")
    open_file(ben, "rows.txt")
    ben.editor.click()
    ben.page.keyboard.press("Control+Home")
    ben.page.keyboard.insert_text("# ben\n" * 20)
    ben.expect_saved()
    open_file(ana, "rows.txt")
    expect(caret).to_have_text("Ln 121, Col 6")
    ana.page.reload()
    ana.expect_saved()
    expect(ana.page.locator("#files-list [aria-current]")).to_contain_text("rows.txt")
    expect(caret).to_have_text("Ln 121, Col 6")
    ana.editor.focus()
    ana.page.keyboard.type("HERE")
    ana.expect_saved()
    pair.expect(lambda files: "\nmine_HERErow_100\n" in files["rows.txt"])


def test_enter_and_tab_indent_as_the_text_around_does(pair):
    ana = pair.ana
    unit = ana.page.locator("#indent")
    expect(unit).to_have_text("Spaces: 4")
    ana.write("def f(n):\n\tif n > 1:\n\t\tn = n - 1")
    ana.page.keyboard.press("Enter")
    ana.page.keyboard.type("n = n * 2")
    expect(unit).to_have_text("Tabs")
    ana.expect_saved()
    pair.expect(lambda files: files["main.py"] == "def f(n):\n\tif n > 1:\n\t\tn = n - 1\n\t\tn = n * 2")
    ana.write("def f(n):\n  if n > 1:")
    ana.page.keyboard.press("Enter")
    ana.page.keyboard.type("n = 1")
    expect(unit).to_have_text("Spaces: 2")
    ana.expect_saved()
    pair.expect(lambda files: files["main.py"] == "def f(n):\n  if n > 1:\n    n = 1")
    pair.create("Makefile", "all:\n")
    open_file(ana, "Makefile")
    type_at_end(ana, "")
    ana.page.keyboard.press("Tab")
    ana.page.keyboard.type("echo")
    expect(unit).to_have_text("Tabs")
    ana.expect_saved()
    pair.expect(lambda files: files["Makefile"] == "all:\n\techo")


def test_composed_word_is_one_step_to_undo_and_untouched_by_what_others_write_into_it(pair):
    ana, ben = pair.ana, pair.ben
    ana.write("print(text)")
    ana.expect_saved()
    for visitor, steps in ((ana, 1), (ben, 3)):
        visitor.editor.click()
        visitor.page.keyboard.press("Control+End")
        for _ in range(steps):
            visitor.page.keyboard.press("ArrowLeft")
    input_method = ana.page.context.new_cdp_session(ana.page)
    for stage in ("n", "に", "にh", "にほ", "にほn", "にほん"):
        at = {"selectionStart": len(stage), "selectionEnd": len(stage)}
        input_method.send("Input.imeSetComposition", {"text": stage, **at})
        ben.page.keyboard.type("m")
        # Longer than what otherwise parts two steps.
        ana.page.wait_for_timeout(450)
    input_method.send("Input.insertText", {"text": "日本"})
    for visitor in (ana, ben):
        expect(visitor.editor).to_contain_text("日本")
        visitor.expect_saved()
    expect(ana.editor).to_contain_text("mmmmmm")
    pair.expect(lambda files: files == {"main.py": "print(temmmmmmxt日本)"})
    ana.page.keyboard.press("Control+z")
    ana.expect_saved()
    pair.expect(lambda files: files == {"main.py": "print(temmmmmmxt)"})


def test_replacing_all_is_taken_and_undone_though_it_is_longer_than_a_frame(pair):
    ana, ben = pair.ana, pair.ben
    rows = "12,34,56,78,90,12,34,56,78\n" * 800
    pair.create("data.csv", rows)
    open_file(ana, "data.csv")
    type_at_end(ana, "mine")
    ana.expect_saved()
    ana.page.keyboard.press("Control+f")
    ana.page.locator(".cm-search input[name=search]").fill(",")
    ana.page.locator(".cm-search input[name=replace]").fill(";")
    ana.page.locator(".cm-search [name=replaceAll]").click()
    expect(state(ana)).to_have_text("Saved", timeout=60_000)
    open_file(ben, "data.csv")
    pair.expect(lambda files: files["data.csv"] == rows.replace(",", ";") + "mine")
    ana.editor.click()
    for _ in range(2):
        ana.page.keyboard.press("Control+z")
    expect(state(ana)).to_have_text("Saved", timeout=60_000)
    pair.expect(lambda files: files["data.csv"] == rows)
    expect(ana.page.locator(".notice:visible")).to_have_count(0)


def test_what_does_not_fit_is_refused_in_words_before_it_is_made(pair):
    ana = pair.ana
    type_at_end(ana, "mine")
    ana.expect_saved()
    ana.page.keyboard.insert_text("x" * 600_000)
    expect(notice(ana, "A file can hold 512 KB of text, and this would make it 586 KB.")).to_be_visible()
    ana.expect_saved()
    pair.expect(lambda files: files["main.py"] == "print('main')\nmine")
    ana.page.keyboard.press("Control+z")
    ana.expect_saved()
    pair.expect(lambda files: files["main.py"] == "print('main')\n")
    drop = """() => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array([0x89, 0x50, 0, 0, 0, 13])], "photo.png", { type: "image/png" }));
      document.querySelector(".cm-content").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
    }"""
    ana.page.evaluate(drop)
    expect(notice(ana, "photo.png is not a text file, so nothing was inserted.")).to_be_visible()


def test_every_selection_of_somebody_with_several_is_shown_to_the_others(pair):
    ana, ben = pair.ana, pair.ben
    ana.write("word = 1\nword = 2\nword = 3\n")
    ana.page.keyboard.press("Control+Home")
    for _ in range(3):
        ana.page.keyboard.press("Control+d")
    expect(ben.page.locator(".remote-selection")).to_have_text(["word"] * 3)
    expect(ben.page.locator(".cm-content .caret")).to_have_count(3)
    ana.page.keyboard.press("Escape")
    expect(ben.page.locator(".cm-content .caret")).to_have_count(1)


def test_refused_change_leaves_what_was_done_before_it_to_be_undone(pair):
    ana = pair.ana
    type_at_end(ana, "mine")
    ana.expect_saved()
    ana.page.context.set_offline(True)
    pair.live.kill()
    expect(state(ana)).to_contain_text("Offline", timeout=60_000)
    ana.page.keyboard.insert_text("x" * 300_000)
    pair.live.start()
    whole = "print('main')\nmine" + "y" * 300_000
    pair.owner.call("PATCH", pair.api, 200, json={"content": whole})
    ana.page.context.set_offline(False)
    refusal = notice(ana, "A file can hold 512 KB of text, and this would make it 586 KB.")
    expect(refusal).to_be_visible(timeout=60_000)
    expect(ana.editor).to_contain_text("yyy", timeout=60_000)
    ana.expect_saved()
    # Of what takes several frames, none was taken.
    assert pair.files() == {"main.py": whole}
    ana.editor.focus()
    ana.page.keyboard.press("Control+z")
    pair.expect(lambda files: files == {"main.py": whole.replace("mine", "")})


def test_the_undo_commands_of_vim_take_back_ones_own_edits(pair):
    ana = pair.ana
    ana.page.goto(f"{pair.live.url}/profile")
    ana.page.get_by_text("Vim", exact=True).click()
    ana.page.get_by_role("button", name="Save profile").click()
    ana.page.goto(pair.address)
    ana.expect_saved()
    ana.editor.click()
    ana.page.keyboard.type("ggOana's")
    ana.page.keyboard.press("Escape")
    pair.expect(lambda files: files["main.py"].startswith("ana's\n"))
    type_at_end(pair.ben, "# ben's")
    pair.expect(lambda files: "# ben's" in files["main.py"])
    ana.page.keyboard.type(":undo\n")
    pair.expect(lambda files: files["main.py"] == "print('main')\n# ben's")
    ana.page.keyboard.type(":red\n")
    pair.expect(lambda files: files["main.py"] == "ana's\nprint('main')\n# ben's")
