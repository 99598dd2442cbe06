"""/api/sessions: parse, ask access, call the action, render."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db.models import F, OuterRef, Subquery
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers, status
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

import languages
from accounts.bearer import ACCOUNT, require_scope
from accounts.errors import GuestNameRefused, TicketsUnavailable
from accounts.guests import open_to_guests
from accounts.models import Scope, User
from accounts.socket_auth import issue_ticket
from languages.templates import templates_of
from sessions_app import actions, files, moderation, sharing, zips
from sessions_app.access import Action, Standing, archived_standing, standing_in
from sessions_app.document import contents, history
from sessions_app.document.texts import MAIN, DeletedFile
from sessions_app.errors import (
    AlreadyReported,
    ArchiveRefused,
    ArchiveTooLarge,
    EntryStays,
    FileNotListed,
    InviteNotFound,
    MessageTooLong,
    NoCollaborator,
    NotAllowed,
    NothingSaid,
    OwnerStays,
    PathTaken,
    PersonNotFound,
    RevisionPassed,
    RevisionUnknown,
    SessionNotFound,
    StorageFull,
    TextTooLarge,
    TooManyFiles,
    TooManyInvites,
)
from sessions_app.models import CodeSession, Collaborator
from sessions_app.serializers import (
    BringBackInput,
    ChatInput,
    ChatMessageSerializer,
    CollaboratorChangeInput,
    CollaboratorInput,
    CollaboratorSerializer,
    DeletedFileDetailSerializer,
    DeletedFileSerializer,
    FileChangeInput,
    FileDetailSerializer,
    FileSerializer,
    ForkInput,
    GuestNameInput,
    GuestSerializer,
    HistoryStepSerializer,
    ImportInput,
    InviteInput,
    InviteSerializer,
    JoinInput,
    MadeInviteSerializer,
    NewFileInput,
    PastFileSerializer,
    PastRestoreInput,
    PastTextSerializer,
    ReportInput,
    ReportSerializer,
    RestoredSerializer,
    SessionChangeInput,
    SessionCreateInput,
    SessionDetailSerializer,
    SessionReplaceInput,
    SessionSerializer,
    TemplateSerializer,
    TransferInput,
)
from web import answers
from web.conditional import PreconditionFailed, check_if_match, etag, personal, unchanged
from web.paging import Paging, Together, WrongCursor, refuse_unknown_parameters
from web.problems import Invalid
from web.schema import ETAG, FLAG, IF_MATCH, IF_NONE_MATCH, PAGE, UNCHANGED, page_of, refusals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import IO
    from uuid import UUID

    from django.db.models import QuerySet
    from django.http.response import HttpResponseBase
    from rest_framework.serializers import BaseSerializer

    from accounts.access import SignedInRequest
    from sessions_app.models import CodeSessionQuerySet, Invite

ORDERINGS = ("created_at", "updated_at", "title")
LANGUAGE = OpenApiParameter("language", str, description="A key or an alias.")
ORDERING = OpenApiParameter("ordering", str, enum=[sign + name for name in ORDERINGS for sign in ("", "-")])
FILTERS = ("search", "language", "is_public", "archived", "ordering")
SESSION_REFUSALS = refusals(SessionNotFound, NotAllowed)
SESSION_PAGE = page_of(SessionSerializer)
# What a change of a session may be refused with, whichever verb it comes by.
CHANGE_REFUSALS = refusals(SessionNotFound, NotAllowed, RevisionPassed, TextTooLarge)
NEW_FILE_REFUSALS = refusals(SessionNotFound, NotAllowed, PathTaken, TooManyFiles, TextTooLarge)
FILE_REFUSALS = refusals(
    SessionNotFound, FileNotListed, NotAllowed, PathTaken, EntryStays, RevisionPassed, TextTooLarge
)


def valid(serializer: BaseSerializer[Any]) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def _described(standing: Standing, request: SignedInRequest) -> tuple[str, dict[str, Any]]:
    """The tag of the session's state, and what is shown of it."""
    session = standing.session
    revision, content = contents.entry_at_head(session.pk)
    body = SessionSerializer(session, context={"request": request, "standing": standing}).data
    return _tag(standing, revision), {**body, "content": content}


def _shown(standing: Standing, request: SignedInRequest, *, code: int = status.HTTP_200_OK) -> Response:
    tag, body = _described(standing, request)
    return Response(body, status=code, headers={"ETag": personal(tag, request.user)})


def _tag(standing: Standing, revision: int) -> str:
    """Of all that the answer about a session is made of."""
    session = standing.session
    permission, owner, origin = standing.shown_permission, session.owner.username, session.forked_from_id
    return etag(session.version, revision, permission, owner, origin, session.updated_at.isoformat())


def _flag(request: SignedInRequest, name: str) -> bool | None:
    value = request.query_params.get(name)
    if value is None:
        return None
    if value not in ("true", "false"):
        raise Invalid(errors={name: ["Use true or false."]})
    return value == "true"


def _ordering(request: SignedInRequest) -> tuple[str, str]:
    ordering = request.query_params.get("ordering", "-updated_at")
    if ordering.removeprefix("-") not in ORDERINGS:
        raise Invalid(errors={"ordering": [f"Known here: {', '.join(ORDERINGS)}, each also with - in front."]})
    return ordering, "id"


def _language(request: SignedInRequest) -> languages.Language | None:
    """The one that was asked for, if one was."""
    wanted = request.query_params.get("language")
    try:
        return languages.get(wanted) if wanted else None
    except KeyError:
        raise Invalid(errors={"language": ["Unknown language."]}) from None


def _in_language(sessions: CodeSessionQuerySet, request: SignedInRequest) -> CodeSessionQuerySet:
    language = _language(request)
    return sessions.filter(language=language.key) if language else sessions


def _search(request: SignedInRequest) -> str:
    return request.query_params.get("search", "").replace("\0", "")


def _page(parts: Sequence[QuerySet[CodeSession]], request: SignedInRequest, view: APIView) -> Response:
    """One page of all parts together, in a fixed number of queries."""
    paging = Paging(_ordering(request))
    everything = Together(lambda: _with_permission(CodeSession.objects.all(), request.user), parts)
    page = paging.paginate_queryset(everything, request, view)
    for session in page:
        if session.owner_id == request.user.pk:
            # Whose row is here already.
            session.owner = request.user
    return paging.get_paginated_response(SessionSerializer(page, many=True, context={"request": request}).data)


def _with_permission(sessions: QuerySet[CodeSession], user: User) -> QuerySet[CodeSession]:
    """With their owners, and what this person was given in each."""
    given = Collaborator.objects.filter(session=OuterRef("pk"), user=user).values("permission")
    return sessions.select_related("owner").annotate(given_permission=Subquery(given))


def _new(request: SignedInRequest, session: CodeSession) -> Response:
    response = _shown(standing_in(request.user, session.pk), request, code=status.HTTP_201_CREATED)
    response["Location"] = reverse("api:session", args=[session.pk])
    return response


class SessionList(APIView):
    """Your sessions: those you own and those you were let into."""

    @extend_schema(
        operation_id="sessions_list",
        parameters=[
            OpenApiParameter("search", str, description="Part of the title."),
            LANGUAGE,
            OpenApiParameter("is_public", FLAG),
            OpenApiParameter("archived", FLAG, description="With true: what you archived, in place of the rest."),
            ORDERING,
            *PAGE,
        ],
        responses=SESSION_PAGE,
    )
    def get(self, request: SignedInRequest) -> Response:
        refuse_unknown_parameters(request, FILTERS)
        user = request.user
        if _flag(request, "archived"):
            return _page([self._chosen(CodeSession.objects.archived().owned_by(user.pk), request)], request, self)
        active = self._chosen(CodeSession.objects.active(), request)
        joined = active.joined_by(user.pk).annotate(given_permission=F("collaborators__permission"))
        return _page([active.owned_by(user.pk), joined.select_related("owner")], request, self)

    @extend_schema(operation_id="sessions_create", request=SessionCreateInput, responses={201: SessionDetailSerializer})
    def post(self, request: SignedInRequest) -> Response:
        given = valid(SessionCreateInput(data=request.data))
        given["language"] = languages.get(given["language"])
        return _new(request, actions.create_session(request.user, **given))

    def _chosen(self, sessions: CodeSessionQuerySet, request: SignedInRequest) -> CodeSessionQuerySet:
        if search := _search(request):
            sessions = sessions.filter(title__icontains=search)
        if (is_public := _flag(request, "is_public")) is not None:
            sessions = sessions.filter(is_public=is_public)
        return _in_language(sessions, request)


class PublicSessionList(APIView):
    """The sessions that anybody signed in may read, whoever owns them."""

    @extend_schema(
        operation_id="sessions_public",
        parameters=[
            OpenApiParameter("search", str, description="Part of the title or of the owner's name."),
            LANGUAGE,
            ORDERING,
            *PAGE,
        ],
        responses=SESSION_PAGE,
    )
    def get(self, request: SignedInRequest) -> Response:
        refuse_unknown_parameters(request, ("search", "language", "ordering"))
        public = _in_language(CodeSession.objects.recommended().matching(_search(request)), request)
        return _page([_with_permission(public, request.user)], request, self)


class TemplateList(APIView):
    """What a new session may start with, for one language or for all."""

    @extend_schema(
        operation_id="templates_list",
        parameters=[LANGUAGE],
        responses=TemplateSerializer(many=True),
    )
    def get(self, request: SignedInRequest) -> Response:
        refuse_unknown_parameters(request, ("language",), is_paged=False)
        wanted = _language(request)
        rows = [
            {"language": row.key, "file_name": row.file_name, "key": it.key, "name": it.name, "content": it.content}
            for row in ([wanted] if wanted else languages.LANGUAGES.values())
            for it in templates_of(row)
        ]
        return Response(TemplateSerializer(rows, many=True).data)


class ArchiveParser(BaseParser):
    """The body as it is, up to a little more than an archive may have."""

    media_type = "application/zip"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        return io.BytesIO(stream.read(settings.DOCUMENT_MAX_BYTES + 1))


class SessionImport(APIView):
    """A new session of the files in a zip archive, which is the body, or the field `archive` of a form.

    At most 50 text files. Its language is found by the files' names when `language` is not given.
    """

    parser_classes = (ArchiveParser, MultiPartParser)

    @extend_schema(
        operation_id="sessions_import",
        parameters=[ImportInput],
        request={
            "application/zip": OpenApiTypes.BINARY,
            "multipart/form-data": inline_serializer("ArchiveForm", {"archive": serializers.FileField()}),
        },
        responses={201: SessionDetailSerializer, **refusals(ArchiveRefused, ArchiveTooLarge)},
    )
    def post(self, request: SignedInRequest) -> Response:
        refuse_unknown_parameters(request, ("title", "language"))
        given = valid(ImportInput(data=request.query_params))
        language = languages.get(given["language"]) if "language" in given else None
        data: Any = request.data
        archive = data if isinstance(data, io.BytesIO) else request.FILES.get("archive")
        if archive is None:
            raise Invalid(errors={"archive": ["This field is required."]})
        session = actions.import_session(request.user, archive, title=given.get("title", ""), language=language)
        return _new(request, session)


class SessionFork(APIView):
    """A private session of your own with the files as they are now; its history, people and runs begin anew."""

    @extend_schema(
        operation_id="sessions_fork",
        request=ForkInput,
        responses={201: SessionDetailSerializer, **refusals(SessionNotFound, NotAllowed, TextTooLarge)},
    )
    def post(self, request: SignedInRequest, session_id: UUID) -> Response:
        standing = standing_in(request.user, session_id, Action.FORK)
        given = valid(ForkInput(data=request.data))
        return _new(request, actions.fork_session(standing, request.user, given.get("title", "")))


@open_to_guests
class SessionDetail(APIView):
    token_scopes = {"DELETE": Scope.MANAGE}

    @extend_schema(
        operation_id="sessions_read",
        parameters=[IF_NONE_MATCH, ETAG],
        responses={200: SessionDetailSerializer, 304: UNCHANGED, **refusals(SessionNotFound)},
    )
    def get(self, request: SignedInRequest, session_id: UUID) -> HttpResponseBase:
        standing = standing_in(request.user, session_id)
        tag = _tag(standing, standing.revision)
        if answer := unchanged(request, personal(tag, request.user)):
            return answer
        name = f"session:{session_id}:{standing.shown_permission}"
        if request.accepted_renderer.format != "json":
            return _shown(standing, request)
        if (body := answers.kept(name, tag)) is not None:
            return HttpResponse(body, content_type="application/json", headers={"ETag": personal(tag, request.user)})
        # The text may be newer than the standing, and then so is the tag.
        tag, described = _described(standing, request)
        response = Response(described, headers={"ETag": personal(tag, request.user)})
        response.add_post_render_callback(lambda made: answers.keep(name, tag, made.content))
        return response

    @extend_schema(
        operation_id="sessions_replace",
        parameters=[IF_MATCH, ETAG],
        request=SessionReplaceInput,
        responses={200: SessionDetailSerializer, **CHANGE_REFUSALS},
    )
    def put(self, request: SignedInRequest, session_id: UUID) -> Response:
        return self._change(request, session_id, SessionReplaceInput)

    @extend_schema(
        operation_id="sessions_change",
        parameters=[IF_MATCH, ETAG],
        request=SessionChangeInput,
        responses={200: SessionDetailSerializer, **CHANGE_REFUSALS},
    )
    def patch(self, request: SignedInRequest, session_id: UUID) -> Response:
        return self._change(request, session_id, SessionChangeInput)

    @extend_schema(
        operation_id="sessions_archive",
        parameters=[IF_MATCH],
        request=None,
        responses={204: None, **refusals(SessionNotFound, NotAllowed)},
    )
    def delete(self, request: SignedInRequest, session_id: UUID) -> Response:
        """Archives the session. With `?archived=true`, deletes one that is archived already, for good."""
        if _flag(request, "archived"):
            actions.delete_session(archived_standing(request.user, session_id), request.user)
            return Response(status=status.HTTP_204_NO_CONTENT)
        standing = standing_in(request.user, session_id, Action.ARCHIVE)
        check_if_match(request, standing.session.version)
        actions.archive_session(standing, request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _change(self, request: SignedInRequest, session_id: UUID, form: type[SessionChangeInput]) -> Response:
        standing = standing_in(request.user, session_id)
        given = valid(form(data=request.data))
        content, base_revision = given.pop("content", None), given.pop("base_revision", None)
        # Both are asked before either is done, so a refused request changes nothing.
        if given:
            standing.require(Action.CHANGE_SETTINGS)
        if "allows_guests" in given:
            standing.require(Action.ALLOW_GUESTS)
        if not given.keys().isdisjoint({"is_public", "allows_guests"}):
            require_scope(request, Scope.MANAGE)
        if content is not None or not given:
            standing.require(Action.EDIT)
        version = standing.session.version
        if given:
            check_if_match(request, version)
            changed = actions.change_session(
                standing,
                request.user,
                given,
                expected_version=version,
                content=content,
                base_revision=base_revision,
            )
            if changed is None:
                raise PreconditionFailed
        elif content is not None:
            actions.write_content(standing, request.user, content, base_revision=base_revision)
        return _shown(standing_in(request.user, session_id), request)


class ZipRenderer(JSONRenderer):
    """Lets a caller accept nothing but a zip; what goes wrong is still said in JSON."""

    media_type = "application/zip"


@open_to_guests
class SessionExport(APIView):
    """The files at the committed head as a zip archive; its revision is in the header X-Revision."""

    renderer_classes = (JSONRenderer, ZipRenderer)

    @extend_schema(operation_id="sessions_export", responses={(200, "application/zip"): OpenApiTypes.BINARY})
    def get(self, request: SignedInRequest, session_id: UUID) -> HttpResponse:
        standing = standing_in(request.user, session_id, Action.EXPORT)
        revision, archive = actions.export_session(standing, request.user)
        name = zips.name_of(standing.session.title) + ".zip"
        headers = {
            "Content-Disposition": str(content_disposition_header(as_attachment=True, filename=name)),
            "X-Revision": str(revision),
        }
        return HttpResponse(archive, content_type="application/zip", headers=headers)


def _file(session: CodeSession, file_id: str, *, code: int = status.HTTP_200_OK) -> Response:
    revision, file = files.find_file(session, file_id)
    body = {**FileSerializer(file).data, "content": file.text, "revision": revision}
    return Response(body, status=code)


@open_to_guests
class FileList(APIView):
    """The session's files, the one that the program starts in first."""

    @extend_schema(operation_id="files_list", responses=FileSerializer(many=True))
    def get(self, request: SignedInRequest, session_id: UUID) -> Response:
        refuse_unknown_parameters(request, (), is_paged=False)
        standing = standing_in(request.user, session_id)
        _, listed = contents.files_listed(standing.session.pk)
        return Response(FileSerializer(listed, many=True).data)

    @extend_schema(
        operation_id="files_create", request=NewFileInput, responses={201: FileDetailSerializer, **NEW_FILE_REFUSALS}
    )
    def post(self, request: SignedInRequest, session_id: UUID) -> Response:
        standing = standing_in(request.user, session_id, Action.EDIT)
        given = valid(NewFileInput(data=request.data))
        file_id = files.create_file(standing, request.user, given["path"], given["content"])
        response = _file(standing.session, file_id, code=status.HTTP_201_CREATED)
        response["Location"] = reverse("api:file", args=[session_id, file_id])
        return response


@open_to_guests
class FileDetail(APIView):
    """One file. Its id is `main` for the one that the program starts in, which is named by the language and stays."""

    @extend_schema(operation_id="files_read", responses=FileDetailSerializer)
    def get(self, request: SignedInRequest, session_id: UUID, file_id: str) -> Response:
        return _file(standing_in(request.user, session_id).session, file_id)

    @extend_schema(
        operation_id="files_change", request=FileChangeInput, responses={200: FileDetailSerializer, **FILE_REFUSALS}
    )
    def patch(self, request: SignedInRequest, session_id: UUID, file_id: str) -> Response:
        standing = standing_in(request.user, session_id, Action.EDIT)
        files.change_file(standing, request.user, file_id, **valid(FileChangeInput(data=request.data)))
        return _file(standing.session, file_id)

    @extend_schema(operation_id="files_delete", request=None, responses={204: None, **FILE_REFUSALS})
    def delete(self, request: SignedInRequest, session_id: UUID, file_id: str) -> Response:
        files.delete_file(standing_in(request.user, session_id, Action.EDIT), request.user, file_id)
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
    """The deleted files that can be brought back, the one that was deleted last first.

    Older ones are in the history: read the files of a revision, and restore one.
    """

    @extend_schema(operation_id="files_deleted_list", responses=DeletedFileSerializer(many=True))
    def get(self, request: SignedInRequest, session_id: UUID) -> Response:
        refuse_unknown_parameters(request, (), is_paged=False)
        _, deleted = contents.files_deleted(standing_in(request.user, session_id).session.pk)
        return Response(DeletedFileSerializer(_shown_deleted(deleted), many=True).data)


@open_to_guests
class DeletedFileDetail(APIView):
    """A deleted file with its text, also with what was typed into it by somebody who had not heard of the deletion."""

    @extend_schema(
        operation_id="files_deleted_read",
        responses={200: DeletedFileDetailSerializer, **refusals(SessionNotFound, FileNotListed)},
    )
    def get(self, request: SignedInRequest, session_id: UUID, file_id: str) -> Response:
        revision, file = files.find_deleted(standing_in(request.user, session_id).session, file_id)
        (shown,) = DeletedFileSerializer(_shown_deleted([file]), many=True).data
        return Response({**shown, "content": file.text, "revision": revision})


@open_to_guests
class DeletedFileRestore(APIView):
    """Brings a deleted file back, live for everybody: under `path`, or under the one that it had or one like it."""

    @extend_schema(
        operation_id="files_deleted_restore",
        request=BringBackInput,
        responses={
            200: FileDetailSerializer,
            **refusals(SessionNotFound, FileNotListed, NotAllowed, PathTaken, TooManyFiles),
        },
    )
    def post(self, request: SignedInRequest, session_id: UUID, file_id: str) -> Response:
        standing = standing_in(request.user, session_id, Action.EDIT)
        files.bring_back(standing, request.user, file_id, **valid(BringBackInput(data=request.data)))
        return _file(standing.session, file_id)


class SessionRestore(APIView):
    token_scope = Scope.MANAGE

    @extend_schema(
        operation_id="sessions_restore", request=None, responses={200: SessionDetailSerializer, **SESSION_REFUSALS}
    )
    def post(self, request: SignedInRequest, session_id: UUID) -> Response:
        actions.restore_session(archived_standing(request.user, session_id), request.user)
        return _shown(standing_in(request.user, session_id), request)


class SessionJoin(APIView):
    """With an invite you get what it grants; a public session lets you in as a reader."""

    @extend_schema(
        operation_id="sessions_join",
        request=JoinInput,
        responses={200: SessionDetailSerializer, **refusals(SessionNotFound, InviteNotFound)},
    )
    def post(self, request: SignedInRequest, session_id: UUID) -> Response:
        token = valid(JoinInput(data=request.data)).get("invite")
        if token:
            if sharing.find_invite(token).session_id != session_id:
                raise InviteNotFound
            sharing.accept_invite(request.user, token)
        else:
            sharing.join_public(standing_in(request.user, session_id), request.user)
        return _shown(standing_in(request.user, session_id), request)


@open_to_guests
class SessionLeave(APIView):
    token_scope = Scope.MANAGE

    @extend_schema(
        operation_id="sessions_leave",
        request=None,
        responses={204: None, **refusals(SessionNotFound, NoCollaborator, OwnerStays)},
    )
    def post(self, request: SignedInRequest, session_id: UUID) -> Response:
        sharing.leave_session(standing_in(request.user, session_id), request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


class SessionReport(APIView):
    """Tells the moderators about a session that you can see. One report at a time: it is open until they settle it."""

    token_scope = ACCOUNT

    @extend_schema(
        operation_id="sessions_report",
        request=ReportInput,
        responses={201: ReportSerializer, **refusals(SessionNotFound, AlreadyReported)},
    )
    def post(self, request: SignedInRequest, session_id: UUID) -> Response:
        standing = standing_in(request.user, session_id)
        report = moderation.report_session(standing, request.user, valid(ReportInput(data=request.data))["reason"])
        return Response(ReportSerializer(report).data, status=status.HTTP_201_CREATED)


class SessionTransfer(APIView):
    """Makes one of the people of the session its owner. You stay as an admin."""

    token_scope = Scope.MANAGE

    @extend_schema(
        operation_id="sessions_transfer",
        request=TransferInput,
        responses={200: SessionDetailSerializer, **refusals(SessionNotFound, NotAllowed, PersonNotFound)},
    )
    def post(self, request: SignedInRequest, session_id: UUID) -> Response:
        standing = standing_in(request.user, session_id, Action.TRANSFER)
        sharing.transfer_session(standing, request.user, valid(TransferInput(data=request.data))["username"])
        return _shown(standing_in(request.user, session_id), request)


class SessionTicket(APIView):
    """A ticket that opens the session's socket once, within 30 seconds: ?ticket=...

    A personal token makes none: it opens the socket itself, in the Authorization header.
    """

    token_scope = ACCOUNT

    @extend_schema(
        operation_id="sessions_ticket",
        request=None,
        responses={
            201: inline_serializer(
                "Ticket", {"ticket": serializers.CharField(), "expires_in": serializers.IntegerField()}
            ),
            **refusals(SessionNotFound, TicketsUnavailable),
        },
    )
    def post(self, request: SignedInRequest, session_id: UUID) -> Response:
        standing_in(request.user, session_id)
        token: Any = request.auth
        ticket, expires_in = issue_ticket(
            request.user,
            session_id,
            expires_at=token["exp"] if token else None,
            family=token.get("fam", "") if token else "",
            session_key="" if token else request.session.session_key or "",
        )
        return Response({"ticket": ticket, "expires_in": expires_in}, status=status.HTTP_201_CREATED)


@open_to_guests
class CollaboratorList(APIView):
    token_scope = Scope.MANAGE

    @extend_schema(
        operation_id="collaborators_list",
        responses={200: CollaboratorSerializer(many=True), **refusals(SessionNotFound)},
    )
    def get(self, request: SignedInRequest, session_id: UUID) -> Response:
        refuse_unknown_parameters(request, (), is_paged=False)
        standing = standing_in(request.user, session_id)
        rows = standing.session.collaborators.select_related("user")
        return Response(CollaboratorSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="collaborators_add",
        request=CollaboratorInput,
        responses={201: CollaboratorSerializer, **refusals(SessionNotFound, NotAllowed, PersonNotFound, OwnerStays)},
    )
    def post(self, request: SignedInRequest, session_id: UUID) -> Response:
        standing = standing_in(request.user, session_id, Action.SHARE)
        given = valid(CollaboratorInput(data=request.data))
        collaborator = sharing.set_collaborator(standing, request.user, given["username"], given["permission"])
        return Response(CollaboratorSerializer(collaborator).data, status=status.HTTP_201_CREATED)


class CollaboratorDetail(APIView):
    token_scope = Scope.MANAGE

    @extend_schema(
        operation_id="collaborators_change",
        request=CollaboratorChangeInput,
        responses={200: CollaboratorSerializer, **refusals(SessionNotFound, NotAllowed, NoCollaborator, OwnerStays)},
    )
    def patch(self, request: SignedInRequest, session_id: UUID, user_id: UUID) -> Response:
        standing = standing_in(request.user, session_id, Action.SHARE)
        given = valid(CollaboratorChangeInput(data=request.data))
        collaborator = sharing.change_collaborator(standing, request.user, user_id, given["permission"])
        return Response(CollaboratorSerializer(collaborator).data)

    @extend_schema(
        operation_id="collaborators_remove",
        request=None,
        responses={204: None, **refusals(SessionNotFound, NotAllowed, NoCollaborator, OwnerStays)},
    )
    def delete(self, request: SignedInRequest, session_id: UUID, user_id: UUID) -> Response:
        sharing.remove_collaborator(standing_in(request.user, session_id), request.user, user_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _made(request: SignedInRequest, invite: Invite, token: str, code: int) -> Response:
    url = request.build_absolute_uri(reverse("sessions_app:session-join", args=[token]))
    body = {**InviteSerializer(invite).data, "token": token, "url": url}
    return Response(body, status=code)


class InviteList(APIView):
    """The session's invite links that were not revoked, and who came through them."""

    token_scope = Scope.MANAGE

    @extend_schema(operation_id="invites_list", responses={200: InviteSerializer(many=True), **SESSION_REFUSALS})
    def get(self, request: SignedInRequest, session_id: UUID) -> Response:
        refuse_unknown_parameters(request, (), is_paged=False)
        standing = standing_in(request.user, session_id, Action.SHARE)
        return Response(InviteSerializer(sharing.listed_invites(standing.session), many=True).data)

    @extend_schema(
        operation_id="invites_create",
        request=InviteInput,
        responses={201: MadeInviteSerializer, **refusals(SessionNotFound, NotAllowed, TooManyInvites)},
    )
    def post(self, request: SignedInRequest, session_id: UUID) -> Response:
        standing = standing_in(request.user, session_id, Action.SHARE)
        given = valid(InviteInput(data=request.data))
        seconds = given["expires_in"]
        invite, token = sharing.create_invite(
            standing,
            request.user,
            permission=given["permission"],
            expires_at=timezone.now() + timedelta(seconds=seconds) if seconds else None,
            uses=given["uses"],
        )
        return _made(request, invite, token, status.HTTP_201_CREATED)


class InviteDetail(APIView):
    token_scope = Scope.MANAGE

    @extend_schema(
        operation_id="invites_revoke",
        request=None,
        responses={204: None, **refusals(SessionNotFound, NotAllowed, InviteNotFound)},
    )
    def delete(self, request: SignedInRequest, session_id: UUID, invite_id: UUID) -> Response:
        sharing.revoke_invite(standing_in(request.user, session_id, Action.SHARE), request.user, invite_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class InviteRotate(APIView):
    """Gives the link a new address. The old one stops working; what the link grants stays."""

    token_scope = Scope.MANAGE

    @extend_schema(
        operation_id="invites_rotate",
        request=None,
        responses={200: MadeInviteSerializer, **refusals(SessionNotFound, NotAllowed, InviteNotFound)},
    )
    def post(self, request: SignedInRequest, session_id: UUID, invite_id: UUID) -> Response:
        standing = standing_in(request.user, session_id, Action.SHARE)
        invite, token = sharing.rotate_invite(standing, request.user, invite_id)
        return _made(request, invite, token, status.HTTP_200_OK)


class GuestList(APIView):
    """Who is in the session by name, without an account."""

    @extend_schema(operation_id="guests_list", responses={200: GuestSerializer(many=True), **SESSION_REFUSALS})
    def get(self, request: SignedInRequest, session_id: UUID) -> Response:
        refuse_unknown_parameters(request, (), is_paged=False)
        standing = standing_in(request.user, session_id, Action.SHARE)
        rows = standing.session.guest_passes.standing().select_related("user")
        return Response(GuestSerializer(rows, many=True).data)


class GuestDetail(APIView):
    """Takes a guest out. They know a link, so the session's invite links stop working."""

    token_scope = Scope.MANAGE

    @extend_schema(
        operation_id="guests_remove",
        request=None,
        responses={204: None, **SESSION_REFUSALS, **refusals(NoCollaborator)},
    )
    def delete(self, request: SignedInRequest, session_id: UUID, user_id: UUID) -> Response:
        sharing.remove_guest(standing_in(request.user, session_id, Action.SHARE), request.user, user_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


@open_to_guests
class GuestName(APIView):
    """A guest's own name. What tells them apart from others of that name stays behind it."""

    token_scope = Scope.MANAGE

    @extend_schema(
        operation_id="guests_rename",
        request=GuestNameInput,
        responses={200: GuestSerializer, **SESSION_REFUSALS, **refusals(GuestNameRefused)},
    )
    def patch(self, request: SignedInRequest, session_id: UUID) -> Response:
        standing = standing_in(request.user, session_id)
        if not standing.is_guest:
            raise NotAllowed("You have an account. Change your username in your profile.")
        name = valid(GuestNameInput(data=request.data))["name"]
        return Response(GuestSerializer(sharing.change_guest_name(standing, request.user, name)).data)


@open_to_guests
class ChatList(APIView):
    """What was said in the session, newest first. Whoever sees the session reads it; whoever joined also writes."""

    @extend_schema(
        operation_id="chat_list",
        parameters=PAGE,
        responses={200: page_of(ChatMessageSerializer), **refusals(SessionNotFound)},
    )
    def get(self, request: SignedInRequest, session_id: UUID) -> Response:
        standing = standing_in(request.user, session_id)
        refuse_unknown_parameters(request, ())
        paging = Paging(("-created_at", "id"))
        page = paging.paginate_queryset(standing.session.chat_messages.shown().select_related("user"), request, self)
        return paging.get_paginated_response(ChatMessageSerializer(page, many=True).data)

    @extend_schema(
        operation_id="chat_say",
        request=ChatInput,
        responses={
            201: ChatMessageSerializer,
            **refusals(SessionNotFound, NotAllowed, NothingSaid, MessageTooLong, StorageFull),
        },
    )
    def post(self, request: SignedInRequest, session_id: UUID) -> Response:
        standing_in(request.user, session_id, Action.CHAT)
        given = valid(ChatInput(data=request.data))
        message = actions.say(request.user, session_id, given["text"], given.get("ref"))
        return Response(ChatMessageSerializer(message).data, status=status.HTTP_201_CREATED)


@open_to_guests
class HistoryList(APIView):
    """Who changed the text when, newest first. A `cursor` from `next` leads on to what is older."""

    @extend_schema(
        operation_id="history_list",
        parameters=PAGE,
        responses={200: page_of(HistoryStepSerializer), **refusals(SessionNotFound)},
    )
    def get(self, request: SignedInRequest, session_id: UUID) -> Response:
        standing = standing_in(request.user, session_id)
        refuse_unknown_parameters(request, ())
        steps, cursor = history.steps(
            standing.session.pk, before=self._before(request), most=Paging().get_page_size(request)
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
        """The lists over one table have the framework's cursors; this one's is the revision that it stopped at."""
        given = request.query_params.get("cursor")
        if given is None:
            return None
        if not (given.isascii() and given.isdigit() and len(given) <= 18):
            raise WrongCursor
        return int(given)


@open_to_guests
class PastText(APIView):
    """The files as they were at a revision, which is the `last_revision` of a step of the history, and one's text.

    Other revisions are 404 `revision_unknown`, and never answered with the text of one nearby.
    """

    @extend_schema(
        operation_id="history_read",
        parameters=[OpenApiParameter("file", str, description="Whose text: a file's id, `main` when it is absent.")],
        responses={200: PastTextSerializer, **refusals(SessionNotFound, RevisionUnknown, FileNotListed)},
    )
    def get(self, request: SignedInRequest, session_id: UUID, revision: int) -> Response:
        refuse_unknown_parameters(request, ("file",), is_paged=False)
        standing = standing_in(request.user, session_id)
        file_id = request.query_params.get("file", MAIN)
        file, every = history.file_at(standing.session.pk, revision, file_id)
        shown = PastFileSerializer(every, many=True).data
        body = {"revision": revision, "file": file.id, "path": file.path, "content": file.text, "files": shown}
        return Response(body)


@open_to_guests
class PastRestore(APIView):
    """Turns every file's text, or that of `file`, into what it was at a revision, by small edits, live for everybody.

    A file that was deleted since is listed again, and one that was made since stays. The answer has the new revision.
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
        standing = standing_in(request.user, session_id, Action.EDIT)
        file_id = valid(PastRestoreInput(data=request.data)).get("file")
        return Response({"revision": actions.restore_text(standing, request.user, revision, file_id)})
