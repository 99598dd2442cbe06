"""What a person can do with their account."""

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


# Sent when what a person signed in with before is good no more, with `user`; the apps above close what is open.
sign_ins_ended = Signal()
# Sent when a suspension begins, with `user` and `by`; the apps above stop what that person has going.
person_suspended = Signal()
# Sent when a bot is retired, with `bot`; the apps above give its person what it owned.
bot_retired = Signal()
# Sent when a person has another username, with `user`; open sockets show it at once.
person_renamed = Signal()
TOKENS_MAX = 50
BOTS_MAX = 10
GONE_DAYS = 1


def register(*, username: str, email: str, password: str) -> User:
    """A new person. The fields are already validated; UsernameTaken or EmailTaken name both when both are."""
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
        # Somebody else took the name between the look and the write.
        _refuse_taken(username, email)
        raise
    record("user.registered", f"{user.username} signed up", user_id=user.pk)
    return user


def sign_in(request: HttpRequest, name: str, password: str, code: str = "") -> tuple[User, TokenPair]:
    """Tokens for the API by user name or e-mail address, with a `code` where a second factor is on.

    RateLimited, or CredentialsRefused for every reason alike; once the password is right, AccountSuspended,
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
    """A new pair for an unspent refresh token; TokenRefused otherwise.

    A token that comes a second time has been copied, or its answer was lost. Both look the same from here, so the
    whole family ends and the person signs in again. Access tokens that are out live on for at most 15 minutes.
    """
    token = tokens.read_refresh(refresh)
    user = tokens.owner_of(token)
    with transaction.atomic():
        if tokens.spend(token):
            return tokens.issue(user, family=token["fam"])
    # Outside of the transaction, so that what is raised does not undo it.
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
    """End the sign-in that this refresh token belongs to. Ending it twice, or after its time, is fine."""
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
    """Change what is given; `preferences` replaces the keys it names. Returns the person as stored.

    A new address is asked to confirm itself, and the old one is told.

    `check_version` is called with the current version while the row is held, and may raise. UsernameTaken and
    EmailTaken as in `register`.
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
                # Mail must never again go to an address that is no longer theirs.
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
    """Raise with every taken field in `errors`; the error's own code is that of the first."""
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
    """Every cookie, access and refresh token of this person ends, and their sockets close; personal tokens stay."""
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(sign_in_mark=F("sign_in_mark") + 1)
        tokens.revoke_families_of(user)
        note_sign_ins_ended(user)
    user.refresh_from_db(fields=["sign_in_mark"])
    record("user.signed_out_everywhere", f"Every sign-in of {user.username} was ended", user_id=user.pk)


def prove_address(user: User) -> None:
    """The person has set a password by a link that was mailed to them, which proves that the address is theirs.

    If it was never confirmed, the account may have been made by somebody else, who only typed the address. Then
    everything ends that opens the account besides the new password: tokens, bots' tokens, second factors, passkeys,
    sign-ins at other providers, and what is signed in.
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
    """For whoever ends one or all: on commit, open sockets are looked at. Saving a User calls it (apps.py)."""
    transaction.on_commit(lambda: sign_ins_ended.send(User, user=user))


def make_token(
    user: User, *, name: str, scopes: Collection[Scope], expires_at: datetime | None = None
) -> tuple[PersonalToken, str]:
    """A personal token of a person or of their bot, and its text, which is told this once. TooMany."""
    with transaction.atomic():
        # Held, so that two at once do not both find room for one more.
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
    """From now on it opens nothing, and sockets that it opened close. Revoking it twice is fine."""
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
    """A bot of this person: it has a name and a place in sessions, and signs in by its tokens alone.

    UsernameTaken, or TooMany.
    """
    _refuse_taken(username, None)
    bot = User(username=username, bot_of=owner)
    # Nobody can receive mail there; the column wants an address of its own.
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
    record("user.bot_made", f"{owner.username} made the bot {username}", user_id=owner.pk)
    return bot


def retire_bot(bot: User) -> None:
    """It does nothing from now on; what it owned is its person's, and what it wrote keeps its name."""
    with transaction.atomic():
        bot_retired.send(User, bot=bot)
        User.objects.filter(pk=bot.pk).update(is_active=False)
        bot.personal_tokens.filter(revoked_at=None).update(revoked_at=timezone.now())
        note_sign_ins_ended(bot)
        record("user.bot_retired", f"The bot {bot.username} was retired", user_id=bot.bot_of_id)


def set_role(user: User, role: Role, *, by: User) -> None:
    """Make somebody a user, a moderator or an admin, and let what they may do in the admin follow.

    Only a superuser may, and never for themselves, so that there is always one left. Raises Forbidden.
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
    """Close the account until then, or for good: sign-ins end, sockets close, programs stop, tokens and bots rest.

    It ends by itself at `until`. Suspending somebody who is suspended already changes end and reason. Raises Forbidden,
    or Invalid for an end that is over.
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
        # After the update: whoever is asked about a socket must find the suspension.
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
    """End a suspension before its time; False when there is none (any more). Raises Forbidden."""
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
    """End every sign-in of a person, and revoke every token of theirs and of their bots. Raises Forbidden."""
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
    """End the sign-ins of a person, and the sockets of their bots. Call it in a transaction."""
    end_sign_ins(user)
    for bot in user.bots.all():
        note_sign_ins_ended(bot)


def write_note(user: User, *, by: User, text: str) -> Note:
    """Tell the other moderators something about a person. Raises Forbidden."""
    access.check_moderator(by)
    return Note.objects.create(user=user, author=by, text=text)


def note_export(user: User) -> None:
    """Somebody takes along what is kept about them; RateLimited when they do it again and again."""
    count_or_refuse("export", f"user:{user.pk}")
    record("user.data_exported", f"{user.username} downloaded their data", user_id=user.pk, level="warning")
    audit.append("data.exported", actor_id=user.pk, target_type="user", target_id=user.pk)


def delete_account(user: User, heirs: Mapping[UUID, UUID]) -> None:
    """Take the account away: sessions go to `heirs` (session id to user id) or are deleted, the name goes everywhere.

    The name and every sign-in go at once; everything else in steps, and what a crash leaves, forget_deleted takes. A
    row without a name stays for GONE_DAYS: rooms of other processes may hold changes of theirs that are not saved yet
    and point at it. Raises Forbidden for an administrator, and what the apps' bequests raise.
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
        # Last of all that happens on commit, since what this transaction recorded is written then.
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
    """Periodic: what a crash left of a deletion goes, and the rows of accounts that were deleted GONE_DAYS ago too."""
    for person in User.objects.exclude(deleted_at=None):
        privacy.erase(person)
    for person in User.objects.filter(deleted_at__lt=timezone.now() - timedelta(days=GONE_DAYS)):
        # What an app protects still needs somebody to belong to.
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
