"""/api/execute: parse, ask access, call the action, render."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any

from django.db import close_old_connections
from django.http import HttpResponse
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import permissions, status
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.guests import open_to_guests
from accounts.models import Scope
from execution import actions
from execution.access import readable_case, visible_run
from execution.availability import LANGUAGES, available_languages
from execution.errors import (
    IdempotencyKeyReused,
    LanguageUnavailable,
    NothingToType,
    RunNotFound,
    TooManyRuns,
    TooMuchInput,
)
from execution.events import summary
from execution.models import Run, Stream
from execution.output import CASE_TEXTS, read_case, read_stream
from execution.serializers import (
    OUTPUT_STREAMS,
    ExecuteInput,
    InputTyped,
    LanguageSerializer,
    OutputPieceSerializer,
    RunSerializer,
    RunSummarySerializer,
    language_json,
    run_json,
)
from sessions_app.access import access_to
from sessions_app.errors import NotAllowed, SessionNotFound
from web import answers
from web.client import counted_address
from web.paging import Paging, refuse_unknown_parameters
from web.problems import Invalid
from web.schema import PAGE, page_of, refusals
from web.throttles import RunThrottle, StatusThrottle

if TYPE_CHECKING:
    from uuid import UUID

    from django.http.response import HttpResponseBase

    from accounts.access import SignedInRequest

WAIT_MAX_SECONDS = 30
IDEMPOTENCY_KEY_MAX = 255
# A position in a text of the database is a number of 32 bits.
_OFFSET_MAX = 2**31 - 2


def _number(request: SignedInRequest, name: str, *, most: int | None = None) -> int:
    value = request.query_params.get(name, "0")
    if not value.isascii() or not value.isdigit() or len(value) > 18 or (most is not None and int(value) > most):
        limit = f" of at most {most}" if most is not None else ""
        raise Invalid(errors={name: [f"Use a whole number{limit}."]})
    return int(value)


@open_to_guests
class Execute(APIView):
    """Run a program, or a session's saved text. Answers at once; `?wait=SECONDS` waits for the result."""

    throttle_classes = [RunThrottle]
    token_scope = Scope.RUN

    @extend_schema(
        operation_id="execute",
        parameters=[
            OpenApiParameter(
                "wait",
                {"type": "integer", "minimum": 0, "maximum": WAIT_MAX_SECONDS},
                description="Seconds to wait for the result.",
            ),
            OpenApiParameter(
                "Idempotency-Key",
                {"type": "string", "maxLength": IDEMPOTENCY_KEY_MAX},
                OpenApiParameter.HEADER,
                description="The same key with the same request again answers with the first run.",
            ),
        ],
        request=ExecuteInput,
        responses={
            200: RunSerializer,
            202: RunSerializer,
            **refusals(SessionNotFound, NotAllowed, IdempotencyKeyReused, TooManyRuns, LanguageUnavailable),
        },
    )
    def post(self, request: SignedInRequest) -> Response:
        refuse_unknown_parameters(request, ("wait",))
        wait = _number(request, "wait", most=WAIT_MAX_SECONDS)
        key = request.headers.get("Idempotency-Key", "")
        if len(key) > IDEMPOTENCY_KEY_MAX or not key.isprintable():
            raise Invalid(errors={"Idempotency-Key": ["At most 255 printable characters."]})
        form = ExecuteInput(data=request.data)
        form.is_valid(raise_exception=True)
        asked = form.run_request(idempotency_key=key, address=counted_address(request._request))
        run = actions.submit_run(request.user, asked)
        run = _wait_for(run, wait)
        code = status.HTTP_200_OK if run.is_final else status.HTTP_202_ACCEPTED
        return Response(
            run_json(run, request.user), status=code, headers={"Location": reverse("api:run-status", args=[run.pk])}
        )


def _wait_for(run: Run, seconds: int) -> Run:
    """The run as it is when it ends, or after `seconds`. The pause grows from 10 to 100 ms."""
    deadline, pause = time.monotonic() + seconds, 0.01
    while not run.is_final and time.monotonic() < deadline:
        # Who waits holds no connection: the pool is smaller than the number of people who may wait.
        close_old_connections()
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
        run = Run.objects.without_input().select_related("user", "cancelled_by").get(pk=run.pk)
    return run


@open_to_guests
class RunStatus(APIView):
    throttle_classes = [StatusThrottle]

    @extend_schema(operation_id="execute_status", responses={200: RunSerializer, **refusals(RunNotFound)})
    def get(self, request: SignedInRequest, job_id: UUID) -> Response:
        return Response(run_json(visible_run(request.user, job_id), request.user))


@open_to_guests
class RunOutputPiece(APIView):
    """A stream of a run, or of one of its test cases, from a byte offset on; `next` is the offset to ask for next."""

    throttle_classes = [StatusThrottle]

    @extend_schema(
        operation_id="execute_output",
        parameters=[
            OpenApiParameter("from", {"type": "integer", "minimum": 0, "default": 0, "maximum": _OFFSET_MAX}),
            OpenApiParameter("stream", str, enum=OUTPUT_STREAMS),
            OpenApiParameter("case", {"type": "integer", "minimum": 1}, description="The number of a test case."),
        ],
        responses={200: OutputPieceSerializer, **refusals(RunNotFound, NotAllowed)},
    )
    def get(self, request: SignedInRequest, job_id: UUID) -> Response:
        refuse_unknown_parameters(request, ("from", "stream", "case"))
        run = visible_run(request.user, job_id)
        number = _number(request, "case") if "case" in request.query_params else None
        known = Stream.values if number is None else CASE_TEXTS
        stream = request.query_params.get("stream", Stream.STDOUT.value)
        if stream not in known:
            raise Invalid(errors={"stream": [f"Known here: {', '.join(known)}."]})
        begin = _number(request, "from", most=_OFFSET_MAX)
        if number is None:
            piece, total = read_stream(run, stream, begin)
        else:
            piece, total = read_case(readable_case(request.user, run, number), stream, begin)
        return Response(
            ({} if number is None else {"case": number})
            | {
                "job_id": str(run.pk),
                "stream": stream,
                "from": begin,
                "next": begin + len(piece),
                "total": total,
                "text": piece.decode(errors="replace"),
                "data_base64": base64.b64encode(piece).decode(),
            }
        )


@open_to_guests
class RunCancel(APIView):
    token_scope = Scope.RUN

    @extend_schema(
        operation_id="execute_cancel",
        request=None,
        responses={202: RunSerializer, **refusals(RunNotFound, NotAllowed)},
    )
    def post(self, request: SignedInRequest, job_id: UUID) -> Response:
        run = actions.cancel_run_by_id(request.user, job_id)
        return Response(run_json(run, request.user), status=status.HTTP_202_ACCEPTED)


@open_to_guests
class RunInput(APIView):
    """Type into an interactive run."""

    throttle_classes = [StatusThrottle]
    token_scope = Scope.RUN

    @extend_schema(
        operation_id="execute_input",
        request=InputTyped,
        responses={204: None, **refusals(RunNotFound, NotAllowed, NothingToType, TooMuchInput)},
    )
    def post(self, request: SignedInRequest, job_id: UUID) -> Response:
        form = InputTyped(data=request.data)
        form.is_valid(raise_exception=True)
        typed = form.validated_data
        actions.type_into_run(request.user, job_id, typed["text"].encode(), is_end=typed["eof"])
        return Response(status=status.HTTP_204_NO_CONTENT)


@open_to_guests
class RunHistory(APIView):
    """The runs of a session, newest first, without their output."""

    @extend_schema(
        operation_id="execute_history",
        parameters=PAGE,
        responses={200: page_of(RunSummarySerializer), **refusals(SessionNotFound)},
    )
    def get(self, request: SignedInRequest, session_id: UUID) -> Response:
        refuse_unknown_parameters(request, ())
        session = access_to(request.user, session_id).session
        paging = Paging(("-created_at", "id"))
        runs = session.runs.without_input().select_related("user", "cancelled_by")
        page = paging.paginate_queryset(runs, request, self) or []
        return paging.get_paginated_response([summary(run, request.user) for run in page])


@open_to_guests
class LanguageList(APIView):
    """The languages, and which of them can run here, with the version of their tool."""

    permission_classes = [permissions.AllowAny]

    @extend_schema(operation_id="execute_languages", responses=LanguageSerializer(many=True))
    def get(self, request: SignedInRequest) -> HttpResponseBase:
        refuse_unknown_parameters(request, (), is_paged=False)
        if request.accepted_renderer.format != "json":
            return Response(self._listed())
        body = answers.shared(LANGUAGES, lambda: JSONRenderer().render(self._listed()))
        return HttpResponse(body, content_type="application/json")

    def _listed(self) -> list[dict[str, Any]]:
        return [language_json(row) for row in available_languages()]
