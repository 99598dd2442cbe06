"""What is wrong with an update, or with the document that it was merged into."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Malformed(ValueError):
    """Bytes that are no update or no state vector. Nothing was changed."""


class NotPlain(Malformed):
    """The update holds something that no text of ours may hold. Nothing was changed."""


class NoFile(NotPlain):
    """The update holds a text that no file could ever show. Nothing was changed."""


class HalfCharacter(Malformed):
    """The update cuts characters in two. Nothing was changed. Once those in `parted` are taken out it can be merged;
    with none, it cannot."""

    def __init__(self, parted: Sequence[tuple[int, int]] = ()) -> None:
        super().__init__("a character is cut in two")
        self.parted = parted


class Early(ValueError):
    """The update builds on what has not arrived: of each client in `needs`, so many clocks. Nothing was changed."""

    def __init__(self, needs: dict[int, int]) -> None:
        super().__init__(f"blocks of {len(needs)} clients are not here")
        self.needs = needs


class TooLarge(ValueError):
    """The update would grow a text or the document past its limit. Nothing was changed."""


class TooLong(ValueError):
    """A block of text would be parted in too many places: Replica.part_blocks() comes first. Nothing was changed."""


class Broken(RuntimeError):
    """This replica must be thrown away and loaded again: pycrdt failed half-way through an update, or merged values
    into a text."""


class Differs(RuntimeError):
    """What was merged does not say the same as its parts do one after the other."""


def as_ours(error: BaseException, kind: type[Exception]) -> BaseException:
    """A panic (BaseException) becomes `kind`; what must stop the process or the task stays what it is."""
    if isinstance(error, KeyboardInterrupt | SystemExit | asyncio.CancelledError | MemoryError):
        return error
    return error if isinstance(error, kind) else kind(str(error))
