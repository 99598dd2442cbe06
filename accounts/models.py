"""The user model of pages, API, admin and sockets, its personal tokens, and moderators' notes."""

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

# No mail is ever delivered to these (RFC 2606).
BOT_DOMAIN = "bots.invalid"
GUEST_DOMAIN = "guests.invalid"
GONE_DOMAIN = "deleted.invalid"

# Each user has one of eight hues, the same everywhere they are shown (the palette is in frontend/styles).
HUES = 8


class Role(models.TextChoices):
    USER = "user"
    MODERATOR = "moderator"
    ADMIN = "admin"


def default_preferences() -> dict[str, object]:
    return {"theme": "system", "editor_settings": {}}


class Scope(models.TextChoices):
    """What a personal token may be used for. No scope includes another."""

    READ = "read", "Read: view sessions, runs and the profile"
    EDIT = "edit", "Edit: create sessions and change what is in them"
    RUN = "run", "Run: start and stop programs, and send them input"
    MANAGE = "manage", "Manage: share sessions, make them public, hand them over, archive them"


def able(prefix: str = "") -> Q:
    """Match users who may act now: neither deactivated nor suspended. `prefix` is the lookup path, such as "user__".

    A suspension that has expired does not count, even though its columns are still set.
    """
    is_free = Q(**{f"{prefix}suspended_at": None}) | Q(**{f"{prefix}suspended_until__lte": timezone.now()})
    return is_free & Q(**{f"{prefix}is_active": True})


class PeopleManager(UserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(username__iexact=username)


class User(AbstractUser):
    """A person, a bot or a guest. Usernames and addresses are unique regardless of case.

    A bot belongs to a person, takes part in sessions like any user, and signs in with tokens only. A guest gave a
    name in one session, cannot sign in, and is anonymous everywhere else (accounts/guests.py).
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
    # Incremented to end every sign-in at once: the session hash that cookies, JWTs and sockets carry includes it.
    sign_in_mark = models.PositiveIntegerField(default=0, editable=False)
    is_guest = models.BooleanField(default=False, editable=False)
    bot_of = models.ForeignKey("self", models.CASCADE, null=True, blank=True, editable=False, related_name="bots")
    # A deleted account keeps its row, without a name, because content that stays refers to it.
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Indefinite without `suspended_until`.
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
        """Whether the user may act now; able() for a row that is already loaded."""
        return self.is_active and not self.is_suspended

    @property
    def is_moderator(self) -> bool:
        return self.is_able and (self.is_superuser or self.role in (Role.MODERATOR, Role.ADMIN))

    @property
    def is_bot(self) -> bool:
        return self.bot_of_id is not None

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Return the session hash that cookies, tokens and sockets carry; Django's own, plus `sign_in_mark`."""
        text = f"{self.password}:{self.sign_in_mark}"
        return salted_hmac("accounts.User.sign_in", text, secret=secret, algorithm="sha256").hexdigest()


class PersonalTokens(models.QuerySet["PersonalToken"]):
    def usable(self) -> PersonalTokens:
        """Keep tokens that are neither revoked nor expired, and whose user, and a bot's owner, may sign in."""
        return self.filter(
            Q(expires_at=None) | Q(expires_at__gt=timezone.now()),
            Q(user__bot_of=None) | able("user__bot_of__"),
            able("user__"),
            revoked_at=None,
        )


class PersonalToken(models.Model):
    """A named key for a program that acts as a person or a bot. The token itself is shown once and not stored."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="personal_tokens")
    name = models.CharField(max_length=60)
    # SHA-256 of the token: 256 random bits need no slow hash.
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
        """Whether the token is neither revoked nor expired. Does not check whether its user may sign in."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())

    def mark_used(self) -> None:
        """Record the time, at most once a minute, without waiting for a concurrent writer."""
        now = timezone.now()
        stale = now - timedelta(minutes=1)
        if self.last_used_at is None or self.last_used_at < stale:
            noted = Q(last_used_at=None) | Q(last_used_at__lt=stale)
            PersonalToken.objects.filter(noted, pk=self.pk).update(last_used_at=now)


class Note(models.Model):
    """What moderators tell each other about a user."""

    user = models.ForeignKey(User, models.CASCADE, related_name="notes")
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    text = models.TextField(max_length=2000)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return self.text[:60]
