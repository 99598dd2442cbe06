"""The files of a session, and its deleted files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.guests import open_to_guests
from accounts.models import User
from sessions_app import files
from sessions_app.access import Action, access_to
from sessions_app.document import contents
from sessions_app.errors import (
    EntryStays,
    FileNotListed,
    NotAllowed,
    PathTaken,
    RevisionPassed,
    SessionNotFound,
    TextTooLarge,
    TooManyFiles,
)
from sessions_app.serializers import (
    BringBackInput,
    DeletedFileDetailSerializer,
    DeletedFileSerializer,
    FileChangeInput,
    FileDetailSerializer,
    FileSerializer,
    NewFileInput,
)
from web.paging import refuse_unknown_parameters
from web.parsers import valid
from web.schema import refusals

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from accounts.access import SignedInRequest
    from sessions_app.document.texts import DeletedFile
    from sessions_app.models import CodeSession

NEW_FILE_REFUSALS = refusals(SessionNotFound, NotAllowed, PathTaken, TooManyFiles, TextTooLarge)
FILE_REFUSALS = refusals(
    SessionNotFound, FileNotListed, NotAllowed, PathTaken, EntryStays, RevisionPassed, TextTooLarge
)


def _file(session: CodeSession, file_id: str, *, code: int = status.HTTP_200_OK) -> Response:
    revision, file = files.find_file(session, file_id)
    body = {**FileSerializer(file).data, "content": file.text, "revision": revision}
    return Response(body, status=code)


@open_to_guests
class FileList(APIView):
    """The session's files, with the entry file first."""

    @extend_schema(operation_id="files_list", responses=FileSerializer(many=True))
    def get(self, request: SignedInRequest, session_id: UUID) -> Response:
        refuse_unknown_parameters(request, (), is_paged=False)
        access = access_to(request.user, session_id)
        _, listed = contents.files_listed(access.session.pk)
        return Response(FileSerializer(listed, many=True).data)

    @extend_schema(
        operation_id="files_create", request=NewFileInput, responses={201: FileDetailSerializer, **NEW_FILE_REFUSALS}
    )
    def post(self, request: SignedInRequest, session_id: UUID) -> Response:
        access = access_to(request.user, session_id, Action.EDIT)
        given = valid(NewFileInput(data=request.data))
        file_id = files.create_file(access, request.user, given["path"], given["content"])
        response = _file(access.session, file_id, code=status.HTTP_201_CREATED)
        response["Location"] = reverse("api:file", args=[session_id, file_id])
        return response


@open_to_guests
class FileDetail(APIView):
    """One file. The entry file has the id `main`. The language determines its name, and it cannot be deleted."""

    @extend_schema(operation_id="files_read", responses=FileDetailSerializer)
    def get(self, request: SignedInRequest, session_id: UUID, file_id: str) -> Response:
        return _file(access_to(request.user, session_id).session, file_id)

    @extend_schema(
        operation_id="files_change", request=FileChangeInput, responses={200: FileDetailSerializer, **FILE_REFUSALS}
    )
    def patch(self, request: SignedInRequest, session_id: UUID, file_id: str) -> Response:
        access = access_to(request.user, session_id, Action.EDIT)
        files.change_file(access, request.user, file_id, **valid(FileChangeInput(data=request.data)))
        return _file(access.session, file_id)

    @extend_schema(operation_id="files_delete", request=None, responses={204: None, **FILE_REFUSALS})
    def delete(self, request: SignedInRequest, session_id: UUID, file_id: str) -> Response:
        files.delete_file(access_to(request.user, session_id, Action.EDIT), request.user, file_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _shown_deleted(deleted: Sequence[DeletedFile]) -> list[dict[str, Any]]:
    users = User.objects.filter(pk__in=[file.user_id for file in deleted if file.user_id])
    people = {str(user.pk): user for user in users}
    return [
        {
            "id": file.id,
            "path": file.path,
            "size_bytes": len(file.text.encode()),
            "deleted_by": people.get(file.user_id or ""),
            "deleted_at": file.deleted_at,
        }
        for file in deleted
    ]


@open_to_guests
class DeletedFileList(APIView):
    """The deleted files that can be restored, most recently deleted first.

    Older ones are in the history: read the files of a revision, and restore one.
    """

    @extend_schema(operation_id="files_deleted_list", responses=DeletedFileSerializer(many=True))
    def get(self, request: SignedInRequest, session_id: UUID) -> Response:
        refuse_unknown_parameters(request, (), is_paged=False)
        _, deleted = contents.files_deleted(access_to(request.user, session_id).session.pk)
        return Response(DeletedFileSerializer(_shown_deleted(deleted), many=True).data)


@open_to_guests
class DeletedFileDetail(APIView):
    """A deleted file with its text, including what was typed into it before its deletion reached everybody."""

    @extend_schema(
        operation_id="files_deleted_read",
        responses={200: DeletedFileDetailSerializer, **refusals(SessionNotFound, FileNotListed)},
    )
    def get(self, request: SignedInRequest, session_id: UUID, file_id: str) -> Response:
        revision, file = files.find_deleted(access_to(request.user, session_id).session, file_id)
        (shown,) = DeletedFileSerializer(_shown_deleted([file]), many=True).data
        return Response({**shown, "content": file.text, "revision": revision})


@open_to_guests
class DeletedFileRestore(APIView):
    """Restores a deleted file, live for everybody: under `path`, or else under its old path or a similar one."""

    @extend_schema(
        operation_id="files_deleted_restore",
        request=BringBackInput,
        responses={
            200: FileDetailSerializer,
            **refusals(SessionNotFound, FileNotListed, NotAllowed, PathTaken, TooManyFiles),
        },
    )
    def post(self, request: SignedInRequest, session_id: UUID, file_id: str) -> Response:
        access = access_to(request.user, session_id, Action.EDIT)
        files.bring_back(access, request.user, file_id, **valid(BringBackInput(data=request.data)))
        return _file(access.session, file_id)
