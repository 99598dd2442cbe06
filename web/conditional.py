"""ETag, If-Match and If-None-Match from a row's `version`, so that concurrent changes do not overwrite each other.

A tag is "VERSION", or "VERSION.DIGEST" if a response shows more than the row, and names the user it was sent to.
If-Match compares versions only: it guards the row and nothing else. If-None-Match compares the whole tag.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from rest_framework.response import Response

from web.problems import DomainError

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser
    from rest_framework.request import Request


class PreconditionFailed(DomainError):
    code = "changed_meanwhile"
    status = 412
    detail = "Somebody else changed this after you read it. Read it again and repeat your change."


def etag(version: int, *shown: object) -> str:
    """Return the tag of a response made from a row at `version` and from `shown`, whose texts identify their state."""
    if not shown:
        return f'"{version}"'
    digest = hashlib.sha256("\n".join(map(str, shown)).encode()).hexdigest()[:16]
    return f'"{version}.{digest}"'


def personal(tag: str, reader: AbstractBaseUser) -> str:
    """Return the tag as sent: bound to the reader, because a response to one user is no copy for another."""
    return f'{tag[:-1]}.{reader.pk}"'


def check_if_match(request: Request, version: int) -> None:
    """Raise PreconditionFailed if the request names a version that is not the current one."""
    wanted = _tags(request, "If-Match")
    if wanted and "*" not in wanted and str(version) not in {tag.strip('"').partition(".")[0] for tag in wanted}:
        raise PreconditionFailed


def unchanged(request: Request, tag: str) -> Response | None:
    """Return a 304 if the caller already has the state that `tag` stands for."""
    had = _tags(request, "If-None-Match")
    return Response(status=304, headers={"ETag": tag}) if tag in had or "*" in had else None


def _tags(request: Request, header: str) -> list[str]:
    """Return the tags in a header. Weak tags count as strong: compression, ours or a proxy's, weakens them."""
    tags = (tag.strip() for tag in request.headers.get(header, "").split(","))
    return [tag.removeprefix("W/") for tag in tags if tag]
