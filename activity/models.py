"""The activity log in SQL, used if no MongoDB is configured (see activity/log.py), and the audit trail."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import models

from activity.errors import AppendOnly


class Activity(models.Model):
    """An entry of the activity log. It has ids of users and sessions, not foreign keys, because it outlives them."""

    timestamp = models.DateTimeField(db_index=True)
    level = models.CharField(max_length=8)
    message = models.CharField(max_length=300)
    action = models.CharField(max_length=60, db_index=True)
    user_id = models.UUIDField(null=True, blank=True, db_index=True)
    session_id = models.UUIDField(null=True, blank=True, db_index=True)
    metadata = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-timestamp", "-id"]
        verbose_name_plural = "activity"

    def __str__(self) -> str:
        return self.message


class AuditEntries(models.QuerySet["AuditEntry"]):
    """Refuses changes before they reach the database, which refuses them too (migration 0003)."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnly

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly

    def delete(self) -> NoReturn:
        raise AppendOnly


class AuditEntry(models.Model):
    """An entry of the audit trail (written by activity/audit.py). It refers to people by id, never by name.

    `hash` is the SHA-256 of the other columns, including the previous hash, so a change, removal or insertion shows.
    """

    number = models.PositiveBigIntegerField(primary_key=True)
    timestamp = models.DateTimeField(db_index=True)
    action = models.CharField(max_length=60, db_index=True)
    actor_id = models.UUIDField(null=True, db_index=True)
    target_type = models.CharField(max_length=20)
    target_id = models.CharField(max_length=64, db_index=True)
    reason = models.CharField(max_length=500, blank=True)
    metadata = models.JSONField(default=dict)
    request_id = models.CharField(max_length=64, blank=True)
    # Unique, so that no two entries can have the same predecessor.
    previous_hash = models.CharField(max_length=64, unique=True)
    hash = models.CharField(max_length=64)

    objects = AuditEntries.as_manager()

    class Meta:
        ordering = ["-number"]
        verbose_name_plural = "audit trail"

    def __str__(self) -> str:
        return f"{self.number}: {self.action}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnly
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly
