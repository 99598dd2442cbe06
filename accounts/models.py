"""People. One user model for pages, API, admin and sockets."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower

USERNAME_PATTERN = r"^[A-Za-z0-9_.-]{3,30}\Z"

# One hue of eight per person, the same everywhere they are shown (the palette is in frontend/styles).
HUES = 8


class Role(models.TextChoices):
    USER = "user"
    MODERATOR = "moderator"
    ADMIN = "admin"


def default_preferences() -> dict[str, object]:
    return {"theme": "system", "editor_settings": {}}


class PeopleManager(UserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(username__iexact=username)


class User(AbstractUser):
    """A person or, later, a bot. Names and addresses are unique without regard to case."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    username = models.CharField(
        max_length=30,
        validators=[
            RegexValidator(USERNAME_PATTERN, "Use 3 to 30 letters, digits, dots, dashes or underscores.", "invalid")
        ],
        help_text="3 to 30 letters, digits, dots, dashes or underscores.",
    )
    email = models.EmailField("e-mail address", max_length=254)
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.USER)
    preferences = models.JSONField(default=default_preferences, blank=True)
    version = models.PositiveIntegerField(default=1, editable=False)

    objects: ClassVar[PeopleManager] = PeopleManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("username"), name="user_username_unique"),
            models.UniqueConstraint(Lower("email"), name="user_email_unique"),
        ]

    @property
    def hue(self) -> int:
        return self.id.int % HUES

    @property
    def is_moderator(self) -> bool:
        return self.is_active and (self.is_superuser or self.role in (Role.MODERATOR, Role.ADMIN))
