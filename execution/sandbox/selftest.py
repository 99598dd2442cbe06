"""Tries a language in a real sandbox: it prints, reads its input, refuses a broken program and exits with 3.

The programs are languages/selftests/KEY/; called by execution/images/build.py and `manage.py selftest`.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from execution.sandbox.backends import Backend
from execution.sandbox.control import Control
from execution.sandbox.errors import SandboxFault
from execution.sandbox.job import Outcome, Status, prepare
from execution.sandbox.output import Collected
from execution.sandbox.supervisor import execute
from execution.sandbox.versions import ask_version
from languages import LANGUAGES, SELF_TESTS, Language

# What greet.* reads, where the folder of the language holds no input.txt.
INPUT = b"Ada\n"
GREETING = b"Hello, Ada!"
STARTER_OUTPUT = b"Hello, Ada!\nHello, Grace!\nHello, Linus!"
EXIT_CODE = 3
SHOWN_BYTES = 300


@dataclass(frozen=True)
class SelfTestResult:
    """`reason` is empty when all went well; `seconds` is what all its programs took together."""

    key: str
    ok: bool
    version: str
    reason: str
    seconds: float

    def __str__(self) -> str:
        version = f", {self.version}" if self.version else ""
        said = f"ok{version}" if self.ok else f"failed: {self.reason}"
        return f"{self.key}: {said} ({self.seconds:.1f} s)"


def run(
    keys: Iterable[str], backend: Backend, report: Callable[[SelfTestResult], None] = lambda result: None
) -> list[SelfTestResult]:
    """Self-tests of these languages one after another, each reported as soon as it is there."""
    results = []
    for key in keys:
        result = self_test(LANGUAGES[key], backend)
        report(result)
        results.append(result)
    return results


def self_test(language: Language, backend: Backend) -> SelfTestResult:
    """Never raises for what is wrong with the language or its image: that is the reason."""
    begun = time.monotonic()
    version = ""
    try:
        version = ask_version(language, backend)
        reason = _first_fault(language, backend)
    except SandboxFault as fault:
        reason = str(fault)
    return SelfTestResult(language.key, not reason, version, reason, time.monotonic() - begun)


def program(language: Language, name: str) -> bytes | None:
    """The source of greet, broken or exit3 for this language, None where it has none."""
    for path in (SELF_TESTS / language.key).glob(f"{name}.*"):
        return path.read_bytes()
    return None


def try_program(language: Language, source: bytes, stdin: bytes, backend: Backend) -> tuple[Outcome, Collected]:
    heard = Collected()
    job = prepare(language, {language.file_name: source}, stdin=stdin)
    return execute(job, backend, heard, Control(), f"selftest-{language.key}"), heard


def _first_fault(language: Language, backend: Backend) -> str:
    stdin = SELF_TESTS / language.key / "input.txt"
    typed = stdin.read_bytes() if stdin.exists() else INPUT
    for name, source, given, wanted in (
        ("the starter program", language.hello.encode(), b"", STARTER_OUTPUT),
        ("greet", program(language, "greet"), typed, GREETING),
    ):
        if source is None:
            return f"{name} is missing"
        outcome, heard = try_program(language, source, given, backend)
        if outcome.status is not Status.COMPLETED or heard.stdout.strip() != wanted:
            return _described(name, outcome, heard)
    broken = program(language, "broken")
    if broken is None:
        return "broken is missing"
    outcome, heard = try_program(language, broken, b"", backend)
    refused = outcome.status is Status.COMPILE_ERROR or (outcome.status is Status.FAILED and bool(outcome.exit_code))
    if not refused or outcome.stats["limit"] is not None:
        return _described("broken", outcome, heard)
    if not language.exits:
        return ""
    exits = program(language, "exit3")
    if exits is None:
        return "exit3 is missing"
    outcome, heard = try_program(language, exits, b"", backend)
    if outcome.exit_code != EXIT_CODE or outcome.status is not Status.FAILED:
        return _described("exit3", outcome, heard)
    return ""


def _described(name: str, outcome: Outcome, heard: Collected) -> str:
    said = (outcome.compile_output + heard.stderr + heard.stdout)[:SHOWN_BYTES].decode("utf-8", "replace").strip()
    parts = [f"{name}: {outcome.status}", f"exit {outcome.exit_code}", outcome.message, repr(said)]
    return ", ".join(part for part in parts if part)
