"""Adapters that make django-allauth follow our rules on usernames, messages, lockout, addresses and redirects."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from allauth.account import app_settings
from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme

from accounts.access import people_named, suspension_of
from accounts.errors import AccountSuspended, CredentialsRefused, EmailTaken, UsernameTaken, refuse_suspended
from accounts.lockout import refuse_locked
from activity.log import record
from web.client import client_address
from web.public_url import public_host
from web.throttles import RateLimited

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from allauth.socialaccount.models import SocialLogin
    from django.http import HttpRequest, HttpResponse

    from accounts.models import User


class AccountAdapter(DefaultAccountAdapter):
    error_messages = DefaultAccountAdapter.error_messages | {
        "username_password_mismatch": CredentialsRefused.detail,
        "email_password_mismatch": CredentialsRefused.detail,
        "username_taken": UsernameTaken.detail,
        "email_taken": EmailTaken.detail,
    }

    def clean_username(self, username: str, shallow: bool = False) -> str:
        """Check the pattern only. actions.register decides whether the name is free."""
        for validator in app_settings.USERNAME_VALIDATORS:
            validator(username)
        return username

    def clean_email(self, email: str) -> str:
        if len(email) > app_settings.EMAIL_MAX_LENGTH:
            raise ValidationError(f"Use at most {app_settings.EMAIL_MAX_LENGTH} characters.", code="max_length")
        return email

    def generate_unique_username(self, txts: list[str | None], regex: str | None = None) -> str:
        """Derive a username from what a social sign-in says."""
        return super().generate_unique_username(txts, regex or r"[^A-Za-z0-9_.@-]")

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Do nothing: the lockout counts inside authenticate()."""

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        user: User | None = super().authenticate(request, **credentials)
        try:
            refuse_locked(request)
            refuse_suspended(request)
        except RateLimited as refused:
            raise ValidationError(refused.detail, code=refused.code, params=refused.extra) from refused
        except AccountSuspended as refused:
            raise ValidationError(refused.detail, code=refused.code) from refused
        return user

    def pre_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse | None:
        """Run the last checks of every kind of sign-in, including passkeys and social sign-ins."""
        if user.is_suspended:
            messages.error(request, suspension_of(user).detail)
            return redirect("account_login")
        response: HttpResponse | None = super().pre_login(request, user, **kwargs)
        return response

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send a mail. A failure is only logged, so that the page does not reveal whether the address is known."""
        site = {"name": public_host(), "domain": public_host()}
        try:
            super().send_mail(template_prefix, email, {**context, "current_site": site})
        except OSError:
            logger.exception("mail %s could not be sent", template_prefix)

    def login(self, request: HttpRequest, user: User) -> None:
        super().login(request, user)
        record("user.signed_in", f"{user.username} signed in", user_id=user.pk, metadata={"door": "page"})

    def logout(self, request: HttpRequest) -> None:
        user = request.user
        super().logout(request)
        if user.is_authenticated:
            record("user.signed_out", f"{user.username} signed out", user_id=user.pk, metadata={"door": "page"})

    def add_message(
        self,
        request: HttpRequest,
        level: int,
        message_template: str | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Leave out "signed in" and "signed out": the next page makes that obvious."""
        if message_template not in ("account/messages/logged_in.txt", "account/messages/logged_out.txt"):
            super().add_message(request, level, message_template, *args, **kwargs)

    def get_client_ip(self, request: HttpRequest) -> str:
        return client_address(request)

    def is_safe_url(self, url: str) -> bool:
        """Whether `next` stays on this host."""
        request = context.request
        return url_has_allowed_host_and_scheme(
            url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
        )


class ProviderAdapter(DefaultSocialAccountAdapter):
    error_messages = DefaultSocialAccountAdapter.error_messages | {"email_taken": EmailTaken.detail}

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Read the confirmation of an address, which some providers send as text."""
        for address in sociallogin.email_addresses:
            address.verified = address.verified in (True, "true")

    def is_auto_signup_allowed(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        """Whether no form is needed. If the name is taken, the user is asked for another."""
        allowed: bool = super().is_auto_signup_allowed(request, sociallogin)
        return allowed and not people_named(sociallogin.user.username).exists()

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: Any = None, exception: Any = None, **kwargs: Any
    ) -> None:
        logger.warning("the sign-in at %s failed: %s %r", provider, error, exception)
