"""What a person can do with runs: start, stop, type into; and what a moderator can: requeue a dead letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max, Q, Sum
from django.db.models.functions import Length
from django.utils import timezone

import languages
from accounts.access import check_moderator
from activity import audit
from activity.log import record
from execution import events, queue, turns
from execution.access import stoppable_run, typeable_run
from execution.availability import availability_of, switch_off, switch_on
from execution.ending import announce_end
from execution.errors import IdempotencyKeyReused, LanguageUnavailable, NothingToType, TooManyRuns, TooMuchInput
from execution.limits import prepare_job
from execution.models import DeadLetter, Run, RunFile, RunInput, Status, TestCase
from execution.sandbox.errors import InvalidJob
from sessions_app import storage
from sessions_app.access import Action, access_to
from sessions_app.document import contents
from sessions_app.errors import NotAllowed
from web.problems import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from accounts.models import User
    from execution.run_request import RunRequest


def submit_run(user: User, asked: RunRequest) -> Run:
    """Queue a run. Raises NotAllowed, Invalid, LanguageUnavailable, TooManyRuns, IdempotencyKeyReused."""
    session = access_to(user, asked.session_id, Action.RUN).session if asked.session_id else None
    if session is None and user.is_guest:
        raise NotAllowed("A guest runs programs in the session only.")
    language = asked.language
    if language is None:
        assert session is not None
        language = languages.get(session.language)
    revision, files = None, asked.program(language)
    if earlier := _earlier(user, asked):
        return earlier
    storage.require_disk()
    if reason := availability_of(language).unavailable_reason:
        raise LanguageUnavailable(reason)
    if turns.active_runs(user) >= settings.RUN_ACTIVE_PER_USER:
        raise TooManyRuns(
            f"You already have {settings.RUN_ACTIVE_PER_USER} runs waiting or running. Stop one or wait.", retry_after=5
        )
    if files is None:
        assert session is not None
        revision, files = _text_to_run(session.pk, language)
    try:
        prepare_job(
            language, files, stdin=asked.stdin, args=asked.args, interactive=asked.interactive, limits=asked.limits
        )
    except InvalidJob as error:
        raise Invalid(f"This cannot be run: {error}.") from None
    try:
        return _queue(user, asked, language, revision, files)
    except IntegrityError:
        # Two requests with one key at the same moment: the other one won.
        if earlier := _earlier(user, asked):
            return earlier
        raise


@transaction.atomic
def _queue(
    user: User, asked: RunRequest, language: languages.Language, revision: int | None, files: Mapping[str, bytes]
) -> Run:
    """Write the rows of a run, and hand it to the broker once they are committed."""
    run = Run.objects.create(
        user=user,
        session_id=asked.session_id,
        counted_as=turns.counted_as(user, asked.session_id, asked.address),
        language=language.key,
        revision=revision,
        args=list(asked.args),
        stdin=asked.stdin,
        interactive=asked.interactive,
        limits=dict(asked.limits),
        stop_on_failure=asked.stop_on_failure,
        told={} if any(test["hidden"] for test in asked.tests) else None,
        idempotency_key=asked.idempotency_key,
        request_sha256=asked.digest(),
    )
    RunFile.objects.bulk_create(RunFile(run=run, path=path, content=content) for path, content in files.items())
    TestCase.objects.bulk_create(
        TestCase(
            run=run,
            number=number,
            name=test["name"],
            stdin=test["stdin"].encode(),
            args=test["args"],
            expected=test["expected"].encode(),
            checker=test["checker"],
            is_hidden=test["hidden"],
        )
        for number, test in enumerate(asked.tests, start=1)
    )
    events.announce_state(run)
    record(
        "run.submitted",
        f"{user.username} ran {language.name}",
        user_id=user.pk,
        session_id=asked.session_id,
        metadata={"job_id": str(run.pk)},
    )
    transaction.on_commit(lambda: queue.publish(run.pk))
    return run


def _earlier(user: User, asked: RunRequest) -> Run | None:
    """The run that the same key began. Raises IdempotencyKeyReused."""
    if not asked.idempotency_key:
        return None
    sent = Run.objects.without_input().select_related("user")
    earlier = sent.filter(user=user, idempotency_key=asked.idempotency_key).first()
    if earlier and earlier.request_sha256 != asked.digest():
        raise IdempotencyKeyReused
    return earlier


def _text_to_run(session_id: UUID, language: languages.Language) -> tuple[int, dict[str, bytes]]:
    """The committed files, the entry file under the name that the language expects."""
    revision, files = contents.files_at_head(session_id)
    entry, *others = files.items()
    return revision, {**dict(others), language.file_name: entry[1]}


def cancel_run(run: Run, by: User, reason: str = "") -> Run:
    """Stop a run: at once while it waits, within moments while it runs. Does nothing to one that is over."""
    with transaction.atomic():
        now = timezone.now()
        waiting = Run.objects.filter(pk=run.pk, status=Status.QUEUED).update(
            status=Status.CANCELLED, cancel_requested_at=now, cancelled_by=by, finished_at=now
        )
        running = not waiting and Run.objects.filter(pk=run.pk, status=Status.RUNNING, cancel_requested_at=None).update(
            cancel_requested_at=now, cancelled_by=by
        )
        run = Run.objects.without_input().select_related("user", "cancelled_by").get(pk=run.pk)
        if waiting or running:
            record(
                "run.cancelled",
                f"{by.username} stopped a run",
                user_id=by.pk,
                session_id=run.session_id,
                metadata={"job_id": str(run.pk)},
            )
        if waiting:
            events.announce_state(run)
            announce_end(run)
        elif running:
            events.ring_workers(run)
        if (waiting or running) and by.pk != run.user_id:
            audit.append(
                "run.cancelled",
                actor_id=by.pk,
                target_type="run",
                target_id=run.pk,
                reason=reason,
                metadata={"user": run.user_id, "session": run.session_id},
            )
    return run


def cancel_runs_of(user: User, by: User) -> None:
    """Everything that this person and their bots have waiting or running."""
    for run in Run.objects.active().without_input().filter(Q(user=user) | Q(user__bot_of=user)):
        cancel_run(run, by)


def cancel_run_by_id(user: User, run_id: UUID) -> Run:
    return cancel_run(stoppable_run(user, run_id), user)


def type_into_run(user: User, run_id: UUID, data: bytes, *, is_end: bool = False) -> None:
    """Give a running program input; everybody in the room sees what was typed. Raises NothingToType,
    TooMuchInput."""
    run = typeable_run(user, run_id)
    with transaction.atomic():
        locked = Run.objects.select_for_update().active().filter(pk=run.pk, interactive=True).first()
        if locked is None or locked.input.filter(is_end=True).exists():
            raise NothingToType
        so_far = locked.input.aggregate(last=Max("number"), size=Sum(Length("data")))
        if (so_far["size"] or 0) + len(data) > settings.RUN_INPUT_MAX_BYTES:
            raise TooMuchInput
        last = so_far["last"] or 0
        RunInput.objects.create(run=locked, number=last + 1, user=user, data=data, is_end=is_end)
        if data:
            events.announce_input(run, user, data.decode(errors="replace"))
        events.ring_workers(run)


@transaction.atomic
def requeue(dead_letter: DeadLetter, by: User) -> bool:
    """Give a run that could not be finished three more attempts; False when it is not waiting for that."""
    reset = Run.objects.filter(pk=dead_letter.run_id, status=Status.ERROR, dead_letter__requeued_at=None).update(
        status=Status.QUEUED, attempt=0, error_id="", finished_at=None, published_at=None, worker=""
    )
    if not reset:
        return False
    DeadLetter.objects.filter(pk=dead_letter.pk).update(requeued_at=timezone.now())
    record("run.requeued", f"{by.username} requeued a run", user_id=by.pk, metadata={"job_id": str(dead_letter.run_id)})
    transaction.on_commit(lambda: queue.publish(dead_letter.run_id))
    audit.append("run.requeued", actor_id=by.pk, target_type="run", target_id=dead_letter.run_id)
    return True


@transaction.atomic
def switch_language(key: str, *, by: User, is_on: bool, reason: str = "") -> bool:
    """Let nobody run this language from now on, or everybody again; False when it is so already.

    Programs that wait or run are not touched. Raises Forbidden.
    """
    check_moderator(by)
    if not (switch_on(key) if is_on else switch_off(key, reason)):
        return False
    action = "language.switched_on" if is_on else "language.switched_off"
    record(f"moderation.{action}", f"{by.username} switched {key} {'on' if is_on else 'off'}", user_id=by.pk)
    audit.append(action, actor_id=by.pk, target_type="language", target_id=key, reason=reason)
    return True


def test_language(key: str, *, by: User) -> bool:
    """Ask a worker to try the language's own programs; False when no broker takes the message. Raises Forbidden."""
    check_moderator(by)
    return queue.publish_self_test(key)
