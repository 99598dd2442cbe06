"""Sessions: lists, a single session, forks, and templates for new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import F, OuterRef, QuerySet, Subquery
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.response import Response
from rest_framework.views import APIView

import languages
from accounts.bearer import require_scope
from accounts.guests import open_to_guests
from accounts.models import Scope, User
from languages.templates import templates_of
from sessions_app import actions
from sessions_app.access import Action, access_to, access_to_archived
from sessions_app.api.edge import CHANGE_REFUSALS, SESSION_REFUSALS, flag, show, show_new, tag_and_body, tag_of
from sessions_app.errors import NotAllowed, SessionNotFound, TextTooLarge
from sessions_app.models import CodeSession, CodeSessionQuerySet, Collaborator
from sessions_app.serializers import (
    ForkInput,
    SessionChangeInput,
    SessionCreateInput,
    SessionDetailSerializer,
    SessionReplaceInput,
    SessionSerializer,
    TemplateSerializer,
)
from web import answers
from web.conditional import PreconditionFailed, check_if_match, personal, unchanged
from web.paging import Paging, Together, refuse_unknown_parameters
from web.parsers import valid
from web.problems import Invalid
from web.schema import ETAG, FLAG, IF_MATCH, IF_NONE_MATCH, PAGE, UNCHANGED, page_of, refusals

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from django.http.response import HttpResponseBase

    from accounts.access import SignedInRequest

ORDERINGS = ("created_at", "updated_at", "title")
LANGUAGE = OpenApiParameter("language", str, description="A key or an alias.")
ORDERING = OpenApiParameter("ordering", str, enum=[sign + name for name in ORDERINGS for sign in ("", "-")])
FILTERS = ("search", "language", "is_public", "archived", "ordering")
SESSION_PAGE = page_of(SessionSerializer)


def _ordering(request: SignedInRequest) -> tuple[str, str]:
    ordering = request.query_params.get("ordering", "-updated_at")
    if ordering.removeprefix("-") not in ORDERINGS:
        raise Invalid(errors={"ordering": [f"Use one of {', '.join(ORDERINGS)}, each also with a leading -."]})
    return ordering, "id"


def _language(request: SignedInRequest) -> languages.Language | None:
    """Return the language to filter by, if any."""
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
    """Return a page of all parts together, in a fixed number of queries."""
    paging = Paging(_ordering(request))
    everything = Together(lambda: _with_permission(CodeSession.objects.all(), request.user), parts)
    page = paging.paginate_queryset(everything, request, view)
    for session in page:
        if session.owner_id == request.user.pk:
            # Already loaded.
            session.owner = request.user
    return paging.get_paginated_response(SessionSerializer(page, many=True, context={"request": request}).data)


def _with_permission(sessions: QuerySet[CodeSession], user: User) -> QuerySet[CodeSession]:
    """Add the owners, and this user's permission in each session."""
    given = Collaborator.objects.filter(session=OuterRef("pk"), user=user).values("permission")
    return sessions.select_related("owner").annotate(given_permission=Subquery(given))


class SessionList(APIView):
    """Your sessions: those that you own and those that you are a member of."""

    @extend_schema(
        operation_id="sessions_list",
        parameters=[
            OpenApiParameter("search", str, description="Part of the title."),
            LANGUAGE,
            OpenApiParameter("is_public", FLAG),
            OpenApiParameter("archived", FLAG, description="If true, archived sessions instead of active ones."),
            ORDERING,
            *PAGE,
        ],
        responses=SESSION_PAGE,
    )
    def get(self, request: SignedInRequest) -> Response:
        refuse_unknown_parameters(request, FILTERS)
        user = request.user
        if flag(request, "archived"):
            return _page([self._chosen(CodeSession.objects.archived().owned_by(user.pk), request)], request, self)
        active = self._chosen(CodeSession.objects.active(), request)
        joined = active.joined_by(user.pk).annotate(given_permission=F("collaborators__permission"))
        return _page([active.owned_by(user.pk), joined.select_related("owner")], request, self)

    @extend_schema(operation_id="sessions_create", request=SessionCreateInput, responses={201: SessionDetailSerializer})
    def post(self, request: SignedInRequest) -> Response:
        given = valid(SessionCreateInput(data=request.data))
        if given.get("is_public"):
            require_scope(request, Scope.MANAGE)
        given["language"] = languages.get(given["language"])
        return show_new(request, actions.create_session(request.user, **given))

    def _chosen(self, sessions: CodeSessionQuerySet, request: SignedInRequest) -> CodeSessionQuerySet:
        if search := _search(request):
            sessions = sessions.filter(title__icontains=search)
        if (is_public := flag(request, "is_public")) is not None:
            sessions = sessions.filter(is_public=is_public)
        return _in_language(sessions, request)


class PublicSessionList(APIView):
    """Public sessions, which all signed-in users can read."""

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
    """Templates for new sessions, for one language or for all."""

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


@open_to_guests
class SessionDetail(APIView):
    token_scopes = {"DELETE": Scope.MANAGE}

    @extend_schema(
        operation_id="sessions_read",
        parameters=[IF_NONE_MATCH, ETAG],
        responses={200: SessionDetailSerializer, 304: UNCHANGED, **refusals(SessionNotFound)},
    )
    def get(self, request: SignedInRequest, session_id: UUID) -> HttpResponseBase:
        access = access_to(request.user, session_id)
        tag = tag_of(access, access.revision)
        if answer := unchanged(request, personal(tag, request.user)):
            return answer
        name = f"session:{session_id}:{access.shown_permission}"
        if request.accepted_renderer.format != "json":
            return show(access, request)
        if (body := answers.kept(name, tag)) is not None:
            return HttpResponse(body, content_type="application/json", headers={"ETag": personal(tag, request.user)})
        # The text may be newer than the access check, and then so is the tag.
        tag, described = tag_and_body(access, request)
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
        """Archives the session. With `?archived=true`, permanently deletes an archived one."""
        if flag(request, "archived"):
            actions.delete_session(access_to_archived(request.user, session_id), request.user)
            return Response(status=status.HTTP_204_NO_CONTENT)
        access = access_to(request.user, session_id, Action.ARCHIVE)
        check_if_match(request, access.session.version)
        actions.archive_session(access, request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _change(self, request: SignedInRequest, session_id: UUID, form: type[SessionChangeInput]) -> Response:
        access = access_to(request.user, session_id)
        given = valid(form(data=request.data))
        content, base_revision = given.pop("content", None), given.pop("base_revision", None)
        # Both are checked before either is done, so a rejected request changes nothing.
        if given:
            access.require(Action.CHANGE_SETTINGS)
        if "allows_guests" in given:
            access.require(Action.ALLOW_GUESTS)
        if not given.keys().isdisjoint({"is_public", "allows_guests"}):
            require_scope(request, Scope.MANAGE)
        if content is not None or not given:
            access.require(Action.EDIT)
        version = access.session.version
        if given:
            check_if_match(request, version)
            changed = actions.change_session(
                access,
                request.user,
                given,
                expected_version=version,
                content=content,
                base_revision=base_revision,
            )
            if changed is None:
                raise PreconditionFailed
        elif content is not None:
            actions.write_content(access, request.user, content, base_revision=base_revision)
        return show(access_to(request.user, session_id), request)


class SessionFork(APIView):
    """Copies the current files into a private session of your own, without history, members or runs."""

    @extend_schema(
        operation_id="sessions_fork",
        request=ForkInput,
        responses={201: SessionDetailSerializer, **refusals(SessionNotFound, NotAllowed, TextTooLarge)},
    )
    def post(self, request: SignedInRequest, session_id: UUID) -> Response:
        access = access_to(request.user, session_id, Action.FORK)
        given = valid(ForkInput(data=request.data))
        return show_new(request, actions.fork_session(access, request.user, given.get("title", "")))


class SessionRestore(APIView):
    token_scope = Scope.MANAGE

    @extend_schema(
        operation_id="sessions_restore", request=None, responses={200: SessionDetailSerializer, **SESSION_REFUSALS}
    )
    def post(self, request: SignedInRequest, session_id: UUID) -> Response:
        actions.restore_session(access_to_archived(request.user, session_id), request.user)
        return show(access_to(request.user, session_id), request)
