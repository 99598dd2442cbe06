"""People. One user model for pages, API, admin and sockets."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.crypto import salted_hmac

USERNAME_PATTERN = r"^[A-Za-z0-9_.-]{3,30}\Z"

# Never delivered to (RFC 2606).
BOT_DOMAIN = "bots.invalid"
GUEST_DOMAIN = "guests.invalid"
GONE_DOMAIN = "deleted.invalid"

# One hue of eight per person, the same everywhere they are shown (the palette is in frontend/styles).
HUES = 8


class Role(models.TextChoices):
    USER = "user"
    MODERATOR = "moderator"
    ADMIN = "admin"


def default_preferences() -> dict[str, object]:
    return {"theme": "system", "editor_settings": {}}


class Scope(models.TextChoices):
    """What a personal token may be used for; each is given by itself."""

    READ = "read", "Read: view sessions, runs and the profile"
    EDIT = "edit", "Edit: create sessions and change what is in them"
    RUN = "run", "Run: start and stop programs, and send them input"
    MANAGE = "manage", "Manage: share sessions, make them public, hand them over, archive them"


def able(prefix: str = "") -> Q:
    """Those who may act at this moment: neither closed nor suspended. `prefix` leads to the person, as "user__" does.

    A suspension that has run out is none, whether or not anybody has cleared it away.
    """
    is_free = Q(**{f"{prefix}suspended_at": None}) | Q(**{f"{prefix}suspended_until__lte": timezone.now()})
    return is_free & Q(**{f"{prefix}is_active": True})


class PeopleManager(UserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(username__iexact=username)


class User(AbstractUser):
    """A person, a bot or a guest. Names and addresses are unique without regard to case.

    A bot belongs to a person, has a name and a place in sessions like everybody, and signs in by its tokens alone.
    A guest has given a name in one session, cannot sign in, and is nobody anywhere else (accounts/guests.py).
    """

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
    # Raised to end every sign-in at once: it is part of what cookies, JWTs and sockets are compared with.
    sign_in_mark = models.PositiveIntegerField(default=0, editable=False)
    is_guest = models.BooleanField(default=False, editable=False)
    bot_of = models.ForeignKey("self", models.CASCADE, null=True, blank=True, editable=False, related_name="bots")
    # What is left of a deleted account is this row without a name, for what stays of theirs to point at.
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Without `suspended_until` it has no end.
    suspended_at = models.DateTimeField(null=True, blank=True, editable=False)
    suspended_until = models.DateTimeField(null=True, blank=True, editable=False)
    suspension_reason = models.CharField(max_length=500, blank=True, editable=False)
    suspended_by = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, editable=False, related_name="+")

    objects: ClassVar[PeopleManager] = PeopleManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("username"), name="user_username_unique"),
            models.UniqueConstraint(Lower("email"), name="user_email_unique"),
        ]
        permissions = [
            ("suspend_user", "Can suspend user"),
            ("revoke_tokens_user", "Can end sign-ins and revoke tokens of user"),
            ("annotate_user", "Can write notes about user"),
        ]

    @property
    def hue(self) -> int:
        return self.id.int % HUES

    @property
    def is_suspended(self) -> bool:
        until = self.suspended_until
        return self.suspended_at is not None and (until is None or until > timezone.now())

    @property
    def is_able(self) -> bool:
        """As able(), for a row that was fetched."""
        return self.is_active and not self.is_suspended

    @property
    def is_moderator(self) -> bool:
        return self.is_able and (self.is_superuser or self.role in (Role.MODERATOR, Role.ADMIN))

    @property
    def is_bot(self) -> bool:
        return self.bot_of_id is not None

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Django's mark of a sign-in, with ours in it: what cookies and sockets carry to be compared."""
        text = f"{self.password}:{self.sign_in_mark}"
        return salted_hmac("accounts.User.sign_in", text, secret=secret, algorithm="sha256").hexdigest()


class PersonalTokens(models.QuerySet["PersonalToken"]):
    def usable(self) -> PersonalTokens:
        """Neither revoked nor expired, of somebody who may sign in, whose owner may too if it is a bot's."""
        return self.filter(
            Q(expires_at=None) | Q(expires_at__gt=timezone.now()),
            Q(user__bot_of=None) | able("user__bot_of__"),
            able("user__"),
            revoked_at=None,
        )


class PersonalToken(models.Model):
    """A named key for a program that acts as a person or as a bot. The text is shown once and not stored."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="personal_tokens")
    name = models.CharField(max_length=60)
    # SHA-256 of the text: 256 random bits need no slow hash.
    digest = models.CharField(max_length=64, unique=True, editable=False)
    prefix = models.CharField(max_length=16, editable=False)
    scopes = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = PersonalTokens.as_manager()

    class Meta:
        indexes = [models.Index(F("user"), F("created_at").desc(), name="personal_token_of_user")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"

    @property
    def is_usable(self) -> bool:
        """As far as the token goes; whether its person may sign in is not looked at."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())

    def mark_used(self) -> None:
        """Note the time, at most once a minute, without waiting for anybody else who notes it."""
        now = timezone.now()
        stale = now - timedelta(minutes=1)
        if self.last_used_at is None or self.last_used_at < stale:
            noted = Q(last_used_at=None) | Q(last_used_at__lt=stale)
            PersonalToken.objects.filter(noted, pk=self.pk).update(last_used_at=now)


class Note(models.Model):
    """What moderators tell each other about a person."""

    user = models.ForeignKey(User, models.CASCADE, related_name="notes")
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    text = models.TextField(max_length=2000)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return self.text[:60]
