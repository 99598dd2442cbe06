"""The activity log in SQL, used where no MongoDB is configured (activity/log.py chooses)."""

from __future__ import annotations

from django.db import models


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
