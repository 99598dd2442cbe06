"""docs/api.md is run as it stands, names every call of the schema, and lists every error code there is."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

from drf_spectacular.generators import SchemaGenerator

import codecrafter.urls  # noqa: F401 (everything that can refuse a request)
from web.problems import DomainError

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "api.md"
TEXT = PAGE.read_text()
# A command of the page fails the test when the server refuses it; what it sent is noted.
CURL = """
curl() {
    printf '%q ' "$@" >> "$SENT"; echo >> "$SENT"
    command curl -sS --fail-with-body --max-time 120 "$@" && echo
}
"""
# Refusals that are no DomainError, and one that no request meets.
OTHERS = {
    ("not_authenticated", 401),
    ("scope_missing", 403),
    ("invalid_json", 400),
    ("method_not_allowed", 405),
    ("not_acceptable", 406),
    ("unsupported_media_type", 415),
    ("body_too_large", 413),
    ("head_too_large", 431),
    ("malformed_request", 400),
    ("request_too_slow", 408),
    ("too_busy", 503),
    ("internal_error", 500),
    ("database_unavailable", 503),
}
ELSEWHERE = {"demo_refused"}


def examples():
    """(commands, what the last of them answers or None), in the order of the page."""
    blocks = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
    for (kind, body), (kind_after, after) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if kind == "sh":
            yield body, json.loads(after) if kind_after == "json" else None


def shape(value):
    """The names of a JSON value, without what only fills it."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items() if name not in ("metadata", "stats", "limits")}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return None


def operations():
    """(method, path as a pattern) of every call."""
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return {(method.upper(), path) for path, verbs in paths.items() for method in verbs if method in METHODS}


# A guest comes through a page, so the story has none to take out.
NOT_IN_STORY = {
    ("DELETE", "/api/sessions/{session_id}/guests/{user_id}"),
    ("PATCH", "/api/sessions/{session_id}/guest-name"),
}
METHODS = ("get", "put", "post", "patch", "delete")


def called(sent: str, base: str):
    """(method, path) of each noted command line."""
    for line in sent.splitlines():
        words = shlex.split(line)
        url = next(word for word in words if word.startswith(base))
        has_body = any(word in ("-d", "--data-binary") for word in words)
        method = words[words.index("-X") + 1] if "-X" in words else "POST" if has_body else "GET"
        yield method, "/api" + url.removeprefix(base).partition("?")[0]


def test_the_examples_work_answer_as_shown_and_leave_no_call_out(server, tmp_path):
    server.wait_for_languages()
    base, sent = f"{server.url}/api", tmp_path / "sent"
    shown = list(examples())
    script = CURL + "".join(
        f"{{\n{commands}\n}} > {tmp_path}/answer{number}\n" for number, (commands, _) in enumerate(shown)
    )
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "API": base, "SENT": str(sent)},
        capture_output=True,
        text=True,
        check=False,
    )
    said = [path.read_text() for path in sorted(tmp_path.glob("answer*"), key=lambda path: path.stat().st_mtime)]
    assert done.returncode == 0, (done.stderr, said[-1:], sent.read_text().splitlines()[-1])
    for number, (commands, expected) in enumerate(shown):
        if expected is not None:
            last = (tmp_path / f"answer{number}").read_text().strip().splitlines()[-1]
            assert shape(json.loads(last)) == shape(expected), commands
    made = set(called(sent.read_text(), base))
    missing = {
        (method, path)
        for method, path in operations() - NOT_IN_STORY
        if not any(
            method == verb and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path.replace(".", r"\.")), target)
            for verb, target in made
        )
    }
    assert not missing


def codes():
    found, kinds = set(OTHERS), [DomainError]
    while kinds:
        kinds += (kind := kinds.pop()).__subclasses__()
        if kind is not DomainError and kind.__module__.partition(".")[0] != "tests" and kind.code not in ELSEWHERE:
            found.add((kind.code, kind.status))
    return found


def test_every_error_code_is_listed_with_its_status():
    listed = re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \|", TEXT, re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert {(code, int(status)) for code, status in listed} == codes()
