"""The JSON of runs: what comes in is checked here, what goes out is shaped here."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from django.conf import settings
from drf_spectacular.utils import inline_serializer
from rest_framework import serializers

import languages
from execution.events import summary
from execution.judging import FAILED, PASSED, Checker
from execution.limits import ceiling, default_limits
from execution.models import Run, Status, Stream, TestCase
from execution.output import CASE_TEXTS, CASES_SHOWN_BYTES, SHOWN_BYTES, beginnings, cases_with_beginnings, shown
from execution.run_request import RunRequest
from execution.sandbox.job import MAX_ARGUMENT_BYTES
from execution.sandbox.protocol import ProtocolError, check_path
from sessions_app.fields import LanguageField, LineField, TextField
from sessions_app.serializers import PersonSerializer

if TYPE_CHECKING:
    from accounts.models import User
    from execution.availability import Availability

FILES_MAX = 50
ARGS_MAX = 64
TESTS_MAX = 100
TESTS_MAX_BYTES = 4 * 1024 * 1024
STDIN_MAX_BYTES = 1024 * 1024


class FileInput(serializers.Serializer):
    path = serializers.CharField(max_length=255)
    content = TextField(required=False)
    content_base64 = serializers.CharField(required=False)

    def validate_path(self, value: str) -> str:
        try:
            check_path(value)
        except ProtocolError as error:
            raise serializers.ValidationError(f"This path cannot be used: {error}.", "invalid_path") from None
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("content" in attrs) == ("content_base64" in attrs):
            raise serializers.ValidationError("Give either content or content_base64.", "invalid")
        if "content" in attrs:
            data = attrs["content"].encode()
        else:
            try:
                data = base64.b64decode(attrs["content_base64"], validate=True)
            except ValueError:
                raise serializers.ValidationError("content_base64 is not valid base64.", "invalid") from None
        return {"path": attrs["path"], "data": data}


class LimitsInput(serializers.Serializer):
    cpu_ms = serializers.IntegerField(min_value=100, required=False)
    wall_ms = serializers.IntegerField(min_value=100, required=False)
    memory_bytes = serializers.IntegerField(min_value=16 * 1024 * 1024, required=False)
    output_bytes = serializers.IntegerField(min_value=1024, required=False)


class TestCaseInput(serializers.Serializer):
    """One test of a submission. Of a hidden one everybody but its sender is told passed or failed, and nothing else."""

    __test__ = False

    name = LineField(max_length=120, allow_blank=True, default="")
    stdin = TextField(default="")
    args = serializers.ListField(child=TextField(), max_length=ARGS_MAX, default=list)
    expected = TextField(default="")
    checker = serializers.ChoiceField(choices=[checker.value for checker in Checker], default=Checker.LINES.value)
    hidden = serializers.BooleanField(default=False)


class ExecuteInput(serializers.Serializer):
    """Either `session_id` (its saved text runs), or `language` with `code` or `files`, or both.

    With `tests` the program is compiled once and run once for each of them.
    """

    language = LanguageField(required=False)
    code = TextField(required=False)
    files = FileInput(many=True, required=False)
    session_id = serializers.UUIDField(required=False)
    stdin = TextField(required=False)
    args = serializers.ListField(child=TextField(), max_length=ARGS_MAX, required=False)
    interactive = serializers.BooleanField(default=False)
    limits = LimitsInput(required=False)
    tests = TestCaseInput(many=True, required=False)
    stop_on_failure = serializers.BooleanField(default=False)

    def validate_tests(self, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if not 1 <= len(value) <= TESTS_MAX:
            raise serializers.ValidationError(f"Give 1 to {TESTS_MAX} tests.", "invalid")
        words = (word for test in value for word in (test["stdin"], test["expected"], *test["args"]))
        if sum(len(word.encode()) for word in words) > TESTS_MAX_BYTES:
            raise serializers.ValidationError("The tests are larger than 4 MiB together.", "too_large")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "code" in attrs and "files" in attrs:
            raise serializers.ValidationError({"code": "Give either code or files."}, "invalid")
        has_text = "code" in attrs or "files" in attrs
        if has_text and "language" not in attrs and "session_id" not in attrs:
            raise serializers.ValidationError({"language": "This field is required."}, "required")
        if not has_text and "session_id" not in attrs:
            raise serializers.ValidationError({"code": "Give code, files or a session_id."}, "required")
        if "tests" in attrs and (attrs["interactive"] or attrs.get("stdin") or attrs.get("args")):
            raise serializers.ValidationError({"tests": "With tests, stdin and args belong to each test."}, "invalid")
        most = ceiling(interactive=attrs["interactive"])
        asked = attrs.get("limits", {})
        if wrong := {name: f"At most {most[name]} here." for name, value in asked.items() if value > most[name]}:
            raise serializers.ValidationError({"limits": wrong}, "above_ceiling")
        words = [*attrs.get("args", []), *(word for test in attrs.get("tests", []) for word in test["args"])]
        if any("\0" in word for word in words):
            raise serializers.ValidationError({"args": "An argument cannot hold a NUL character."}, "invalid")
        if any(len(word.encode()) > MAX_ARGUMENT_BYTES for word in words):
            raise serializers.ValidationError(
                {"args": f"An argument has {MAX_ARGUMENT_BYTES} bytes at most."}, "invalid"
            )
        return attrs

    def validate_files(self, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        paths = [file["path"] for file in value]
        if not paths or len(paths) > FILES_MAX:
            raise serializers.ValidationError(f"Give 1 to {FILES_MAX} files.", "invalid")
        if len(set(paths)) != len(paths):
            raise serializers.ValidationError("Two files have the same path.", "invalid")
        if sum(len(file["data"]) for file in value) > settings.RUN_CODE_MAX_BYTES:
            raise serializers.ValidationError("The files are larger than 512 KiB together.", "too_large")
        return value

    def run_request(self, *, idempotency_key: str, address: str) -> RunRequest:
        """What was asked for, once it is valid."""
        given = self.validated_data
        return RunRequest(
            session_id=given.get("session_id"),
            language=languages.get(given["language"]) if "language" in given else None,
            code=given["code"].encode() if "code" in given else None,
            files={file["path"]: file["data"] for file in given["files"]} if "files" in given else None,
            stdin=given.get("stdin", "").encode(),
            args=given.get("args", []),
            interactive=given["interactive"],
            limits=given.get("limits", {}),
            tests=given.get("tests", []),
            stop_on_failure=given["stop_on_failure"],
            sent=self.initial_data,
            idempotency_key=idempotency_key,
            address=address,
        )


class InputTyped(serializers.Serializer):
    text = TextField(default="")
    eof = serializers.BooleanField(default=False)

    def validate_text(self, value: str) -> str:
        if len(value.encode()) > 64 * 1024:
            raise serializers.ValidationError("At most 64 KiB at a time.", "too_large")
        return value


def run_json(run: Run, reader: User) -> dict[str, Any]:
    """A run with the beginning of its output and its test cases, as `reader` may see them; bounded by output.py."""
    body = summary(run, reader)
    begun = beginnings(run)
    for name, stream in (("stdout", Stream.STDOUT), ("stderr", Stream.STDERR), ("compile_output", Stream.COMPILE)):
        body |= shown(name, *begun[stream], SHOWN_BYTES)
    cases = cases_with_beginnings(run, SHOWN_BYTES)
    most = min(SHOWN_BYTES, CASES_SHOWN_BYTES // (len(CASE_TEXTS) + 1) // max(1, len(cases)))
    # Stopping a run, or breaking its sandbox, at a chosen moment would tell what had been passed by then.
    is_over = body["finished_at"] is not None and body["status"] not in (Status.CANCELLED, Status.ERROR)
    is_author = run.user_id == reader.pk
    body["cases"] = [
        _case_json(case, most) if is_author or not case.is_hidden else _hidden_case_json(case, is_over=is_over)
        for case in cases
    ]
    return body


def _hidden_case_json(case: TestCase, *, is_over: bool) -> dict[str, Any]:
    """All that is told of it to others. When it ended would tell of what it read, so they hear it at the run's end."""
    verdict = None
    if is_over and case.verdict:
        verdict = PASSED if case.verdict == PASSED else FAILED
    return {"number": case.number, "hidden": True, "verdict": verdict}


def _case_json(case: Any, most: int) -> dict[str, Any]:
    words = list(case.args)
    while len(json.dumps(words)) > most:
        words.pop()
    body: dict[str, Any] = {
        "number": case.number,
        "name": case.name,
        "hidden": case.is_hidden,
        "checker": case.checker,
        "verdict": case.verdict or None,
        "exit_code": case.exit_code,
        "signal": case.signal or None,
        "truncated": case.truncated,
        "stats": case.stats,
        "args": words,
        "args_truncated": len(words) < len(case.args),
    }
    for name in CASE_TEXTS:
        begun, size = getattr(case, f"{name}_begun"), getattr(case, f"{name}_size")
        body |= shown(name, bytes(begun or b""), size, most)
    return body


class RunSummarySerializer(serializers.Serializer):
    """For the schema: the shape that `summary` makes."""

    job_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=Status.values)
    language = serializers.CharField()
    session_id = serializers.UUIDField(allow_null=True)
    user = PersonSerializer(allow_null=True)
    revision = serializers.IntegerField(
        allow_null=True, help_text="Of the session's text that ran; null when the code came with the request."
    )
    interactive = serializers.BooleanField()
    exit_code = serializers.IntegerField(allow_null=True)
    signal = serializers.CharField(allow_null=True)
    truncated = serializers.BooleanField()
    stats = serializers.DictField()
    limits = serializers.DictField()
    error_id = serializers.CharField(allow_null=True)
    cancelled_by = PersonSerializer(allow_null=True)
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class RunSerializer(RunSummarySerializer):
    """For the schema: the shape that `run_json` makes."""

    stdout = serializers.CharField(help_text="Its beginning; all of it is at /output.")
    stdout_bytes = serializers.IntegerField(help_text="The size of all of it.")
    stdout_truncated = serializers.BooleanField(help_text="Whether there is more than is shown here.")
    stderr = serializers.CharField()
    stderr_bytes = serializers.IntegerField()
    stderr_truncated = serializers.BooleanField()
    compile_output = serializers.CharField()
    compile_output_bytes = serializers.IntegerField()
    compile_output_truncated = serializers.BooleanField()
    stdout_base64 = serializers.CharField(required=False, help_text="Where the output is not valid UTF-8.")
    stderr_base64 = serializers.CharField(required=False)
    compile_output_base64 = serializers.CharField(required=False)
    cases = serializers.ListField(child=serializers.DictField())


OUTPUT_STREAMS = list(dict.fromkeys((*Stream.values, *CASE_TEXTS)))
# `from` is a word of the language.
OutputPieceSerializer = inline_serializer(
    "OutputPiece",
    {
        "job_id": serializers.UUIDField(),
        "case": serializers.IntegerField(required=False),
        "stream": serializers.ChoiceField(choices=OUTPUT_STREAMS),
        "from": serializers.IntegerField(),
        "next": serializers.IntegerField(),
        "total": serializers.IntegerField(),
        "text": serializers.CharField(),
        "data_base64": serializers.CharField(),
    },
)


class LanguageSerializer(serializers.Serializer):
    key = serializers.CharField()
    name = serializers.CharField()
    aliases = serializers.ListField(child=serializers.CharField())
    version = serializers.CharField(allow_null=True)
    file_name = serializers.CharField()
    limits = serializers.DictField()
    available = serializers.BooleanField()
    unavailable_reason = serializers.CharField(allow_null=True)


def language_json(row: Availability) -> dict[str, Any]:
    limits = default_limits(row.language)
    return {
        "key": row.language.key,
        "name": row.language.name,
        "aliases": list(row.language.aliases),
        "version": row.version,
        "file_name": row.language.file_name,
        "limits": {
            "cpu_ms": limits.cpu_ms,
            "wall_ms": limits.wall_ms,
            "memory_bytes": limits.memory_bytes,
            "output_bytes": limits.output_bytes,
        },
        "available": row.available,
        "unavailable_reason": row.unavailable_reason or None,
    }
