"""Complete the OpenAPI schema: each path once, the shape of lists, and every error as a problem."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Literal

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers

from web.problems import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from web.problems import DomainError

FLAG = {"type": "boolean"}
IF_MATCH = OpenApiParameter("If-Match", str, OpenApiParameter.HEADER, description="The ETag of the state you read.")
IF_NONE_MATCH = OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER, description="The ETag of your copy.")
ETAG = OpenApiParameter("ETag", str, OpenApiParameter.HEADER, response=[200, 201, 304])
UNCHANGED = OpenApiResponse(description="Your copy is still current.")
PAGE = [
    OpenApiParameter("cursor", str, description="From `next` or `previous` of a page of this list."),
    OpenApiParameter("page_size", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
]


class ProblemEntrySerializer(serializers.Serializer):
    message = serializers.CharField()
    code = serializers.CharField()


class ProblemSerializer(serializers.Serializer):
    """An error (RFC 9457). `code` is the stable name to program against; `errors` names fields where some are wrong."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Add `errors`, which as a class attribute would hide that of the framework."""
        entries = serializers.ListField(child=ProblemEntrySerializer())
        return {**super().get_fields(), "errors": serializers.DictField(child=entries, required=False)}


def each_path_once(endpoints: list[tuple[str, str, str, Any]]) -> list[tuple[str, str, str, Any]]:
    return [
        endpoint for endpoint in endpoints if not endpoint[0].startswith("/api/v1/") and not endpoint[0].endswith("/")
    ]


def page_of(item: type[serializers.BaseSerializer[Any]]) -> serializers.Serializer[Any]:
    """Build the serializer of a paged list."""

    def link() -> serializers.URLField:
        return serializers.URLField(allow_null=True, help_text="Null at the end of the list.")

    name = item.__name__.removesuffix("Serializer") + "Page"
    return inline_serializer(name, {"next": link(), "previous": link(), "results": item(many=True)})


def refusals(*kinds: type[DomainError]) -> dict[int, OpenApiResponse]:
    """Describe the responses to errors that are specific to one operation."""
    codes: dict[int, list[str]] = defaultdict(list)
    for kind in kinds:
        codes[kind.status].append(f"`{kind.code}`")
    return {status: OpenApiResponse(description=", ".join(found)) for status, found in codes.items()}


class Schema(AutoSchema):
    """Adds the errors that all operations of a kind share, and describes every error as a problem."""

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        for status, codes in self._common_refusals().items():
            said = bodies.setdefault(str(status), {"description": ""})
            named = [f"`{code}`" for code in codes if f"`{code}`" not in said["description"]]
            said["description"] = ", ".join(filter(None, [said["description"], *named]))
        problem = {CONTENT_TYPE: {"schema": self.resolve_serializer(ProblemSerializer, "response").ref}}
        for answer, said in bodies.items():
            if answer >= "400":
                said["content"] = problem
        return dict(sorted(bodies.items()))

    def _common_refusals(self) -> dict[int, Sequence[str]]:
        has_body = self.method in ("POST", "PUT", "PATCH") and self.get_request_serializer() is not None
        parameters = self.get_override_parameters()
        found: dict[int, Sequence[str]] = {429: ["rate_limited"]}
        if self.view.authentication_classes:
            found |= {401: ["not_authenticated", "token_not_valid"], 403: ["scope_missing", "forbidden"]}
        if "{" in self.path:
            found[404] = ["not_found"]
        if has_body or any(_place(parameter) == "query" for parameter in parameters):
            found[400] = ["invalid", "invalid_json"] if has_body else ["invalid"]
        if has_body:
            found |= {413: ["body_too_large"], 415: ["unsupported_media_type"]}
        if IF_MATCH in parameters:
            found[412] = ["changed_meanwhile"]
        return found


def _place(parameter: Any) -> str:
    return getattr(parameter, "location", "")
