"""What users can do with their accounts, and moderators with those of others."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction
from django.db.models import F, ProtectedError, Q
from django.dispatch import Signal
from django.utils import timezone

from accounts import access, mail, mfa, personal_tokens, privacy, tokens
from accounts.errors import (
    CodeRefused,
    CodeRequired,
    CredentialsRefused,
    EmailTaken,
    EmailUnverified,
    TokenExpired,
    TokenRefused,
    TooMany,
    UsernameTaken,
    refuse_suspended,
)
from accounts.lockout import count_code, refuse_locked
from accounts.models import BOT_DOMAIN, GONE_DOMAIN, Note, PersonalToken, Role, Scope, User
from accounts.moderators import ensure_group
from activity import audit
from activity.log import forget, record
from web.problems import Forbidden, Invalid
from web.throttles import count_or_refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime
    from uuid import UUID

    from django.http import HttpRequest

    from accounts.tokens import TokenPair


# Sent with `user` when sign-ins have ended; the apps above close open connections.
sign_ins_ended = Signal()
# Sent with `user` and `by` when a suspension begins; the apps above stop the user's runs.
person_suspended = Signal()
# Sent with `bot` when a bot is retired; the apps above hand what it owned to its owner.
bot_retired = Signal()
# Sent with `user` when a username changes; open sockets show it at once.
person_renamed = Signal()
TOKENS_MAX = 50
BOTS_MAX = 10
GONE_DAYS = 1


def register(*, username: str, email: str, password: str) -> User:
    """Create a user from validated fields. Raises UsernameTaken or EmailTaken, which names both fields if both are."""
    email = email.lower()
    _refuse_taken(username, email)
    user = User(username=username, email=email)
    # Before the transaction: hashing takes a fifth of a second, and SQLite has one writer.
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
            EmailAddress.objects.create(user=user, email=email, primary=True)
    except IntegrityError:
        # The name was taken between the check and the write.
        _refuse_taken(username, email)
        raise
    record("user.registered", f"{user.username} signed up", user_id=user.pk)
    return user


def sign_in(request: HttpRequest, name: str, password: str, code: str = "") -> tuple[User, TokenPair]:
    """Issue API tokens for a username or email address and a password, with a `code` if a second factor is on.

    Raises RateLimited, or CredentialsRefused whatever was wrong; once the password is correct, AccountSuspended,
    CodeRequired, CodeRefused or EmailUnverified.
    """
    user = authenticate(request, username=name, password=password)
    refuse_locked(request)
    refuse_suspended(request)
    if not isinstance(user, User):
        raise CredentialsRefused
    if mfa.is_enabled(user):
        if not code:
            raise CodeRequired
        count_code(user, request)
        if not mfa.accepts(user, code):
            record("user.code_refused", f"A wrong second factor for {user.username}", user_id=user.pk, level="warning")
            raise CodeRefused
    if mail.must_be_confirmed(user):
        mail.send_confirmation(request, user)
        raise EmailUnverified
    with transaction.atomic():
        now = timezone.now()
        User.objects.filter(pk=user.pk).update(last_login=now)
        user.last_login = now
        pair = tokens.issue(user)
        record("user.signed_in", f"{user.username} signed in", user_id=user.pk, metadata={"door": "api"})
    return user, pair


def rotate_refresh(refresh: str) -> TokenPair:
    """Exchange an unspent refresh token for a new pair. Raises TokenRefused.

    A token that is used twice was copied, or the first response was lost. The two cannot be told apart, so the whole
    family ends and the user must sign in again. Access tokens already issued stay valid for up to 15 minutes.
    """
    token = tokens.read_refresh(refresh)
    user = tokens.owner_of(token)
    with transaction.atomic():
        if tokens.spend(token):
            return tokens.issue(user, family=token["fam"])
    # Outside the transaction, so that the exception does not roll it back.
    tokens.revoke_family(token["fam"])
    note_sign_ins_ended(user)
    record(
        "user.token_reused",
        f"An old token of {user.username} was used again; that sign-in was ended",
        user_id=user.pk,
        level="warning",
    )
    raise TokenRefused


def sign_out(refresh: str) -> None:
    """End the sign-in that this refresh token belongs to. Harmless if it has already ended."""
    try:
        token = tokens.read_refresh(refresh)
    except TokenExpired:
        return
    tokens.revoke_family(token["fam"])
    user = User.objects.filter(pk=token["sub"]).first()
    if user is not None:
        note_sign_ins_ended(user)
        record("user.signed_out", f"{user.username} signed out", user_id=user.pk, metadata={"door": "api"})


def change_profile(
    request: HttpRequest,
    user: User,
    *,
    username: str | None = None,
    email: str | None = None,
    preferences: Mapping[str, Any] | None = None,
    check_version: Callable[[int], None] = lambda version: None,
) -> User:
    """Change the given fields, and the given keys of `preferences`. Returns the user as stored.

    A new address gets a confirmation request, and the old one is notified. `check_version` is called with the current
    version while the row is locked, and may raise. Raises UsernameTaken and EmailTaken like register().
    """
    try:
        with transaction.atomic():
            stored = User.objects.select_for_update().get(pk=user.pk)
            check_version(stored.version)
            changes: dict[str, Any] = {}
            if username is not None and username != stored.username:
                changes["username"] = username
            if email is not None and email.lower() != stored.email:
                changes["email"] = email.lower()
            if preferences is not None and stored.preferences | dict(preferences) != stored.preferences:
                changes["preferences"] = stored.preferences | dict(preferences)
            if not changes:
                return stored
            _refuse_taken(changes.get("username"), changes.get("email"), but=stored)
            User.objects.filter(pk=stored.pk).update(**changes, version=F("version") + 1)
            if "username" in changes:
                transaction.on_commit(lambda: person_renamed.send(User, user=stored))
            if "email" in changes:
                # Mail must not go to an address that is no longer theirs.
                EmailAddress.objects.filter(user=stored).delete()
                EmailAddress.objects.create(user=stored, email=changes["email"], primary=True)
    except IntegrityError:
        _refuse_taken(username, email, but=user)
        raise
    old_email = stored.email
    stored.refresh_from_db()
    if "email" in changes:
        mail.note_new_address(stored, old_email)
        mail.send_confirmation(request, stored)
    record(
        "user.profile_changed",
        f"{stored.username} changed their {' and '.join(sorted(changes))}",
        user_id=stored.pk,
        metadata={"fields": sorted(changes)},
    )
    return stored


def _refuse_taken(username: str | None, email: str | None, *, but: User | None = None) -> None:
    """Raise an error that lists every taken field in `errors` and has the code of the first."""
    others = User.objects.exclude(pk=but.pk) if but is not None else User.objects.all()
    refusals: dict[str, type[UsernameTaken] | type[EmailTaken]] = {}
    if username is not None and access.people_named(username, others).exists():
        refusals["username"] = UsernameTaken
    if email is not None and access.people_at(email, others).exists():
        refusals["email"] = EmailTaken
    if refusals:
        errors = {name: [{"message": kind.detail, "code": kind.code}] for name, kind in refusals.items()}
        raise next(iter(refusals.values()))(errors=errors)


def end_sign_ins(user: User) -> None:
    """End all cookie sessions, access and refresh tokens of this user, and close the sockets. Personal tokens stay."""
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(sign_in_mark=F("sign_in_mark") + 1)
        tokens.revoke_families_of(user)
        note_sign_ins_ended(user)
    user.refresh_from_db(fields=["sign_in_mark"])
    record("user.signed_out_everywhere", f"Every sign-in of {user.username} was ended", user_id=user.pk)


def prove_address(user: User) -> None:
    """Confirm the address of a user who has just set a password through a link mailed to it.

    If the address was never confirmed, somebody else may have created the account with it. So everything but the new
    password that opens the account is revoked: tokens, bots' tokens, second factors, passkeys, social sign-ins and
    open sessions.
    """
    with transaction.atomic():
        if not mail.is_confirmed(user):
            people = [user, *user.bots.all()]
            PersonalToken.objects.filter(user__in=people, revoked_at=None).update(revoked_at=timezone.now())
            Authenticator.objects.filter(user=user).delete()
            SocialAccount.objects.filter(user=user).delete()
            _end_sign_ins_of_all(user)
        EmailAddress.objects.update_or_create(user=user, email=user.email, defaults={"verified": True, "primary": True})


def note_sign_ins_ended(user: User) -> None:
    """Have open sockets of this user checked on commit. Call it after ending sign-ins; saving a User does (apps.py)."""
    transaction.on_commit(lambda: sign_ins_ended.send(User, user=user))


def make_token(
    user: User, *, name: str, scopes: Collection[Scope], expires_at: datetime | None = None
) -> tuple[PersonalToken, str]:
    """Create a personal token of a user or bot. Returns it with its text, which is not stored. Raises TooMany."""
    with transaction.atomic():
        # Locked, so that concurrent requests cannot both take the last place.
        User.objects.select_for_update().get(pk=user.pk)
        if user.personal_tokens.filter(revoked_at=None).count() >= TOKENS_MAX:
            raise TooMany
        token, text = personal_tokens.make(user, name, scopes, expires_at)
        record(
            "user.token_made",
            f"A token of {user.username} was made: {name}",
            user_id=user.pk,
            level="warning",
            metadata={"token": str(token.pk), "scopes": token.scopes},
        )
    return token, text


def revoke_token(token: PersonalToken) -> None:
    """Revoke a personal token and close the sockets that it opened. Harmless if already revoked."""
    with transaction.atomic():
        if PersonalToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()):
            record(
                "user.token_revoked",
                f"A token of {token.user.username} was revoked: {token.name}",
                user_id=token.user_id,
                metadata={"token": str(token.pk)},
            )
            note_sign_ins_ended(token.user)
            audit.append(
                "token.revoked",
                actor_id=token.user.bot_of_id or token.user_id,
                target_type="user",
                target_id=token.user_id,
                metadata={"token": str(token.pk)},
            )


def make_bot(owner: User, username: str) -> User:
    """Create a bot of this user. It takes part in sessions by name and signs in with tokens only.

    Raises UsernameTaken or TooMany.
    """
    _refuse_taken(username, None)
    bot = User(username=username, bot_of=owner)
    # Never delivered to; the column requires a unique address.
    bot.email = f"{bot.pk}@{BOT_DOMAIN}"
    bot.set_unusable_password()
    try:
        with transaction.atomic():
            User.objects.select_for_update().get(pk=owner.pk)
            if owner.bots.filter(is_active=True).count() >= BOTS_MAX:
                raise TooMany
            bot.save(force_insert=True)
    except IntegrityError:
        _refuse_taken(username, None)
        raise
    record("user.bot_made", f"{owner.username} created the bot {username}", user_id=owner.pk)
    return bot


def retire_bot(bot: User) -> None:
    """Deactivate a bot. What it owned goes to its owner, and what it wrote keeps its name."""
    with transaction.atomic():
        bot_retired.send(User, bot=bot)
        User.objects.filter(pk=bot.pk).update(is_active=False)
        bot.personal_tokens.filter(revoked_at=None).update(revoked_at=timezone.now())
        note_sign_ins_ended(bot)
        record("user.bot_retired", f"The bot {bot.username} was retired", user_id=bot.bot_of_id)


def set_role(user: User, role: Role, *, by: User) -> None:
    """Make somebody a user, a moderator or an admin, and update their rights in the admin to match.

    Only superusers may, and not for themselves, so that one always remains. Raises Forbidden.
    """
    if not by.is_superuser or by.pk == user.pk:
        raise Forbidden("Only another administrator can change this role.")
    with transaction.atomic():
        stored = User.objects.select_for_update().get(pk=user.pk)
        was, stored.role = stored.role, role
        stored.is_staff = role in (Role.MODERATOR, Role.ADMIN)
        stored.is_superuser = role == Role.ADMIN
        stored.version += 1
        stored.save(update_fields=["role", "is_staff", "is_superuser", "version"])
        if role == Role.MODERATOR:
            stored.groups.add(ensure_group())
        else:
            stored.groups.remove(ensure_group())
        record(
            "user.role_changed",
            f"{by.username} made {stored.username} {role}, who was {was}",
            user_id=by.pk,
            level="warning",
            metadata={"user": str(stored.pk), "role": str(role), "was": str(was)},
        )
        audit.append(
            "role.changed",
            actor_id=by.pk,
            target_type="user",
            target_id=stored.pk,
            metadata={"role": str(role), "was": str(was)},
        )


def suspend(user: User, *, by: User, reason: str, until: datetime | None = None) -> None:
    """Suspend a user until then, or indefinitely: sign-ins end, sockets close, programs stop, tokens stop working.

    The suspension ends by itself at `until`. Suspending a suspended user changes its end and reason. Raises Forbidden,
    or Invalid if the end is in the past.
    """
    _require_power_over(user, by)
    now = timezone.now()
    if until is not None and until <= now:
        raise Invalid("A suspension must end in the future.")
    ends = until.isoformat() if until else None
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(
            suspended_at=now, suspended_until=until, suspension_reason=reason, suspended_by=by
        )
        # After the update, so that the check of open sockets finds the suspension.
        _end_sign_ins_of_all(user)
        record(
            "moderation.suspended",
            f"{by.username} suspended {user.username}",
            user_id=by.pk,
            level="warning",
            metadata={"user": str(user.pk), "until": ends},
        )
        transaction.on_commit(lambda: person_suspended.send(User, user=user, by=by))
        audit.append(
            "user.suspended",
            actor_id=by.pk,
            target_type="user",
            target_id=user.pk,
            reason=reason,
            metadata={"until": ends},
        )
    user.refresh_from_db()


def lift_suspension(user: User, *, by: User, reason: str = "") -> bool:
    """End a suspension early. Returns False if there is none. Raises Forbidden."""
    _require_power_over(user, by)
    with transaction.atomic():
        now = timezone.now()
        suspended = User.objects.filter(Q(suspended_until=None) | Q(suspended_until__gt=now), pk=user.pk)
        lifted = suspended.exclude(suspended_at=None).update(
            suspended_at=None, suspended_until=None, suspension_reason="", suspended_by=None
        )
        if not lifted:
            return False
        record(
            "moderation.lifted",
            f"{by.username} lifted the suspension of {user.username}",
            user_id=by.pk,
            metadata={"user": str(user.pk)},
        )
        audit.append("user.suspension_lifted", actor_id=by.pk, target_type="user", target_id=user.pk, reason=reason)
    user.refresh_from_db()
    return True


def revoke_tokens(user: User, *, by: User, reason: str = "") -> None:
    """End every sign-in of a user, and revoke all tokens of the user and of their bots. Raises Forbidden."""
    _require_power_over(user, by)
    with transaction.atomic():
        theirs = PersonalToken.objects.filter(Q(user=user) | Q(user__bot_of=user), revoked_at=None)
        revoked = theirs.update(revoked_at=timezone.now())
        _end_sign_ins_of_all(user)
        audit.append(
            "tokens.revoked",
            actor_id=by.pk,
            target_type="user",
            target_id=user.pk,
            reason=reason,
            metadata={"personal_tokens": revoked},
        )


def _end_sign_ins_of_all(user: User) -> None:
    """End the sign-ins of a user and close the sockets of their bots. Call it in a transaction."""
    end_sign_ins(user)
    for bot in user.bots.all():
        note_sign_ins_ended(bot)


def write_note(user: User, *, by: User, text: str) -> Note:
    """Leave a note about a user for other moderators. Raises Forbidden."""
    access.check_moderator(by)
    return Note.objects.create(user=user, author=by, text=text)


def note_export(user: User) -> None:
    """Record that a user exports their data. Raises RateLimited."""
    count_or_refuse("export", f"user:{user.pk}")
    record("user.data_exported", f"{user.username} downloaded their data", user_id=user.pk, level="warning")
    audit.append("data.exported", actor_id=user.pk, target_type="user", target_id=user.pk)


def delete_account(user: User, heirs: Mapping[UUID, UUID]) -> None:
    """Delete an account. Its sessions go to `heirs` (session id to user id) or are deleted; the name goes everywhere.

    The name and every sign-in go at once, the rest in steps; forget_deleted finishes what a crash interrupted. A
    nameless row stays for GONE_DAYS, because rooms of other processes may hold unsaved changes that refer to it.
    Raises Forbidden for an administrator, and whatever the apps' bequests raise.
    """
    if user.is_superuser:
        raise Forbidden(
            "Administrators cannot delete their account. Ask another administrator to remove your role first."
        )
    for bequest in privacy.bequests:
        bequest(user, heirs)
    with transaction.atomic():
        end_sign_ins(user)
        for person in (*user.bots.all(), user):
            _take_name(person)
            note_sign_ins_ended(person)
        # Registered last, because the entries that this transaction recorded are written on commit too.
        transaction.on_commit(lambda: forget(user.pk))
        audit.append("account.deleted", actor_id=user.pk, target_type="user", target_id=user.pk)
    privacy.erase(user)


def _take_name(person: User) -> None:
    mark = person.pk.hex[:20]
    User.objects.filter(pk=person.pk).update(
        username=f"deleted-{mark}",
        email=f"{mark}@{GONE_DOMAIN}",
        first_name="",
        last_name="",
        password=make_password(None),
        preferences={},
        is_active=False,
        is_staff=False,
        role=Role.USER,
        last_login=None,
        deleted_at=timezone.now(),
        version=F("version") + 1,
    )


def forget_deleted() -> None:
    """Finish interrupted deletions, and remove the rows of accounts deleted GONE_DAYS ago. Runs periodically."""
    for person in User.objects.exclude(deleted_at=None):
        privacy.erase(person)
    for person in User.objects.filter(deleted_at__lt=timezone.now() - timedelta(days=GONE_DAYS)):
        # Rows that an app protects still refer to the account.
        with suppress(ProtectedError):
            person.delete()


def _require_power_over(user: User, by: User) -> None:
    """Raise Forbidden unless `by` outranks `user`. Nobody has power over themselves or over a superuser."""
    access.check_moderator(by)
    if user.pk == by.pk:
        raise Forbidden("You cannot do this to your own account.")
    if user.is_superuser:
        raise Forbidden("You cannot do this to an administrator. Remove the role first.")
    if user.role != Role.USER and not by.is_superuser:
        raise Forbidden("Only an administrator can do this to a moderator.")
