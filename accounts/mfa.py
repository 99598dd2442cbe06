"""The second factor, for pages (through django-allauth's adapter and forms) and for the API."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.base import forms
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.core.exceptions import ValidationError

from accounts.lockout import count_code
from web.throttles import RateLimited

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

    from accounts.models import User

FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


def is_enabled(user: User) -> bool:
    return bool(is_mfa_enabled(user, FACTORS))


def accepts(user: User, code: str) -> bool:
    """Whether this is the current code of the user's app, or an unused recovery code. Consumes the code."""
    # Passkeys have no code to type.
    for authenticator in Authenticator.objects.filter(user=user).exclude(type=Authenticator.Type.WEBAUTHN):
        if authenticator.wrap().validate_code(code):
            authenticator.record_usage()
            return True
    return False


class MFAAdapter(DefaultMFAAdapter):
    """Encrypts secrets at rest with a key derived from SECRET_KEY."""

    def get_totp_label(self, user: AbstractBaseUser) -> str:
        return user.get_username()

    def get_totp_issuer(self) -> str:
        return f"CodeCrafter ({self._get_site_name()})"

    def encrypt(self, text: str) -> str:
        return _cipher().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return _cipher().decrypt(encrypted_text.encode()).decode()


def _cipher() -> MultiFernet:
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    keys = (hashlib.sha256(b"accounts.mfa:" + str(secret).encode()).digest() for secret in secrets)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])


class _Counted:
    """Counts codes as passwords are counted, instead of using allauth's own rate limits."""

    user: User

    def clean_code(self) -> str:
        try:
            count_code(self.user, context.request)
        except RateLimited as refused:
            raise ValidationError(refused.detail, code=refused.code, params=refused.extra) from refused
        code: str = super().clean_code()  # type: ignore[misc]
        return code


class AuthenticateForm(_Counted, forms.AuthenticateForm):
    pass


class ReauthenticateForm(_Counted, forms.ReauthenticateForm):
    pass
