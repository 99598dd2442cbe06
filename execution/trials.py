"""Tries the languages of a worker whose tools nobody tried before, and offers each as soon as it passed.

Runs in a thread beside the worker's reporter, one language after the other, those that most people want first. What
passed is kept in DATA_DIR, so that a restart tries again only what has changed. What was cut short is begun again with
the next report.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import close_old_connections

from execution import availability, probe
from execution.sandbox import selftest
from execution.sandbox.versions import ask_versions
from languages import LANGUAGES, SELF_TESTS
from languages.families import FAMILIES

if TYPE_CHECKING:
    from execution.sandbox.backends import Backend

logger = logging.getLogger(__name__)

KEPT = "self-tests.json"
# A trial leaves the processor to others for so many times as long as it took.
PAUSE_RATIO = 1.0
SANDBOX = Path(selftest.__file__).parent


class Trial(threading.Thread):
    def __init__(self, stopped: threading.Event) -> None:
        super().__init__(name="worker-trial", daemon=True)
        self._stopped = stopped

    def run(self) -> None:
        try:
            try_languages(availability.bare_backend(), self._stopped)
        except Exception:
            logger.exception("the languages could not be tried")
        finally:
            close_old_connections()


def try_languages(backend: Backend, stopped: threading.Event) -> list[str]:
    """Offer what passes, with its version, and say of the rest why not; returns the keys that had to be tried."""
    versions = ask_versions(backend)
    availability.withdraw_untried(versions)
    passed = _Passed(settings.DATA_DIR / KEPT)
    marks = {key: _mark(key, version, backend) for key, version in versions.items()}
    tried, failed = [], []
    for key, mark in marks.items():
        if passed.has(key, mark):
            availability.keep_self_test(key, versions[key], "")
            continue
        tried.append(key)
        result = _try(key, backend, stopped)
        if result is None:
            return tried
        if not result.ok:
            failed.append(key)
            continue
        passed.add(key, mark)
        availability.keep_self_test(key, result.version, "")
    for key in failed:
        # What failed while the machine was busy with something else may pass now.
        result = _try(key, backend, stopped)
        if result is None:
            return tried
        if result.ok:
            passed.add(key, marks[key])
        availability.keep_self_test(key, versions[key], result.reason)
    availability.note_tried()
    return tried


def _try(key: str, backend: Backend, stopped: threading.Event) -> selftest.SelfTestResult | None:
    """None when the worker stops, or when its sandbox itself does not answer, which is no fault of the language."""
    if stopped.is_set():
        return None
    result = selftest.self_test(LANGUAGES[key], backend)
    logger.info("self-test of %s", result)
    if not result.ok and not probe.answers():
        return None
    return None if stopped.wait(PAUSE_RATIO * result.seconds) else result


def _mark(key: str, version: str, backend: Backend) -> str:
    """Changes with whatever a trial depends on: the tools, the sandbox, and what is tried."""
    digest = hashlib.sha256()
    language = LANGUAGES[key]
    for word in (backend.toolset(key), backend.describe(), version, repr(language), repr(FAMILIES[language.family])):
        digest.update(word.encode() + b"\0")
    for path in sorted([*SANDBOX.glob("*.*"), *(SELF_TESTS / key).iterdir()]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


class _Passed:
    """Language key -> the mark with which it passed, in a file. What failed is tried again at every start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._marks: dict[str, str] = {}
        try:
            found = json.loads(path.read_text())
        except (OSError, ValueError):
            return
        if isinstance(found, dict):
            self._marks = found

    def has(self, key: str, mark: str) -> bool:
        return self._marks.get(key) == mark

    def add(self, key: str, mark: str) -> None:
        self._marks[key] = mark
        new = self._path.with_suffix(f".{os.getpid()}-{time.monotonic_ns()}")
        new.write_text(json.dumps(self._marks, indent=1))
        new.replace(self._path)
