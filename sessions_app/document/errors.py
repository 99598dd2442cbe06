"""Errors of updates, and of the documents that they were merged into."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Malformed(ValueError):
    """The bytes are not an update or not a state vector. Nothing was changed."""


class NotPlain(Malformed):
    """The update contains something that a shared text may not contain. Nothing was changed."""


class NoFile(NotPlain):
    """The update contains a text that cannot belong to any file. Nothing was changed."""


class HalfCharacter(Malformed):
    """The update cuts characters in two. Nothing was changed. Once those in `parted` are taken out it can be merged;
    with none, it cannot."""

    def __init__(self, parted: Sequence[tuple[int, int]] = ()) -> None:
        super().__init__("a character is cut in two")
        self.parted = parted


class Early(ValueError):
    """The update builds on blocks that have not arrived (`needs`: clocks by client). Nothing was changed."""

    def __init__(self, needs: dict[int, int]) -> None:
        super().__init__(f"blocks of {len(needs)} clients are not here")
        self.needs = needs


class TooLarge(ValueError):
    """The update would grow a text or the document beyond its limit. Nothing was changed."""


class TooLong(ValueError):
    """A block of text would be split in too many places: call Replica.part_blocks() first. Nothing was changed."""


class Broken(RuntimeError):
    """This replica must be thrown away and loaded again: pycrdt failed half-way through an update, or merged values
    into a text."""


class Differs(RuntimeError):
    """The merge does not equal its parts applied one by one."""


def as_ours(error: BaseException, kind: type[Exception]) -> BaseException:
    """Turn a panic (BaseException) into `kind`, except for exceptions that must stop the process or the task."""
    if isinstance(error, KeyboardInterrupt | SystemExit | asyncio.CancelledError | MemoryError):
        return error
    return error if isinstance(error, kind) else kind(str(error))
