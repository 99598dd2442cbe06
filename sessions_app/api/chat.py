"""The chat of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.guests import open_to_guests
from sessions_app import actions
from sessions_app.access import Action, access_to
from sessions_app.errors import MessageTooLong, NotAllowed, NothingSaid, SessionNotFound, StorageFull
from sessions_app.serializers import ChatInput, ChatMessageSerializer
from web.paging import Paging, refuse_unknown_parameters
from web.parsers import valid
from web.schema import PAGE, page_of, refusals

if TYPE_CHECKING:
    from uuid import UUID

    from accounts.access import SignedInRequest


@open_to_guests
class ChatList(APIView):
    """The chat of the session, newest first. All who can see the session can read it; members can also write."""

    @extend_schema(
        operation_id="chat_list",
        parameters=PAGE,
        responses={200: page_of(ChatMessageSerializer), **refusals(SessionNotFound)},
    )
    def get(self, request: SignedInRequest, session_id: UUID) -> Response:
        access = access_to(request.user, session_id)
        refuse_unknown_parameters(request, ())
        paging = Paging(("-created_at", "id"))
        page = paging.paginate_queryset(access.session.chat_messages.shown().select_related("user"), request, self)
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
        access_to(request.user, session_id, Action.CHAT)
        given = valid(ChatInput(data=request.data))
        message = actions.say(request.user, session_id, given["text"], given.get("ref"))
        return Response(ChatMessageSerializer(message).data, status=status.HTTP_201_CREATED)
