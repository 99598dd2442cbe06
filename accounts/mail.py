"""Check and request the confirmation of email addresses. The texts are in templates/account/email."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.email_verification import consume_email_verification_rate_limit
from allauth.account.models import EmailAddress
from django.conf import settings

if TYPE_CHECKING:
    from django.http import HttpRequest

    from accounts.models import User

MANDATORY = "mandatory"


def is_confirmed(user: User) -> bool:
    return EmailAddress.objects.filter(user=user, email__iexact=user.email, verified=True).exists()


def is_mandatory() -> bool:
    """Whether users must confirm their address before they can sign in."""
    return settings.ACCOUNT_EMAIL_VERIFICATION == MANDATORY


def must_be_confirmed(user: User) -> bool:
    return is_mandatory() and not is_confirmed(user)


def note_new_address(user: User, old: str) -> None:
    """Notify the old address of the new one, in case it was not the user who changed it."""
    context = {"from_email": old, "to_email": user.email}
    get_adapter().send_notification_mail("account/email/email_changed", user, context, email=old)


def send_confirmation(request: HttpRequest, user: User, *, is_new: bool = False) -> None:
    """Send the confirmation request, unless one was sent in the last few minutes."""
    address, _ = EmailAddress.objects.get_or_create(user=user, email=user.email, defaults={"primary": True})
    if not address.verified and consume_email_verification_rate_limit(request, address.email):
        address.send_confirmation(request, signup=is_new)
