"""What a run gets without a word in its request, and the most that it may ask for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from django.conf import settings

from execution.sandbox.job import default_run_limits

if TYPE_CHECKING:
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
