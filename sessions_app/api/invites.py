"""Invite links of a session."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import Scope
from sessions_app import invites
from sessions_app.access import Action, access_to
from sessions_app.api.edge import SESSION_REFUSALS
from sessions_app.errors import InviteNotFound, NotAllowed, SessionNotFound, TooManyInvites
from sessions_app.serializers import InviteInput, InviteSerializer, MadeInviteSerializer
from web.paging import refuse_unknown_parameters
from web.parsers import valid
from web.schema import refusals

if TYPE_CHECKING:
    from uuid import UUID

    from accounts.access import SignedInRequest
    from sessions_app.models import Invite


def _made(request: SignedInRequest, invite: Invite, token: str, code: int) -> Response:
    url = request.build_absolute_uri(reverse("sessions_app:session-join", args=[token]))
    body = {**InviteSerializer(invite).data, "token": token, "url": url}
    return Response(body, status=code)


class InviteList(APIView):
    """The session's invite links that were not revoked, and who joined through them."""

    token_scope = Scope.MANAGE

    @extend_schema(operation_id="invites_list", responses={200: InviteSerializer(many=True), **SESSION_REFUSALS})
    def get(self, request: SignedInRequest, session_id: UUID) -> Response:
        refuse_unknown_parameters(request, (), is_paged=False)
        access = access_to(request.user, session_id, Action.SHARE)
        return Response(InviteSerializer(invites.listed_invites(access.session), many=True).data)

    @extend_schema(
        operation_id="invites_create",
        request=InviteInput,
        responses={201: MadeInviteSerializer, **refusals(SessionNotFound, NotAllowed, TooManyInvites)},
    )
    def post(self, request: SignedInRequest, session_id: UUID) -> Response:
        access = access_to(request.user, session_id, Action.SHARE)
        given = valid(InviteInput(data=request.data))
        seconds = given["expires_in"]
        invite, token = invites.create_invite(
            access,
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
        invites.revoke_invite(access_to(request.user, session_id, Action.SHARE), request.user, invite_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class InviteRotate(APIView):
    """Gives the link a new address. The old one stops working; the permission and limits stay."""

    token_scope = Scope.MANAGE

    @extend_schema(
        operation_id="invites_rotate",
        request=None,
        responses={200: MadeInviteSerializer, **refusals(SessionNotFound, NotAllowed, InviteNotFound)},
    )
    def post(self, request: SignedInRequest, session_id: UUID, invite_id: UUID) -> Response:
        access = access_to(request.user, session_id, Action.SHARE)
        invite, token = invites.rotate_invite(access, request.user, invite_id)
        return _made(request, invite, token, status.HTTP_200_OK)
