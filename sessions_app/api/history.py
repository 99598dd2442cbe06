"""The history of a session: who wrote when, old revisions, and restoring one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from accounts.guests import open_to_guests
from sessions_app import actions
from sessions_app.access import Action, access_to
from sessions_app.document import history
from sessions_app.document.texts import MAIN
from sessions_app.errors import FileNotListed, NotAllowed, RevisionUnknown, SessionNotFound, TextTooLarge, TooManyFiles
from sessions_app.serializers import (
    HistoryStepSerializer,
    PastFileSerializer,
    PastRestoreInput,
    PastTextSerializer,
    RestoredSerializer,
)
from web.paging import Paging, WrongCursor, refuse_unknown_parameters
from web.parsers import valid
from web.schema import PAGE, page_of, refusals

if TYPE_CHECKING:
    from uuid import UUID

    from accounts.access import SignedInRequest


@open_to_guests
class HistoryList(APIView):
    """Who changed the text when, newest first. Continue with the `cursor` from `next`."""

    @extend_schema(
        operation_id="history_list",
        parameters=PAGE,
        responses={200: page_of(HistoryStepSerializer), **refusals(SessionNotFound)},
    )
    def get(self, request: SignedInRequest, session_id: UUID) -> Response:
        access = access_to(request.user, session_id)
        refuse_unknown_parameters(request, ())
        steps, cursor = history.steps(
            access.session.pk, before=self._before(request), most=Paging().get_page_size(request)
        )
        url = request.build_absolute_uri()
        return Response(
            {
                "next": replace_query_param(url, "cursor", cursor) if cursor else None,
                "previous": None,
                "results": HistoryStepSerializer(steps, many=True).data,
            }
        )

    def _before(self, request: SignedInRequest) -> int | None:
        """Read the cursor, which in this list is the revision that the last page stopped at."""
        given = request.query_params.get("cursor")
        if given is None:
            return None
        if not (given.isascii() and given.isdigit() and len(given) <= 18):
            raise WrongCursor
        return int(given)


@open_to_guests
class PastText(APIView):
    """The files at a revision, which must be the `last_revision` of a step of the history, and the text of one.

    Other revisions are 404 `revision_unknown`; they are never answered with the text of a nearby one.
    """

    @extend_schema(
        operation_id="history_read",
        parameters=[OpenApiParameter("file", str, description="The id of the file to read; `main` by default.")],
        responses={200: PastTextSerializer, **refusals(SessionNotFound, RevisionUnknown, FileNotListed)},
    )
    def get(self, request: SignedInRequest, session_id: UUID, revision: int) -> Response:
        refuse_unknown_parameters(request, ("file",), is_paged=False)
        access = access_to(request.user, session_id)
        file_id = request.query_params.get("file", MAIN)
        file, every = history.file_at(access.session.pk, revision, file_id)
        shown = PastFileSerializer(every, many=True).data
        body = {"revision": revision, "file": file.id, "path": file.path, "content": file.text, "files": shown}
        return Response(body)


@open_to_guests
class PastRestore(APIView):
    """Restores the text of every file, or of `file`, from a revision, by small edits, live for everybody.

    Files deleted since are listed again, and files created since stay. The response has the new revision.
    """

    @extend_schema(
        operation_id="history_restore",
        request=PastRestoreInput,
        responses={
            200: RestoredSerializer,
            **refusals(SessionNotFound, NotAllowed, RevisionUnknown, FileNotListed, TooManyFiles, TextTooLarge),
        },
    )
    def post(self, request: SignedInRequest, session_id: UUID, revision: int) -> Response:
        access = access_to(request.user, session_id, Action.EDIT)
        file_id = valid(PastRestoreInput(data=request.data)).get("file")
        return Response({"revision": actions.restore_text(access, request.user, revision, file_id)})
