"""Import and export sessions as zip archives."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Any

from django.conf import settings
from django.http import HttpResponse
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.renderers import JSONRenderer
from rest_framework.views import APIView

import languages
from accounts.guests import open_to_guests
from sessions_app import actions, zips
from sessions_app.access import Action, access_to
from sessions_app.api.edge import show_new
from sessions_app.errors import ArchiveRefused, ArchiveTooLarge
from sessions_app.serializers import ImportInput, SessionDetailSerializer
from web.paging import refuse_unknown_parameters
from web.parsers import valid
from web.problems import Invalid
from web.schema import refusals

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from rest_framework.response import Response

    from accounts.access import SignedInRequest


class ArchiveParser(BaseParser):
    """Accepts the raw body, up to slightly more than the size limit of an archive."""

    media_type = "application/zip"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        return io.BytesIO(stream.read(settings.DOCUMENT_MAX_BYTES + 1))


class SessionImport(APIView):
    """Creates a session from a zip archive, which is the body or the form field `archive`.

    At most 50 text files. Without `language`, the language is derived from the file names.
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
        return show_new(request, session)


class ZipRenderer(JSONRenderer):
    """Allows callers to accept only zip archives. Errors are still JSON."""

    media_type = "application/zip"


@open_to_guests
class SessionExport(APIView):
    """The files at the committed head as a zip archive, with the revision in the header X-Revision."""

    renderer_classes = (JSONRenderer, ZipRenderer)

    @extend_schema(operation_id="sessions_export", responses={(200, "application/zip"): OpenApiTypes.BINARY})
    def get(self, request: SignedInRequest, session_id: UUID) -> HttpResponse:
        access = access_to(request.user, session_id, Action.EXPORT)
        revision, archive = actions.export_session(access, request.user)
        name = zips.name_of(access.session.title) + ".zip"
        headers = {
            "Content-Disposition": str(content_disposition_header(as_attachment=True, filename=name)),
            "X-Revision": str(revision),
        }
        return HttpResponse(archive, content_type="application/zip", headers=headers)
