"""Page lists as {next, previous, results} by cursor, so that no row is skipped or repeated."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from django.core.exceptions import ValidationError
from django.db.models import CharField
from django.utils import timezone
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination

from web.problems import Invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from django.db.models import Field, QuerySet
    from rest_framework.request import Request


class WrongCursor(Invalid):
    def __init__(self) -> None:
        super().__init__(errors={"cursor": ["Use a cursor from `next` or `previous` of this list."]})


class Paging(CursorPagination):
    page_size = 20
    page_size_query_param = "page_size"
    max_page_size = 100
    ordering: Any = "-created_at"

    def __init__(self, ordering: Sequence[str] | None = None) -> None:
        if ordering is not None:
            self.ordering = tuple(ordering)

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> Any:
        """Return the requested page. Raises Invalid for a wrong `cursor` or `page_size`."""
        cursor = self.decode_cursor(request)
        if cursor is not None and cursor.position is not None:
            ordered_by = self.get_ordering(request, queryset, view)[0].removeprefix("-")
            _check_position(queryset.model._meta.get_field(ordered_by), cursor.position)
        return super().paginate_queryset(queryset, request, view)

    def get_page_size(self, request: Request) -> int:
        given = request.query_params.get("page_size")
        if given is None:
            return self.page_size
        if not (given.isascii() and given.isdigit() and len(given) < 10 and 1 <= int(given) <= self.max_page_size):
            raise Invalid(errors={"page_size": [f"Use a whole number from 1 to {self.max_page_size}."]})
        return int(given)

    def decode_cursor(self, request: Request) -> Any:
        encoded = request.query_params.get("cursor")
        if encoded is None:
            return None
        try:
            # The framework would skip characters that are not base64, and unknown names.
            names = parse_qs(base64.b64decode(encoded, validate=True).decode("ascii"), keep_blank_values=True)
            if not names or not names.keys() <= {"o", "r", "p"}:
                raise WrongCursor
            return super().decode_cursor(request)
        except (binascii.Error, ValueError, NotFound):
            raise WrongCursor from None


class Together:
    """Disjoint querysets of one table, paged as one list.

    Each is asked for as many rows as the page needs, which its own index finds at once; for a single OR across two
    tables, the database would read all of the first. Times are then sorted here. Text is sorted by the database, which
    has its own collation: it is asked for the ids first, and then for those of `rows()`.
    """

    def __init__(
        self, rows: Callable[[], QuerySet[Any]], parts: Sequence[QuerySet[Any]], ordering: Sequence[str] = ()
    ) -> None:
        self.model = parts[0].model
        self._rows, self._parts, self._ordering = rows, parts, tuple(ordering)

    def order_by(self, *ordering: str) -> Together:
        return Together(self._rows, [part.order_by(*ordering) for part in self._parts], ordering)

    def filter(self, *conditions: Any, **more: Any) -> Together:
        return Together(self._rows, [part.filter(*conditions, **more) for part in self._parts], self._ordering)

    def __getitem__(self, wanted: slice) -> Sequence[Any] | QuerySet[Any]:
        if len(self._parts) == 1:
            return self._parts[0][wanted]
        if any(isinstance(self.model._meta.get_field(name.lstrip("-")), CharField) for name in self._ordering):
            ids = [pk for part in self._parts for pk in part.values_list("pk", flat=True)[: wanted.stop]]
            return self._rows().filter(pk__in=ids).order_by(*self._ordering)[wanted]
        found = [row for part in self._parts for row in part[: wanted.stop]]
        # From the last field to the first, because sorting is stable.
        for name in reversed(self._ordering):
            found.sort(key=attrgetter(name.lstrip("-")), reverse=name.startswith("-"))
        return found[wanted]


def _check_position(field: Field, position: str) -> None:
    """Raise WrongCursor for a position that the database could not compare with the column."""
    if "\0" in position:
        raise WrongCursor
    try:
        value = field.to_python(position)
        if isinstance(value, datetime):
            if timezone.is_naive(value):
                raise WrongCursor
            # The first and last day of the calendar may fall outside it in UTC.
            value.astimezone(UTC)
    except (ValidationError, OverflowError):
        raise WrongCursor from None


def refuse_unknown_parameters(request: Request, allowed: Collection[str], *, is_paged: bool = True) -> None:
    """Raise Invalid for unknown parameters: a misspelt filter must not silently list everything."""
    unknown = set(request.query_params) - {*allowed, "format"} - ({"cursor", "page_size"} if is_paged else set())
    if unknown:
        known = ", ".join(sorted(allowed)) or "none"
        raise Invalid(
            "Unknown query parameters.",
            errors={name: [f"Unknown. Known parameters: {known}."] for name in sorted(unknown)},
        )
