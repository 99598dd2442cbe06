"""Which languages a backend can run: each tool's version command, asked in one sandbox for all that share its kind."""

import json
import re
from collections.abc import Hashable, Iterable

from execution.sandbox.backends import Backend
from execution.sandbox.control import Control
from execution.sandbox.errors import SandboxFault
from execution.sandbox.job import BASE_ENVIRONMENT, Job, Status, Step
from execution.sandbox.limits import MIB, Limits
from execution.sandbox.output import Collected
from execution.sandbox.supervisor import execute
from languages import LANGUAGES, Language

LIMITS = Limits(60_000, 120_000, 1024 * MIB, MIB, 128, 64 * MIB, cpus=2.0)
# A family whose image was not built is no fault: its languages are absent.
ABSENT = ("image_absent", "image_stale")
SCRIPT = b"""
import json, os, subprocess, sys
from concurrent.futures import ThreadPoolExecutor

def ask(item):
    key, (argv, environment) = item
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, env={**os.environ, **environment}
        )
    except (OSError, subprocess.TimeoutExpired):
        return key, None
    return key, (done.stdout + done.stderr).decode("utf-8", "replace")[:400] if done.returncode == 0 else None

with ThreadPoolExecutor(2) as pool:
    answers = pool.map(ask, json.load(sys.stdin).items())
print(json.dumps({key: answer for key, answer in answers if answer is not None}))
"""
DOTTED = re.compile(r"\d+(?:\.\d+)+")
NUMBER = re.compile(r"\d+")


def ask_versions(backend: Backend) -> dict[str, str]:
    """Language key -> version number. Takes seconds.

    A language is left out when its compiler or interpreter is absent, or its self-test failed when its image was made.
    """
    together: dict[Hashable, list[Language]] = {}
    for language in LANGUAGES.values():
        together.setdefault(backend.shape(LIMITS, language.key), []).append(language)
    found: dict[str, str] = {}
    for languages in together.values():
        try:
            found |= _ask(languages, backend)
        except SandboxFault as fault:
            if fault.code not in ABSENT:
                raise
    failures = backend.failures() or {}
    return {key: found[key] for key in LANGUAGES if key in found and key not in failures}


def ask_version(language: Language, backend: Backend) -> str:
    """The version of one language's tool. Raises SandboxFault when it does not answer."""
    try:
        return _ask([language], backend)[language.key]
    except KeyError:
        tool = language.version_argv[0]
        raise SandboxFault(
            "tool_missing", f"Install {tool}, or run `make images-all`.", f"{tool} does not answer"
        ) from None


def _ask(languages: Iterable[Language], backend: Backend) -> dict[str, str]:
    """Of languages that live in one image."""
    languages = list(languages)
    question = {}
    for language in languages:
        question[language.key] = (list(language.version_argv), dict(language.environment))
        if language.compile is not None and language.compile[0] != language.version_argv[0]:
            question[f"{language.key}:compiler"] = ([language.compile[0], "--version"], {})
    job = Job(
        language=languages[0].key,
        files={"ask.py": SCRIPT},
        entry="ask.py",
        run=Step(("python3", "ask.py"), BASE_ENVIRONMENT, LIMITS),
        stdin=json.dumps(question).encode(),
    )
    collected = Collected()
    outcome = execute(job, backend, collected, Control(), "versions")
    if outcome.status is not Status.COMPLETED:
        raise SandboxFault("versions_unknown", "Run `make doctor`.", f"{outcome.status}: {outcome.message}")
    answers: dict[str, str] = json.loads(collected.stdout)
    return {
        key: _number(answers[key])
        for key in (language.key for language in languages)
        if key in answers and (f"{key}:compiler" in answers or f"{key}:compiler" not in question)
    }


def _number(text: str) -> str:
    """Empty where a tool answers without naming its version."""
    match = DOTTED.search(text) or NUMBER.search(text)
    return match.group() if match else ""
