"""Coding sessions, their members, and their document as an append-only log of updates."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import able
from sessions_app.limits import TITLE_MAX_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Collection

# How long the owner can restore an archived session.
RESTORE_DAYS = 30
# A guest without an open page for this long no longer counts towards the limit, but can come back.
GUEST_ABSENT_AFTER = timedelta(minutes=5)


class Permission(models.TextChoices):
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


# The permissions that a link can grant or a guest can have.
UP_TO_WRITE = [choice for choice in Permission.choices if choice[0] != Permission.ADMIN]


class CodeSessionQuerySet(models.QuerySet["CodeSession"]):
    def active(self) -> CodeSessionQuerySet:
        return self.filter(archived_at=None)

    def archived(self) -> CodeSessionQuerySet:
        return self.exclude(archived_at=None)

    def public(self) -> CodeSessionQuerySet:
        """Select the sessions that all signed-in users may read."""
        return self.active().filter(is_public=True)

    def recommended(self) -> CodeSessionQuerySet:
        """Select the public sessions to list, leaving out those of suspended users."""
        return self.public().filter(able("owner__"))

    def matching(self, search: str) -> CodeSessionQuerySet:
        """Select sessions with this text in the title or in the owner's name."""
        return self.filter(Q(title__icontains=search) | Q(owner__username__icontains=search)) if search else self

    def owned_by(self, user_id: uuid.UUID) -> CodeSessionQuerySet:
        return self.filter(owner_id=user_id)

    def joined_by(self, user_id: uuid.UUID) -> CodeSessionQuerySet:
        """Select sessions that this user was added to."""
        return self.filter(collaborators__user_id=user_id)

    def with_member(self, user_id: uuid.UUID) -> CodeSessionQuerySet:
        """Select sessions that this user owns or was added to."""
        member = Collaborator.objects.filter(session=models.OuterRef("pk"), user_id=user_id)
        return self.filter(Q(owner_id=user_id) | Q(models.Exists(member)))


class CodeSession(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="owned_sessions")
    title = models.CharField(max_length=TITLE_MAX_CHARACTERS)
    language = models.CharField(max_length=30, default="javascript")
    is_public = models.BooleanField(default=False)
    # Whether people without an account may join by a link, or as readers of a public session.
    allows_guests = models.BooleanField(default=False)
    metadata = models.JSONField(default=dict, blank=True)
    forked_from = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, editable=False, related_name="forks"
    )
    # Incremented with every change of this row, for the ETag. The text has its own history, in the update log.
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    # Set by moderators: nobody changes anything, no program starts, the owner cannot bring it back. The reasons of the
    # first two are told to everybody who has the session open, the third's to moderators.
    locked_at = models.DateTimeField(null=True, blank=True, editable=False)
    lock_reason = models.CharField(max_length=500, blank=True, editable=False)
    frozen_at = models.DateTimeField(null=True, blank=True, editable=False)
    freeze_reason = models.CharField(max_length=500, blank=True, editable=False)
    closed_at = models.DateTimeField(null=True, blank=True, editable=False)
    close_reason = models.CharField(max_length=500, blank=True, editable=False)

    objects = CodeSessionQuerySet.as_manager()

    class Meta:
        ordering = ["-updated_at", "id"]
        permissions = [("moderate_codesession", "Can lock, freeze, close, restore and observe session")]
        indexes = [
            models.Index(fields=["owner", "-updated_at"], name="session_owner_recent"),
            models.Index(
                fields=["-updated_at", "id"],
                condition=Q(is_public=True, archived_at=None),
                name="session_public_recent",
            ),
        ]

    def __str__(self) -> str:
        return self.title


class Collaborator(models.Model):
    session = models.ForeignKey(CodeSession, models.CASCADE, related_name="collaborators")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="collaborations")
    permission = models.CharField(max_length=5, choices=Permission.choices)
    added_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["added_at", "id"]
        constraints = [models.UniqueConstraint(fields=["session", "user"], name="collaborator_once_per_session")]

    def __str__(self) -> str:
        return f"{self.user} ({self.permission})"


class InviteQuerySet(models.QuerySet["Invite"]):
    def unrevoked(self) -> InviteQuerySet:
        """Select links that were not revoked, even if expired or used up."""
        return self.filter(revoked_at=None)

    def usable(self) -> InviteQuerySet:
        return self.unrevoked().filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now())).exclude(uses_left=0)


class Invite(models.Model):
    """A link that lets its holder join. Only the SHA-256 of its token is stored, so the link is shown once."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    session = models.ForeignKey(CodeSession, models.CASCADE, related_name="invites")
    token_sha256 = models.CharField(max_length=64, unique=True)
    permission = models.CharField(max_length=5, choices=Permission.choices, default=Permission.WRITE)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    uses_left = models.PositiveIntegerField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = InviteQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "id"]

    @property
    def is_usable(self) -> bool:
        is_over = self.expires_at is not None and self.expires_at <= timezone.now()
        return self.revoked_at is None and not is_over and self.uses_left != 0


class InviteUse(models.Model):
    """Who joined through an Invite, and when."""

    invite = models.ForeignKey(Invite, models.CASCADE, related_name="uses")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    used_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-used_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["invite", "user"], name="invite_used_once_per_user")]


class GuestPassQuerySet(models.QuerySet["GuestPass"]):
    def valid(self) -> GuestPassQuerySet:
        """Select passes that are valid now: the session allows guests, and the link or the session is still open."""
        by_link, by_public = Q(invite__isnull=False, invite__revoked_at=None), Q(invite=None, session__is_public=True)
        return self.filter(
            by_link | by_public, ended_at=None, expires_at__gt=timezone.now(), session__allows_guests=True
        )

    def present(self) -> GuestPassQuerySet:
        """Select passes of guests who joined, or had the session open, within the last few minutes."""
        return self.valid().filter(seen_at__gt=timezone.now() - GUEST_ABSENT_AFTER)

    def note_seen(self, user_ids: Collection[uuid.UUID]) -> None:
        """Record that these guests have a session open, at most once a minute each."""
        now = timezone.now()
        self.filter(user__in=user_ids, seen_at__lt=now - timedelta(minutes=1)).update(seen_at=now)


class GuestPass(models.Model):
    """Admits one guest to one session, through a link or, in a public session, without one."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="guest_pass")
    session = models.ForeignKey(CodeSession, models.CASCADE, related_name="guest_passes")
    invite = models.ForeignKey(Invite, models.CASCADE, null=True, blank=True, related_name="guest_passes")
    permission = models.CharField(max_length=5, choices=UP_TO_WRITE)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = GuestPassQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name_plural = "guest passes"


class Document(models.Model):
    """The shared document of a session, defined by its update log.

    `head` is the sequence number of the newest update, moved by the transaction that appends. `epoch` identifies this
    history: a client with another history of the same session is rejected, so that text is never duplicated. `text` is
    the entry file as of `text_seq`, recomputed on read if the head has moved.
    """

    session = models.OneToOneField(CodeSession, models.CASCADE, primary_key=True, related_name="document")
    epoch = models.UUIDField(default=uuid.uuid4, editable=False)
    head = models.BigIntegerField(default=0)
    text = models.TextField(default="", blank=True)
    text_seq = models.BigIntegerField(default=0)
    # For compaction: the newest snapshot's number, the size of the updates after it, and when a merge of them last
    # failed its proof, after which they are left alone.
    snapshot_seq = models.BigIntegerField(default=0)
    tail_bytes = models.BigIntegerField(default=0)
    # The size of the snapshot and segments. With tail_bytes, this is the size of the document.
    history_bytes = models.BigIntegerField(default=0)
    compaction_refused_at = models.DateTimeField(null=True, blank=True)


class Update(models.Model):
    """One committed change, as Yjs update v1 bytes. Rows are added, and moved into segments by compaction."""

    document = models.ForeignKey(Document, models.CASCADE, related_name="updates")
    seq = models.BigIntegerField()
    payload = models.BinaryField()
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    origin = models.CharField(max_length=8, choices=[("socket", "socket"), ("server", "server")])
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["seq"]
        constraints = [models.UniqueConstraint(fields=["document", "seq"], name="update_seq_once_per_document")]


class Snapshot(models.Model):
    """All updates up to `seq`, merged. Loading takes the newest snapshot and the updates after it; older snapshots
    serve to read old revisions."""

    document = models.ForeignKey(Document, models.CASCADE, related_name="snapshots")
    seq = models.BigIntegerField()
    payload = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-seq"]
        constraints = [models.UniqueConstraint(fields=["document", "seq"], name="snapshot_seq_once_per_document")]


class ChatMessageQuerySet(models.QuerySet["ChatMessage"]):
    def shown(self) -> ChatMessageQuerySet:
        return self.filter(removed_at=None)


class ChatMessage(models.Model):
    """A chat message. If removed, only moderators can see it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    session = models.ForeignKey(CodeSession, models.CASCADE, related_name="chat_messages")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    text = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    removed_at = models.DateTimeField(null=True, blank=True)
    removed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")

    objects = ChatMessageQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "id"]
        permissions = [("remove_chatmessage", "Can remove chat message")]
        indexes = [models.Index(fields=["session", "-created_at"], name="chat_session_recent")]

    def __str__(self) -> str:
        return self.text[:60]


class Segment(models.Model):
    """A step in the history of a document: updates of one user within a minute or so, merged.

    Compaction creates them from the rows that its snapshot replaces. All segments and the updates after them contain
    everything that was ever written.
    """

    document = models.ForeignKey(Document, models.CASCADE, related_name="segments")
    first_seq = models.BigIntegerField()
    last_seq = models.BigIntegerField()
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    origin = models.CharField(max_length=8, choices=[("socket", "socket"), ("server", "server")])
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    payload = models.BinaryField()

    class Meta:
        ordering = ["last_seq"]
        constraints = [models.UniqueConstraint(fields=["document", "last_seq"], name="segment_once_per_document")]


class Quarantined(models.Model):
    """An update that could not be merged: from a socket (`seq` is None), or from the log or a snapshot at `seq`."""

    document = models.ForeignKey(Document, models.CASCADE, related_name="quarantined")
    seq = models.BigIntegerField(null=True, blank=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    payload = models.BinaryField()
    error = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name_plural = "quarantined"
        indexes = [models.Index(fields=["user", "created_at"], name="quarantined_by_user")]


class Report(models.Model):
    """A user's report of a session to the moderators."""

    class State(models.TextChoices):
        OPEN = "open"
        RESOLVED = "resolved"
        DISMISSED = "dismissed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    session = models.ForeignKey(CodeSession, models.CASCADE, related_name="reports")
    reporter = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    reason = models.TextField()
    state = models.CharField(max_length=9, choices=State.choices, default=State.OPEN)
    created_at = models.DateTimeField(auto_now_add=True)
    settled_at = models.DateTimeField(null=True, blank=True)
    settled_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    answer = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-created_at", "id"]
        permissions = [("settle_report", "Can resolve or dismiss report")]
        indexes = [models.Index(fields=["state", "-created_at"], name="report_queue")]
        constraints = [
            models.UniqueConstraint(
                fields=["session", "reporter"], condition=Q(state="open"), name="report_open_once_per_person"
            )
        ]

    def __str__(self) -> str:
        return self.reason[:60]
