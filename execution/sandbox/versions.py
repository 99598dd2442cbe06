"""Which languages a backend can run: each tool's version command, asked in one sandbox of that backend."""

import json
import re

from execution.sandbox.backends import Backend
from execution.sandbox.control import Control
from execution.sandbox.errors import SandboxFault
from execution.sandbox.job import BASE_ENVIRONMENT, Job, Status, Step
from execution.sandbox.limits import MIB, Limits
from execution.sandbox.output import StreamName
from execution.sandbox.supervisor import execute
from sessions_app.languages import LANGUAGES

LIMITS = Limits(30_000, 60_000, 1024 * MIB, MIB, 128, 64 * MIB, cpus=2.0)
SCRIPT = b"""
import json, subprocess, sys
found = {}
for key, argv in json.load(sys.stdin).items():
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        continue
    if done.returncode == 0:
        found[key] = (done.stdout + done.stderr).decode("utf-8", "replace")[:400]
print(json.dumps(found))
"""
NUMBER = re.compile(r"\d+(?:\.\d+)+")


class _Collected:
    def __init__(self) -> None:
        self.stdout = b""

    def started(self) -> None:
        pass

    def output(self, stream: StreamName, data: bytes) -> None:
        if stream == "stdout":
            self.stdout += data


def ask_versions(backend: Backend) -> dict[str, str]:
    """Language key -> version number; a language whose compiler or interpreter is absent is left out."""
    question = {}
    for key, language in LANGUAGES.items():
        question[key] = list(language.version_argv)
        if language.compile is not None and language.compile[0] != language.version_argv[0]:
            question[f"{key}:compiler"] = [language.compile[0], "--version"]
    job = Job(
        language="python",
        files={"ask.py": SCRIPT},
        entry="ask.py",
        run=Step(("python3", "ask.py"), BASE_ENVIRONMENT, LIMITS),
        stdin=json.dumps(question).encode(),
    )
    collected = _Collected()
    outcome = execute(job, backend, collected, Control(), "versions")
    if outcome.status is not Status.COMPLETED:
        raise SandboxFault("versions_unknown", "Run `make doctor`.", f"{outcome.status}: {outcome.message}")
    answers: dict[str, str] = json.loads(collected.stdout)
    return {
        key: _number(answers[key])
        for key in LANGUAGES
        if key in answers and (f"{key}:compiler" in answers or f"{key}:compiler" not in question)
    }


def _number(text: str) -> str:
    match = NUMBER.search(text)
    return match.group() if match else text.strip().split("\n")[0][:40]
