"""docs/protocol.md names what the code says: frames, close codes, errors; its bytes are read, its example is run."""

from __future__ import annotations

import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from realtime.wire import close_codes, protocol
from sessions_app import errors, messages

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "docs" / "protocol.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
EXAMPLE = ROOT / "docs" / "examples" / "plain_client.py"


def rows(section: str) -> list[list[str]]:
    """The cells of every table row of a section, without the heads."""
    lines = [line for line in SECTIONS[section].split("From the client:")[0].splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [row for row, after in zip(cells, [*cells[1:], [""]], strict=True) if "---" not in row[0] + after[0]]


def type_of(frame: type) -> str:
    hints = typing.get_type_hints(frame, include_extras=True)
    return typing.get_args(hints["type"])[0]


def members(frame: type) -> set[str]:
    return {
        f"{name}?" if typing.get_origin(hint) is typing.NotRequired else name
        for name, hint in typing.get_type_hints(frame, include_extras=True).items()
        if name != "type"
    }


def first_words(cell: str) -> set[str]:
    """The names of members in `a {b, c}`, `d?`: what is in braces or brackets belongs to its member."""
    return {name for code in re.findall(r"`([^`]+)`", cell) for name in [re.match(r"[\w.-]+\??", code)[0]]}


PAGE = {kind.type for kind in typing.get_args(messages.ClientPageMessage)}
FRAMES = typing.get_args(messages.ServerMessage)
PLAIN = (
    messages.State,
    messages.CodeChange,
    messages.ChangeAck,
    messages.ChangeRefused,
    messages.CursorMove,
    messages.KeepAlive,
)


def test_every_frame_of_the_server_is_documented_and_nothing_else() -> None:
    documented = {row[0].strip("`"): first_words(row[1]) for row in rows("Text frames of `codecrafter.v1`")}
    said = {type_of(frame): members(frame) for frame in FRAMES if frame not in PLAIN}
    said = {kind: names for kind, names in said.items() if kind != "notice"} | {"notice": {"kind", "by"}}
    assert documented == said


def test_every_notice_is_documented() -> None:
    kinds = {}
    for notice in typing.get_args(messages.AnyNotice):
        hints = typing.get_type_hints(notice)
        kinds[typing.get_args(hints["kind"])[0]] = set(hints) - {"type", "kind", "by"}
    listed = re.search(r"^Notices: (.*?)\n\n", TEXT, re.MULTILINE | re.DOTALL)[1]
    documented = {kind: set(re.findall(r"`(\w+)`", more)) for kind, more in re.findall(r"`(\w+)` \(([^)]*)\)", listed)}
    assert documented == kinds


def test_every_frame_of_plain_clients_is_documented() -> None:
    documented = {
        (row[0].strip("`"), row[1]): first_words(row[2]) for row in rows("Text frames of `codecrafter.json.v1`")
    }
    for frame in PLAIN:
        said = members(frame)
        if frame is messages.ChangeRefused:
            said = {name.rstrip("?") if name != "ref?" else name for name in said} | {"version_passed"}
        if frame is messages.State:
            said |= {"title", "language"}
        assert documented.pop((type_of(frame), "server")) == said
    assert {kind for kind, _ in documented} == {kind.type for kind in typing.get_args(messages.ClientMessage)} - PAGE


def test_every_message_of_the_page_is_documented() -> None:
    section = SECTIONS["Text frames of `codecrafter.v1`"]
    listed = re.findall(r"^\| `([a-z.-]+)` \|", section[section.index("From the client:") :], re.MULTILINE)
    assert set(listed) == PAGE


def test_every_close_code_is_documented() -> None:
    codes = {value for name, value in vars(close_codes).items() if name.isupper()}
    assert {int(row[0]) for row in rows("Close codes")} == codes


def test_every_error_code_is_documented() -> None:
    said = set()
    for module in (ROOT / "realtime").rglob("*.py"):
        said |= set(re.findall(r"(?:tell_error|_refuse)\(\s*\"(\w+)\"", module.read_text()))
    # How a frame that cannot be read is answered, unless it says otherwise.
    said |= set(re.findall(r"\bcode(?:: str = |=)\"(\w+)\"", (ROOT / "realtime" / "wire" / "text.py").read_text()))
    said |= {
        kind.code for kind in (errors.NotAllowed, errors.SessionNotFound, errors.NothingSaid, errors.MessageTooLong)
    }
    listed = re.search(r"Codes of `error`: (.*?)\.\n", TEXT, re.DOTALL)[1]
    assert set(re.findall(r"`(\w+)`", listed)) == said
    refused = {
        code
        for frame in (messages.Refused, messages.ChangeRefused)
        for code in typing.get_args(typing.get_type_hints(frame)["code"])
    }
    assert all(f"`{code}`" in TEXT for code in refused)


@pytest.mark.parametrize(("written", "name"), [row[:2] for row in rows("Binary frames")])
def test_documented_bytes_are_what_they_are_called(written: str, name: str) -> None:
    frame = bytes.fromhex(written.strip("`"))
    if name == "Denied":
        assert frame == protocol.encode_denied("no")
        return
    (message,) = protocol.decode(frame)
    assert type(message).__name__ == name
    match message:
        case protocol.SyncStep1(state):
            assert protocol.encode_step1(state) == frame
        case protocol.SyncStep2(update):
            assert protocol.encode_step2(update) == frame
        case protocol.SyncUpdate(update):
            assert protocol.encode_update(update) == frame
        case protocol.Awareness(entries):
            assert protocol.encode_awareness(entries) == frame


def test_example_client_runs_as_it_stands(server) -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 60
    alice = server.person("alice")
    session_id = alice.new_session(content="# 👩\n")["id"]
    with subprocess.Popen(
        [sys.executable, EXAMPLE, alice.socket_url(session_id), alice.access, "print('é')"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as client:
        try:
            printed = iter(client.stdout.readline, "")
            seen = ""
            for line in printed:
                seen += line
                if line.startswith("--- saved"):
                    break
            assert re.search(r"--- version \d+\n# 👩\n", seen), seen
            assert f"--- {alice.username} made version" in seen, seen
            assert alice.text(session_id) == "# 👩\nprint('é')\n"
            alice.call("PATCH", f"/api/sessions/{session_id}", 200, json={"content": "# 👩!\nprint('é')\n"})
            for line in printed:
                if line == "# 👩!\n":
                    break
            else:
                raise AssertionError("the change of somebody else was not printed")
        finally:
            client.kill()
