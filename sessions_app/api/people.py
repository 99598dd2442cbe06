"""The members and guests of a session: joining, leaving, permissions, transfer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers, status
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.bearer import ACCOUNT
from accounts.errors import GuestNameRefused, TicketsUnavailable
from accounts.guests import open_to_guests
from accounts.models import Scope
from accounts.socket_auth import issue_ticket
from sessions_app import invites, sharing
from sessions_app.access import Action, access_to
from sessions_app.api.edge import SESSION_REFUSALS, show
from sessions_app.errors import InviteNotFound, NoCollaborator, NotAllowed, OwnerStays, PersonNotFound, SessionNotFound
from sessions_app.serializers import (
    CollaboratorChangeInput,
    CollaboratorInput,
    CollaboratorSerializer,
    GuestNameInput,
    GuestSerializer,
    JoinInput,
    SessionDetailSerializer,
    TransferInput,
)
from web.paging import refuse_unknown_parameters
from web.parsers import valid
from web.schema import refusals

if TYPE_CHECKING:
    from uuid import UUID

    from accounts.access import SignedInRequest


class SessionJoin(APIView):
    """Joins with the permission that an invite grants, or as a reader of a public session."""

    @extend_schema(
        operation_id="sessions_join",
        request=JoinInput,
        responses={200: SessionDetailSerializer, **refusals(SessionNotFound, InviteNotFound)},
    )
    def post(self, request: SignedInRequest, session_id: UUID) -> Response:
        token = valid(JoinInput(data=request.data)).get("invite")
        if token:
            if invites.find_invite(token).session_id != session_id:
                raise InviteNotFound
            invites.accept_invite(request.user, token)
        else:
            sharing.join_public(access_to(request.user, session_id), request.user)
        return show(access_to(request.user, session_id), request)


@open_to_guests
class SessionLeave(APIView):
    token_scope = Scope.MANAGE

    @extend_schema(
        operation_id="sessions_leave",
        request=None,
        responses={204: None, **refusals(SessionNotFound, NoCollaborator, OwnerStays)},
    )
    def post(self, request: SignedInRequest, session_id: UUID) -> Response:
        sharing.leave_session(access_to(request.user, session_id), request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


class SessionTransfer(APIView):
    """Makes a member the owner of the session. You stay as an admin."""

    token_scope = Scope.MANAGE

    @extend_schema(
        operation_id="sessions_transfer",
        request=TransferInput,
        responses={200: SessionDetailSerializer, **refusals(SessionNotFound, NotAllowed, PersonNotFound)},
    )
    def post(self, request: SignedInRequest, session_id: UUID) -> Response:
        access = access_to(request.user, session_id, Action.TRANSFER)
        sharing.transfer_session(access, request.user, valid(TransferInput(data=request.data))["username"])
        return show(access_to(request.user, session_id), request)


class SessionTicket(APIView):
    """A ticket that opens the session's socket once, within 30 seconds: ?ticket=...

    Personal tokens cannot request one. They open the socket directly, in the Authorization header.
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
        access_to(request.user, session_id)
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
        access = access_to(request.user, session_id)
        rows = access.session.collaborators.select_related("user")
        return Response(CollaboratorSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="collaborators_add",
        request=CollaboratorInput,
        responses={201: CollaboratorSerializer, **refusals(SessionNotFound, NotAllowed, PersonNotFound, OwnerStays)},
    )
    def post(self, request: SignedInRequest, session_id: UUID) -> Response:
        access = access_to(request.user, session_id, Action.SHARE)
        given = valid(CollaboratorInput(data=request.data))
        collaborator = sharing.set_collaborator(access, request.user, given["username"], given["permission"])
        return Response(CollaboratorSerializer(collaborator).data, status=status.HTTP_201_CREATED)


class CollaboratorDetail(APIView):
    token_scope = Scope.MANAGE

    @extend_schema(
        operation_id="collaborators_change",
        request=CollaboratorChangeInput,
        responses={200: CollaboratorSerializer, **refusals(SessionNotFound, NotAllowed, NoCollaborator, OwnerStays)},
    )
    def patch(self, request: SignedInRequest, session_id: UUID, user_id: UUID) -> Response:
        access = access_to(request.user, session_id, Action.SHARE)
        given = valid(CollaboratorChangeInput(data=request.data))
        collaborator = sharing.change_collaborator(access, request.user, user_id, given["permission"])
        return Response(CollaboratorSerializer(collaborator).data)

    @extend_schema(
        operation_id="collaborators_remove",
        request=None,
        responses={204: None, **refusals(SessionNotFound, NotAllowed, NoCollaborator, OwnerStays)},
    )
    def delete(self, request: SignedInRequest, session_id: UUID, user_id: UUID) -> Response:
        sharing.remove_collaborator(access_to(request.user, session_id), request.user, user_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class GuestList(APIView):
    """The guests of the session, who have a name but no account."""

    @extend_schema(operation_id="guests_list", responses={200: GuestSerializer(many=True), **SESSION_REFUSALS})
    def get(self, request: SignedInRequest, session_id: UUID) -> Response:
        refuse_unknown_parameters(request, (), is_paged=False)
        access = access_to(request.user, session_id, Action.SHARE)
        rows = access.session.guest_passes.valid().select_related("user")
        return Response(GuestSerializer(rows, many=True).data)


class GuestDetail(APIView):
    """Removes a guest. They may know the session's invite links, so these stop working."""

    token_scope = Scope.MANAGE

    @extend_schema(
        operation_id="guests_remove",
        request=None,
        responses={204: None, **SESSION_REFUSALS, **refusals(NoCollaborator)},
    )
    def delete(self, request: SignedInRequest, session_id: UUID, user_id: UUID) -> Response:
        sharing.remove_guest(access_to(request.user, session_id, Action.SHARE), request.user, user_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


@open_to_guests
class GuestName(APIView):
    """Changes a guest's own name. The suffix that makes it unique stays."""

    token_scope = Scope.MANAGE

    @extend_schema(
        operation_id="guests_rename",
        request=GuestNameInput,
        responses={200: GuestSerializer, **SESSION_REFUSALS, **refusals(GuestNameRefused)},
    )
    def patch(self, request: SignedInRequest, session_id: UUID) -> Response:
        access = access_to(request.user, session_id)
        if not access.is_guest:
            raise NotAllowed("You have an account. Change your username in your profile.")
        name = valid(GuestNameInput(data=request.data))["name"]
        return Response(GuestSerializer(sharing.change_guest_name(access, request.user, name)).data)
