"""Errors to raise, and the handler that renders them as application/problem+json (RFC 9457); page_errors.py has pages.

DomainError          code, HTTP status, sentence; each app derives its own in errors.py
  NotFound           absent, or not for you: the two look alike
  Forbidden          you may know of it, but not do this
  Conflict           the state does not allow it
  Invalid            the request is understood and wrong; `errors` names the fields
"""

from __future__ import annotations

import logging
import sys
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse, JsonResponse
from django.template import loader
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.response import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest

logger = logging.getLogger(__name__)
CONTENT_TYPE = "application/problem+json"


class DomainError(Exception):
    """An expected refusal, not a bug. `detail` tells the user why."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 400
    detail: str = "This cannot be done."

    def __init__(self, detail: str = "", *, errors: Mapping[str, list[Any]] | None = None, **extra: Any) -> None:
        self.detail = detail or type(self).detail
        self.errors = {
            name: [self._entry(message) for message in messages] for name, messages in (errors or {}).items()
        }
        self.extra = extra
        self.headers: Mapping[str, str] = {}
        super().__init__(self.detail)

    def _entry(self, message: Any) -> dict[str, str]:
        """Make an entry of `errors`, {"message", "code"}. A plain sentence gets the code of the whole error."""
        return message if isinstance(message, dict) else {"message": message, "code": self.code}


class NotFound(DomainError):
    code = "not_found"
    status = 404
    detail = "This does not exist, or you have no access to it."


class Forbidden(DomainError):
    code = "forbidden"
    status = 403
    detail = "You do not have permission to do this."


class Conflict(DomainError):
    code = "conflict"
    status = 409


class Invalid(DomainError):
    code = "invalid"
    status = 400
    detail = "Some fields are invalid."


def problem(status: int, code: str, detail: str, **members: Any) -> dict[str, Any]:
    """Build the body of an error. `type` is always about:blank; `code` is the stable name to program against."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, "code": code}
    return body | {name: value for name, value in members.items() if value}


DATABASE_RETRY_SECONDS = 5
DATABASE_AWAY = problem(
    503,
    "database_unavailable",
    "The database is not responding. Saved work is safe. Try again in a few seconds, but check first whether your "
    "change was made.",
)


def body_too_large(max_bytes: int) -> str:
    return f"The request body is larger than {max_bytes // (1024 * 1024)} MB."


def problem_response(status: int, code: str, detail: str, **members: Any) -> JsonResponse:
    """Build the response to an error outside DRF (middleware, unknown paths)."""
    return JsonResponse(problem(status, code, detail, **members), status=status, content_type=CONTENT_TYPE)


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Render an exception (DRF's EXCEPTION_HANDLER). Unexpected ones are logged under an id; only the id is sent."""
    headers: dict[str, str] = {}
    if isinstance(exc, DomainError):
        headers.update(exc.headers)
        if retry_after := exc.extra.pop("retry_after", None):
            headers["Retry-After"] = str(retry_after)
        body = problem(exc.status, exc.code, exc.detail, errors=exc.errors, **exc.extra)
    elif isinstance(exc, Http404):
        body = problem(404, NotFound.code, NotFound.detail)
    elif isinstance(exc, PermissionDenied):
        body = problem(403, Forbidden.code, str(exc) or Forbidden.detail)
    elif isinstance(exc, RequestDataTooBig):
        body = problem(413, "body_too_large", body_too_large(settings.BODY_MAX_BYTES))
    elif isinstance(exc, exceptions.APIException):
        body = _from_drf(exc)
        if header := getattr(exc, "auth_header", None):
            headers["WWW-Authenticate"] = header
        if wait := getattr(exc, "wait", None):
            headers["Retry-After"] = str(max(1, round(wait)))
    elif is_database_away(exc):
        logger.warning("no database: %s", exc)
        headers["Retry-After"] = str(DATABASE_RETRY_SECONDS)
        body = DATABASE_AWAY
    else:
        error_id = uuid.uuid4().hex
        logger.exception("unhandled error %s at %s", error_id, getattr(context.get("request"), "path", "?"))
        body = problem(
            500,
            "internal_error",
            "Something went wrong on our side. This request changed nothing.",
            error_id=error_id,
        )
    response = Response(body, status=body["status"], headers=headers)
    response.content_type = CONTENT_TYPE if _wants_json(context) else None
    return response


def _wants_json(context: dict[str, Any]) -> bool:
    """Whether to send problem+json. The browsable API renders errors as its own HTML page."""
    renderer = getattr(context.get("request"), "accepted_renderer", None)
    return renderer is None or renderer.format == "json"


_CODES = {
    "not_authenticated": "not_authenticated",
    "authentication_failed": "not_authenticated",
    "token_not_valid": "token_not_valid",
    "parse_error": "invalid_json",
    "permission_denied": "forbidden",
    "throttled": "rate_limited",
}


def _from_drf(exc: exceptions.APIException) -> dict[str, Any]:
    if isinstance(exc, exceptions.ValidationError):
        return problem(400, Invalid.code, Invalid.detail, errors=_flatten(exc.get_full_details()))
    code = exc.get_codes()
    name = code if isinstance(code, str) else "token_not_valid" if exc.status_code == 401 else exc.default_code
    detail = exc.detail if isinstance(exc.detail, str) else exc.default_detail
    if isinstance(exc, exceptions.ParseError):
        detail = "The request body is not valid JSON."
    return problem(exc.status_code, _CODES.get(name, name), str(detail))


def _flatten(details: Any, path: str = "") -> dict[str, list[dict[str, str]]]:
    """Turn {"limits": {"cpu_ms": [...]}} into {"limits.cpu_ms": [{"message", "code"}]}."""
    if isinstance(details, dict) and "message" in details and "code" in details:
        return {path or "request": [{"message": str(details["message"]), "code": str(details["code"])}]}
    flat: dict[str, list[dict[str, str]]] = {}
    items = details.items() if isinstance(details, dict) else [("", item) for item in details]
    for name, value in items:
        parts = (path, "" if name == "non_field_errors" else str(name))
        for key, messages in _flatten(value, ".".join(filter(None, parts))).items():
            flat.setdefault(key, []).extend(messages)
    return flat


def is_api(request: HttpRequest) -> bool:
    """Whether the request is for the API, which answers in JSON, and not for a page."""
    return request.path_info.startswith("/api/")


@csrf_exempt
def api_not_found(request: HttpRequest, path: str = "") -> JsonResponse:
    """Answer any unknown path under /api/."""
    return problem_response(404, NotFound.code, "This API has no such path.")


def is_database_away(error: BaseException | None) -> bool:
    """Whether PostgreSQL could not be reached, went away, or has no connection left."""
    cause = error.__cause__ if isinstance(error, OperationalError | InterfaceError) else None
    if not type(cause).__module__.startswith("psycopg"):
        return False
    # SQLSTATE classes: connection exceptions, and operator intervention except for cancelled statements.
    state = getattr(cause, "sqlstate", None)
    return state is None or state.startswith(("08", "57P")) or state == "53300"


def database_away_response(request: HttpRequest) -> HttpResponse:
    """Answer with DATABASE_AWAY, as JSON or as a page."""
    headers = {"Retry-After": str(DATABASE_RETRY_SECONDS)}
    if is_api(request):
        return JsonResponse(DATABASE_AWAY, status=503, content_type=CONTENT_TYPE, headers=headers)
    return HttpResponse(loader.render_to_string("503.html"), status=503, headers=headers)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer unhandled errors (handler500), as JSON or as a page. Neither reveals more than an id."""
    if is_database_away(sys.exc_info()[1]):
        return database_away_response(request)
    if is_api(request):
        return problem_response(500, "internal_error", "Something went wrong on our side.")
    return defaults.server_error(request)
