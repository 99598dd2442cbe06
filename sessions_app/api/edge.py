"""Shared by the views of several resources: responses about a session, and the errors of changing one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.urls import reverse
from rest_framework import status
from rest_framework.response import Response

from sessions_app.access import Access, access_to
from sessions_app.document import contents
from sessions_app.errors import NotAllowed, RevisionPassed, SessionNotFound, TextTooLarge
from sessions_app.serializers import SessionSerializer
from web.conditional import etag, personal
from web.problems import Invalid
from web.schema import refusals

if TYPE_CHECKING:
    from accounts.access import SignedInRequest
    from sessions_app.models import CodeSession

SESSION_REFUSALS = refusals(SessionNotFound, NotAllowed)
# The errors of changing a session, by whichever method.
CHANGE_REFUSALS = refusals(SessionNotFound, NotAllowed, RevisionPassed, TextTooLarge)


def tag_and_body(access: Access, request: SignedInRequest) -> tuple[str, dict[str, Any]]:
    """Return the tag of the session's state and the body of the response."""
    session = access.session
    revision, content = contents.entry_at_head(session.pk)
    body = SessionSerializer(session, context={"request": request, "access": access}).data
    return tag_of(access, revision), {**body, "content": content}


def show(access: Access, request: SignedInRequest, *, code: int = status.HTTP_200_OK) -> Response:
    tag, body = tag_and_body(access, request)
    return Response(body, status=code, headers={"ETag": personal(tag, request.user)})


def tag_of(access: Access, revision: int) -> str:
    """Return a tag of everything that a response about the session contains."""
    session = access.session
    permission, owner, origin = access.shown_permission, session.owner.username, session.forked_from_id
    return etag(session.version, revision, permission, owner, origin, session.updated_at.isoformat())


def flag(request: SignedInRequest, name: str) -> bool | None:
    value = request.query_params.get(name)
    if value is None:
        return None
    if value not in ("true", "false"):
        raise Invalid(errors={name: ["Use true or false."]})
    return value == "true"


def show_new(request: SignedInRequest, session: CodeSession) -> Response:
    response = show(access_to(request.user, session.pk), request, code=status.HTTP_201_CREATED)
    response["Location"] = reverse("api:session", args=[session.pk])
    return response
