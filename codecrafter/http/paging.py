"""Lists are {next, previous, results}, by cursor, so that a page never skips or repeats a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.pagination import CursorPagination

from codecrafter.http.problems import Invalid

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rest_framework.request import Request


class Paging(CursorPagination):
    page_size = 20
    page_size_query_param = "page_size"
    max_page_size = 100
    ordering: Any = "-created_at"

    def __init__(self, ordering: Sequence[str] | None = None) -> None:
        if ordering is not None:
            self.ordering = tuple(ordering)


def refuse_unknown_parameters(request: Request, allowed: Collection[str]) -> None:
    """An unknown filter is an error, not silence: a misspelt filter would otherwise list everything."""
    unknown = set(request.query_params) - {*allowed, "cursor", "page_size", "format"}
    if unknown:
        known = ", ".join(sorted(allowed)) or "none"
        raise Invalid(
            "Unknown query parameters.",
            errors={name: [f"Unknown. Known here: {known}."] for name in sorted(unknown)},
        )
