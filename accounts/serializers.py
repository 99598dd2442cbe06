"""The shapes of people and tokens on the wire."""

from __future__ import annotations

import math
import re
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as DjangoValidationError
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.fields import EMAIL_MAX, PASSWORD_MAX, THEMES, USERNAME_RULE
from accounts.models import USERNAME_PATTERN, Role, User

TOKEN_MAX = 4096
SETTINGS_MAX = 32
SETTING_TEXT_MAX = 100
_SETTING_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")


class TextField(serializers.CharField):
    """Text only: the field of the framework would also take a number and store its digits."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class UsernameField(serializers.RegexField):
    default_error_messages = {"invalid": USERNAME_RULE}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(USERNAME_PATTERN, max_length=30, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class EmailField(serializers.EmailField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=EMAIL_MAX, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data).lower()


@extend_schema_field(OpenApiTypes.OBJECT)
class EditorSettingsField(serializers.Field):
    """A flat object of the editor's own settings. What they mean is the page's affair; their size is ours."""

    default_error_messages = {
        "invalid": "Use an object.",
        "too_many": f"Use at most {SETTINGS_MAX} settings.",
        "name": "Name settings in lower case with digits and underscores, at most 40 characters.",
        "value": f"Use true, false, null, a number below a billion or text of at most {SETTING_TEXT_MAX} characters.",
    }

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("invalid")
        if len(data) > SETTINGS_MAX:
            self.fail("too_many")
        for name, value in data.items():
            if not _SETTING_NAME.match(name):
                self.fail("name")
            if not _is_plain(value):
                self.fail("value")
        return dict(data)

    def to_representation(self, value: Any) -> Any:
        return value


def _is_plain(value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int | float):
        return math.isfinite(value) and abs(value) < 1_000_000_000
    return isinstance(value, str) and len(value) <= SETTING_TEXT_MAX and (value.isprintable() or not value)


class PreferencesSerializer(serializers.Serializer):
    # The framework's own sentence repeats the input, which may be text that no encoding can send.
    theme = serializers.ChoiceField(
        choices=THEMES, default="system", error_messages={"invalid_choice": f"Use {', '.join(THEMES)}."}
    )
    editor_settings = EditorSettingsField(default=dict)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and set(data) - set(self.fields):
            raise serializers.ValidationError(f"Use only {' and '.join(self.fields)}.", code="unknown")
        return super().to_internal_value(data)


class UserSerializer(serializers.ModelSerializer[User]):
    role = serializers.ChoiceField(choices=Role.choices, read_only=True)
    preferences = PreferencesSerializer(read_only=True)
    created_at = serializers.DateTimeField(source="date_joined", read_only=True)

    class Meta:
        model = User
        fields = ("id", "username", "email", "role", "preferences", "created_at")
        read_only_fields = fields


class ProfileInput(serializers.Serializer):
    """PUT takes all but preferences, and a PUT's preferences are whole; PATCH takes any part. Role is not in it."""

    username = UsernameField()
    email = EmailField()
    preferences = PreferencesSerializer(required=False)


class RegisterInput(serializers.Serializer):
    username = UsernameField()
    email = EmailField()
    password = TextField(max_length=PASSWORD_MAX, trim_whitespace=False, write_only=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        try:
            validate_password(attrs["password"], User(username=attrs["username"], email=attrs["email"]))
        except DjangoValidationError as refused:
            errors = serializers.as_serializer_error(refused)["non_field_errors"]
            raise serializers.ValidationError({"password": errors}) from refused
        return attrs


class LoginInput(serializers.Serializer):
    username = TextField(required=False, max_length=EMAIL_MAX, help_text="A user name or an email address.")
    email = TextField(required=False, max_length=EMAIL_MAX, help_text="Instead of username.")
    password = TextField(max_length=PASSWORD_MAX, trim_whitespace=False, write_only=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("username" in attrs) == ("email" in attrs):
            raise serializers.ValidationError({"username": "Send username or email, one of the two."}, code="required")
        return attrs


class RefreshInput(serializers.Serializer):
    refresh = TextField(max_length=TOKEN_MAX)


class TokenPairSerializer(serializers.Serializer):
    access = serializers.CharField()
    refresh = serializers.CharField()


class SignedInSerializer(TokenPairSerializer):
    user = UserSerializer()
