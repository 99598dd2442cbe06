"""Runs, what went into them and what came out. Code, input and output are bytes: any byte survives."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.db import models

from execution.judging import Checker
from sessions_app.models import CodeSession

if TYPE_CHECKING:
    from datetime import datetime


class Status(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    COMPILE_ERROR = "compile_error"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    OUTPUT_LIMIT = "output_limit"
    CANCELLED = "cancelled"
    ERROR = "error"


ACTIVE = (Status.QUEUED, Status.RUNNING)


class RunQuerySet(models.QuerySet["Run"]):
    def active(self) -> RunQuerySet:
        return self.filter(status__in=ACTIVE)

    def without_input(self) -> RunQuerySet:
        """Leave out what went in, which no list or state shows and which may be a megabyte for each run."""
        return self.defer("stdin", "args")


class Run(models.Model):
    """One execution. Its state moves only by guarded UPDATE: whoever changes one row has won."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="runs")
    session = models.ForeignKey(CodeSession, models.CASCADE, null=True, blank=True, related_name="runs")
    # As turns.counted_as() says.
    counted_as = models.CharField(max_length=100, blank=True, default="", editable=False)
    language = models.CharField(max_length=30)
    status = models.CharField(max_length=15, choices=Status.choices, default=Status.QUEUED)
    # The sequence number of the session's text that runs; null when the code came with the request.
    revision = models.BigIntegerField(null=True, blank=True)
    args = models.JSONField(default=list, blank=True)
    stdin = models.BinaryField(default=b"", blank=True)
    interactive = models.BooleanField(default=False)
    stop_on_failure = models.BooleanField(default=False)
    limits = models.JSONField(default=dict, blank=True)
    idempotency_key = models.CharField(max_length=255, blank=True)
    request_sha256 = models.CharField(max_length=64, blank=True)

    attempt = models.PositiveSmallIntegerField(default=0)
    # How often a worker gave it back because its sandbox failed.
    handed_back = models.PositiveSmallIntegerField(default=0, editable=False)
    worker = models.CharField(max_length=200, blank=True)
    # An interactive program that uses next to no processor time, which holds no slot meanwhile.
    # The database has the default, too, for processes that do not know the column yet.
    waits_for_input = models.BooleanField(default=False, db_default=False, editable=False)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    # When the message for the current attempt was last handed to the broker; null until it was.
    published_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    cancelled_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")

    exit_code = models.IntegerField(null=True, blank=True)
    signal = models.CharField(max_length=20, blank=True)
    stats = models.JSONField(default=dict, blank=True)
    truncated = models.BooleanField(default=False)
    # Null unless a test case is hidden. Then this is what everybody but the submitter is told of the end: the result of
    # the visible cases, `seconds` after the start.
    told = models.JSONField(null=True, blank=True, editable=False)
    error_id = models.CharField(max_length=32, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "id"]
        permissions = [("cancel_run", "Can cancel run")]
        indexes = [
            models.Index(fields=["session", "-created_at"], name="run_session_recent"),
            models.Index(fields=["user", "-created_at"], name="run_user_recent"),
            models.Index(fields=["status", "lease_expires_at"], name="run_status_lease"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "idempotency_key"],
                condition=~models.Q(idempotency_key=""),
                name="run_idempotency_key_once_per_user",
            )
        ]

    def __str__(self) -> str:
        return f"{self.language} {self.status} {self.id}"

    @property
    def is_final(self) -> bool:
        return self.status not in ACTIVE

    @property
    def told_at(self) -> datetime | None:
        """When others than the submitter learn that it ended, if that is later than its end."""
        if self.started_at is None or not self.is_final or not self.told or not self.told["seconds"]:
            return None
        return self.started_at + timedelta(seconds=self.told["seconds"])


class RunFile(models.Model):
    run = models.ForeignKey(Run, models.CASCADE, related_name="files")
    path = models.CharField(max_length=255)
    content = models.BinaryField()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["run", "path"], name="run_file_path_once")]


class TestCase(models.Model):
    """One case of a submission: what goes in, what is expected, and, once it ran, what came of it.

    Of a hidden case everybody but the submitter is told whether it was passed, once the run is over, and nothing else.
    `verdict` is `passed`, `wrong_output`, or the final
    state of a case that did not end by itself; empty until the case ran.
    """

    __test__ = False
    NOT_RUN: ClassVar[dict[str, Any]] = {
        "verdict": "",
        "exit_code": None,
        "signal": "",
        "stdout": b"",
        "stderr": b"",
        "truncated": False,
        "stats": {},
    }

    run = models.ForeignKey(Run, models.CASCADE, related_name="cases")
    number = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=120, blank=True)
    stdin = models.BinaryField(default=b"", blank=True)
    args = models.JSONField(default=list, blank=True)
    expected = models.BinaryField(default=b"", blank=True)
    checker = models.CharField(max_length=10, choices=[(checker.value, checker.value) for checker in Checker])
    is_hidden = models.BooleanField(default=False)

    verdict = models.CharField(max_length=15, blank=True)
    exit_code = models.IntegerField(null=True, blank=True)
    signal = models.CharField(max_length=20, blank=True)
    stdout = models.BinaryField(default=b"", blank=True)
    stderr = models.BinaryField(default=b"", blank=True)
    truncated = models.BooleanField(default=False)
    stats = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="test_case_number_once")]


class Stream(models.TextChoices):
    STDOUT = "stdout"
    STDERR = "stderr"
    COMPILE = "compile"


class RunOutput(models.Model):
    """A piece of output. `offset` is where it begins in its stream, in bytes; rows are only ever added."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="output")
    stream = models.CharField(max_length=7, choices=Stream.choices)
    offset = models.BigIntegerField()
    data = models.BinaryField()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["run", "stream", "offset"], name="run_output_offset_once")]


class RunInput(models.Model):
    """What somebody typed into a running program; `number` counts from 1 within the run."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="input")
    number = models.PositiveIntegerField()
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    data = models.BinaryField(default=b"")
    is_end = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="run_input_number_once")]


class DeadLetter(models.Model):
    """A run that three attempts could not finish. A moderator may requeue it."""

    run = models.OneToOneField(Run, models.CASCADE, related_name="dead_letter")
    reason = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    requeued_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        permissions = [("requeue_deadletter", "Can requeue dead letter")]

    def __str__(self) -> str:
        return f"Run {self.run_id}"


class AvailableLanguage(models.Model):
    """A language whose tool answered inside the sandbox. `fault` is what the self-test of this version found wrong."""

    key = models.CharField(max_length=30, primary_key=True)
    version = models.CharField(max_length=120)
    fault = models.CharField(max_length=500, blank=True)
    checked_at = models.DateTimeField()
    # By a moderator, and why; outlives the workers that have the language.
    switched_off_at = models.DateTimeField(null=True, blank=True, editable=False)
    switched_off_reason = models.CharField(max_length=500, blank=True, editable=False)

    class Meta:
        verbose_name = "language"
        permissions = [("switch_availablelanguage", "Can switch language on and off, and test it")]

    def __str__(self) -> str:
        return self.key


class Worker(models.Model):
    """A worker that renews `seen_at` while it lives. Without a sandbox `sandbox` is empty and `detail` the remedy."""

    name = models.CharField(max_length=200, primary_key=True)
    sandbox = models.CharField(max_length=30, blank=True)
    # How many programs it runs at once.
    slots = models.PositiveSmallIntegerField(default=0)
    detail = models.TextField(blank=True)
    seen_at = models.DateTimeField()
    # When it had tried every language; null until then.
    tried_at = models.DateTimeField(null=True, blank=True)
