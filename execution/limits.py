"""What a run gets without a word in its request, the most that it may ask for, and the job that follows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from django.conf import settings

from execution.sandbox.job import Job, default_run_limits, prepare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from execution.sandbox.limits import Limits
    from languages import Language


def ceiling(*, interactive: bool) -> dict[str, int]:
    """The most of each limit that one run may ask for. A program that waits for somebody may take longer."""
    most = dict(settings.RUN_LIMITS_CEILING)
    return most | {"wall_ms": settings.RUN_MAX_INTERACTIVE_WALL_MS} if interactive else most


def default_limits(language: Language, *, interactive: bool = False) -> Limits:
    """The language's own limits, as far as they are allowed here."""
    usual = default_run_limits(language, interactive=interactive)
    most = ceiling(interactive=interactive)
    return replace(usual, **{name: min(getattr(usual, name), value) for name, value in most.items()})


def prepare_job(
    language: Language,
    files: Mapping[str, bytes],
    *,
    stdin: bytes = b"",
    args: Sequence[str] = (),
    interactive: bool = False,
    limits: Mapping[str, int] | None = None,
) -> Job:
    """The sandbox's job; `limits` replaces fields of the language's. Raises InvalidJob, with words for its author."""
    defaults = default_limits(language, interactive=interactive)
    return prepare(
        language,
        files,
        stdin=stdin,
        args=tuple(args),
        interactive=interactive,
        run_limits=replace(defaults, **(limits or {})),
    )
