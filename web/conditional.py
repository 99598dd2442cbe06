"""ETag, If-Match and If-None-Match over a row's `version`, so that one person's change is not lost under another's.

A tag is "VERSION", or "VERSION.DIGEST" where an answer shows more than the row, and names the person it was given to.
If-Match compares the versions: it guards the row, and says nothing of the rest. If-None-Match compares all of it.
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
    """The tag of an answer made of a row at `version` and of `shown`, each of which has a text that names its state."""
    if not shown:
        return f'"{version}"'
    digest = hashlib.sha256("\n".join(map(str, shown)).encode()).hexdigest()[:16]
    return f'"{version}.{digest}"'


def personal(tag: str, reader: AbstractBaseUser) -> str:
    """The tag as it leaves: what one person has been given is nothing that another has."""
    return f'{tag[:-1]}.{reader.pk}"'


def check_if_match(request: Request, version: int) -> None:
    """Raise PreconditionFailed when the request names a version and it is not the current one."""
    wanted = _tags(request, "If-Match")
    if wanted and "*" not in wanted and str(version) not in {tag.strip('"').partition(".")[0] for tag in wanted}:
        raise PreconditionFailed


def unchanged(request: Request, tag: str) -> Response | None:
    """The 304 for somebody who has what `tag` stands for already."""
    had = _tags(request, "If-None-Match")
    return Response(status=304, headers={"ETag": tag}) if tag in had or "*" in had else None


def _tags(request: Request, header: str) -> list[str]:
    """Weak ones are taken for strong ones: a compressed answer has a weak tag, whoever compressed it."""
    tags = (tag.strip() for tag in request.headers.get(header, "").split(","))
    return [tag.removeprefix("W/") for tag in tags if tag]
