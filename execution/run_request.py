"""What somebody asks to have run: made by the serializer, taken by actions.submit_run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from web.problems import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from languages import Language


@dataclass(frozen=True)
class RunRequest:
    """Without `code` and `files` the session's text at its committed head runs, without `language` in the session's.

    `limits` replaces fields of the language's limits; `tests` are as TestCaseInput checked them. `sent` is the request
    as it came in, to tell a repeated one from a reused `idempotency_key`. Guests are counted by their `address` too.
    """

    session_id: UUID | None = None
    language: Language | None = None
    code: bytes | None = None
    files: Mapping[str, bytes] | None = None
    stdin: bytes = b""
    args: Sequence[str] = ()
    interactive: bool = False
    limits: Mapping[str, int] = field(default_factory=dict)
    tests: Sequence[Mapping[str, Any]] = ()
    stop_on_failure: bool = False
    sent: Any = None
    idempotency_key: str = ""
    address: str = ""

    def digest(self) -> str:
        """Name what was sent; empty where nobody will ask."""
        if not self.idempotency_key:
            return ""
        return hashlib.sha256(json.dumps(self.sent, sort_keys=True).encode()).hexdigest()

    def program(self, language: Language) -> Mapping[str, bytes] | None:
        """The files that came along, the entry file under the name that the language expects; None when none came.

        Raises Invalid when none of several files has that name.
        """
        if self.code is not None:
            return {language.file_name: self.code}
        if self.files is None or language.file_name in self.files:
            return self.files
        if len(self.files) > 1:
            needed = f"One file must be named {language.file_name}: the program starts there."
            raise Invalid(errors={"files": [{"message": needed, "code": "no_entry"}]})
        return {language.file_name: next(iter(self.files.values()))}
