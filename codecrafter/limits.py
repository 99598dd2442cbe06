"""GET /api/limits: the caller's remaining budgets, and size limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from accounts.privacy import quotas_of
from execution.availability import count_slots
from execution.limits import ceiling
from execution.serializers import ARGS_MAX, FILES_MAX, STDIN_MAX_BYTES, TESTS_MAX
from execution.turns import active_runs, running_share
from sessions_app.limits import CHAT_MAX_CHARACTERS
from sessions_app.serializers import METADATA_MAX_BYTES
from web.throttles import Budget, budget_of, who_is, who_is_at

if TYPE_CHECKING:
    from rest_framework.request import Request

# The rate limit scopes of each kind of caller. The first is for all paths without a scope of their own.
OF_PEOPLE = ("user", "run", "status", "chat")
OF_ADDRESSES = ("anonymous", "register")


class RateSerializer(serializers.Serializer):
    scope = serializers.CharField()
    limit = serializers.IntegerField(help_text="Requests per window.")
    window_seconds = serializers.IntegerField()
    remaining = serializers.IntegerField()
    seconds_left = serializers.IntegerField(help_text="Until the window ends and the full limit is available again.")


class RunCeilingSerializer(serializers.Serializer):
    cpu_ms = serializers.IntegerField()
    wall_ms = serializers.IntegerField()
    memory_bytes = serializers.IntegerField()
    output_bytes = serializers.IntegerField()


class RunsSerializer(serializers.Serializer):
    active = serializers.IntegerField(help_text="Your runs that are waiting or running.")
    active_max = serializers.IntegerField()
    running_max = serializers.IntegerField(help_text="How many of them run at the same time.")
    interactive_max = serializers.IntegerField(help_text="Interactive runs that may wait for input at the same time.")
    submission_wall_ms = serializers.IntegerField(help_text="For all test cases of one submission together.")
    limits_max = RunCeilingSerializer(help_text="The most that one run may request.")
    interactive_limits_max = RunCeilingSerializer(help_text="The most that one interactive run may request.")


class SizesSerializer(serializers.Serializer):
    body_bytes = serializers.IntegerField()
    text_bytes = serializers.IntegerField()
    metadata_bytes = serializers.IntegerField()
    chat_characters = serializers.IntegerField()
    run_code_bytes = serializers.IntegerField(help_text="All files of a run together.")
    run_files = serializers.IntegerField()
    run_args = serializers.IntegerField()
    run_stdin_bytes = serializers.IntegerField()
    run_tests = serializers.IntegerField()


class QuotaSerializer(serializers.Serializer):
    name = serializers.CharField()
    used = serializers.IntegerField()
    limit = serializers.IntegerField(help_text="0 means unlimited.")


class LimitsSerializer(serializers.Serializer):
    storage = QuotaSerializer(many=True, help_text="What you store here; empty for anonymous callers.")
    rates = RateSerializer(many=True, help_text="Empty if rate limits are off.")
    runs = RunsSerializer()
    sizes = SizesSerializer()


class Limits(APIView):
    """Your remaining budgets, and how large things may be."""

    permission_classes = [AllowAny]

    @extend_schema(operation_id="limits", responses=LimitsSerializer)
    def get(self, request: Request) -> Response:
        user = request.user if isinstance(request.user, User) else None
        who = who_is(user) if user else who_is_at(request._request)
        rates = [budget_of(scope, who) for scope in (OF_PEOPLE if user else OF_ADDRESSES)]
        return Response(
            {
                "rates": [_rate(budget) for budget in rates if budget is not None],
                "runs": {
                    "active": active_runs(user) if user else 0,
                    "active_max": settings.RUN_ACTIVE_PER_USER,
                    "running_max": running_share(count_slots() or settings.WORKER_CONCURRENCY),
                    "interactive_max": settings.RUN_INTERACTIVE_PER_USER,
                    "submission_wall_ms": settings.RUN_MAX_SUBMISSION_MS,
                    "limits_max": ceiling(interactive=False),
                    "interactive_limits_max": ceiling(interactive=True),
                },
                "storage": [
                    {"name": quota.name, "used": quota.used, "limit": quota.limit}
                    for quota in (quotas_of(user) if user else [])
                ],
                "sizes": {
                    "body_bytes": settings.BODY_MAX_BYTES,
                    "text_bytes": settings.TEXT_MAX_BYTES,
                    "metadata_bytes": METADATA_MAX_BYTES,
                    "chat_characters": CHAT_MAX_CHARACTERS,
                    "run_code_bytes": settings.RUN_CODE_MAX_BYTES,
                    "run_files": FILES_MAX,
                    "run_args": ARGS_MAX,
                    "run_stdin_bytes": STDIN_MAX_BYTES,
                    "run_tests": TESTS_MAX,
                },
            }
        )


def _rate(budget: Budget) -> dict[str, Any]:
    return {
        "scope": budget.scope,
        "limit": budget.limit,
        "window_seconds": budget.window_seconds,
        "remaining": budget.remaining,
        "seconds_left": budget.seconds_left,
    }
