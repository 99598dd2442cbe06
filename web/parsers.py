"""Parse and validate request bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import parsers
from rest_framework.exceptions import ParseError

from web.problems import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import IO

    from rest_framework.serializers import BaseSerializer


# Stored values are later copied, compared and rendered by recursive code.
MAX_DEPTH = 32


class JSONParser(parsers.JSONParser):
    """DRF's parser with a limit on nesting. Deeper bodies would raise RecursionError, here or in a later request."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        try:
            body = super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError from None
        level: list[Any] = [body]
        for _ in range(MAX_DEPTH):
            level = [child for container in level for child in _children(container) if isinstance(child, (dict, list))]
        if level:
            raise Invalid(f"The request body is nested more than {MAX_DEPTH} deep.")
        return body


def valid(serializer: BaseSerializer[Any]) -> dict[str, Any]:
    """Return the validated input. Raises ValidationError."""
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def _children(container: Any) -> Iterable[Any]:
    if isinstance(container, dict):
        return container.values()
    return container if isinstance(container, list) else ()
