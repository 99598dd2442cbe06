"""ETag and If-Match over a row's `version`, so that one person's change is not lost under another's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codecrafter.http.problems import DomainError

if TYPE_CHECKING:
    from rest_framework.request import Request


class PreconditionFailed(DomainError):
    code = "changed_meanwhile"
    status = 412
    detail = "This was changed by somebody else since you read it. Read it again and repeat your change."


def etag(version: int) -> str:
    return f'"{version}"'


def check_if_match(request: Request, version: int) -> None:
    """Raise PreconditionFailed when the request names a version and it is not the current one."""
    wanted = request.headers.get("If-Match", "").strip()
    if wanted and wanted != "*" and etag(version) not in [tag.strip() for tag in wanted.split(",")]:
        raise PreconditionFailed
