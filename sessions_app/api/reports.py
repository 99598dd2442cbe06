"""Reports to the moderators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.bearer import ACCOUNT
from sessions_app import moderation
from sessions_app.access import access_to
from sessions_app.errors import AlreadyReported, SessionNotFound
from sessions_app.serializers import ReportInput, ReportSerializer
from web.parsers import valid
from web.schema import refusals

if TYPE_CHECKING:
    from uuid import UUID

    from accounts.access import SignedInRequest


class SessionReport(APIView):
    """Reports a session that you can see to the moderators. You can have one open report per session."""

    token_scope = ACCOUNT

    @extend_schema(
        operation_id="sessions_report",
        request=ReportInput,
        responses={201: ReportSerializer, **refusals(SessionNotFound, AlreadyReported)},
    )
    def post(self, request: SignedInRequest, session_id: UUID) -> Response:
        access = access_to(request.user, session_id)
        report = moderation.report_session(access, request.user, valid(ReportInput(data=request.data))["reason"])
        return Response(ReportSerializer(report).data, status=status.HTTP_201_CREATED)
