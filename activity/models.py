"""The activity log in SQL, used where no MongoDB is configured (activity/log.py chooses), and the audit trail."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import models

from activity.errors import AppendOnly


class Activity(models.Model):
    """Who did what. People and sessions are kept by id, not by key: an entry outlives what it speaks of."""

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
    """The database refuses these too (migration 0003); here the caller hears of it before anything is sent."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnly

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly

    def delete(self) -> NoReturn:
        raise AppendOnly


class AuditEntry(models.Model):
    """One line of the audit trail (activity/audit.py writes it). People are in it by id, never by name.

    `hash` is the SHA-256 of the other columns and of the entry before, so a changed, removed or added line shows.
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
    # Unique, so that two entries can never claim the same one before them.
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
