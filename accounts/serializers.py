"""Serializers of users and tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils import timezone
from rest_framework import serializers

from accounts.fields import (
    CODE_MAX,
    EMAIL_MAX,
    FONT_SIZES,
    KEYMAPS,
    PASSWORD_MAX,
    TAB_SIZES,
    THEMES,
    TOKEN_DAYS_MAX,
    USERNAME_RULE,
)
from accounts.models import USERNAME_PATTERN, PersonalToken, Role, Scope, User
from web.lines import one_line
from web.times import moment

TOKEN_MAX = 4096
TOKEN_NAME_MAX = 60


class TextField(serializers.CharField):
    """Accepts strings only: the framework's field would also take a number and store its digits."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class CurrentPasswordField(TextField):
    """The current password. Absent or empty means that it was not given."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            required=False, allow_blank=True, max_length=PASSWORD_MAX, trim_whitespace=False, write_only=True, **kwargs
        )


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


class NumberField(serializers.IntegerField):
    """Accepts integers only: the framework's field would also take true, and digits as text."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return super().to_internal_value(data)


class FlagField(serializers.BooleanField):
    """Accepts true and false only, not the words and numbers that forms send for them."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input="")
        return data


class _Known(serializers.Serializer):
    """Rejects names that are not fields."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and set(data) - set(self.fields):
            raise serializers.ValidationError(f"Use only {', '.join(self.fields)}.", code="unknown")
        return super().to_internal_value(data)


class EditorSettingsSerializer(_Known):
    """Editor settings of the user. Absent ones have the editor's defaults."""

    keymap = serializers.ChoiceField(
        choices=KEYMAPS, required=False, error_messages={"invalid_choice": f"Use {', '.join(KEYMAPS)}."}
    )
    font_size = NumberField(min_value=FONT_SIZES[0], max_value=FONT_SIZES[1], required=False, help_text="Pixels.")
    tab_size = NumberField(min_value=TAB_SIZES[0], max_value=TAB_SIZES[1], required=False, help_text="Columns.")
    wrap = FlagField(required=False, help_text="Whether long lines are wrapped.")


class PreferencesSerializer(_Known):
    # The framework's own message repeats the input, which may contain text that cannot be encoded.
    theme = serializers.ChoiceField(
        choices=THEMES, default="system", error_messages={"invalid_choice": f"Use {', '.join(THEMES)}."}
    )
    editor_settings = EditorSettingsSerializer(default=dict)


EDITOR_SETTINGS = tuple(EditorSettingsSerializer._declared_fields)


class UserSerializer(serializers.ModelSerializer[User]):
    role = serializers.ChoiceField(choices=Role.choices, read_only=True)
    is_bot = serializers.BooleanField(read_only=True)
    preferences = PreferencesSerializer(read_only=True)
    created_at = serializers.DateTimeField(source="date_joined", read_only=True)

    class Meta:
        model = User
        fields = ("id", "username", "email", "role", "is_bot", "preferences", "created_at")
        read_only_fields = fields

    def to_representation(self, user: User) -> dict[str, Any]:
        """Build the dict by hand: the fields would take longer than the rest of the request."""
        settings = user.preferences.get("editor_settings", {})
        return {
            "id": str(user.pk),
            "username": user.username,
            "email": user.email,
            "role": user.role,
            "is_bot": user.is_bot,
            "preferences": {
                "theme": user.preferences.get("theme", THEMES[0]),
                "editor_settings": {name: settings[name] for name in EDITOR_SETTINGS if name in settings},
            },
            "created_at": moment(user.date_joined),
        }


class ProfileInput(serializers.Serializer):
    """A changed profile. PUT needs all but preferences, which it replaces as a whole; PATCH takes any part."""

    username = UsernameField()
    email = EmailField()
    preferences = PreferencesSerializer(required=False)
    current_password = CurrentPasswordField(help_text="Required to change the email, unless you signed in recently.")


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
    code = TextField(
        required=False,
        allow_blank=True,
        max_length=CODE_MAX,
        help_text="A code from the authenticator app, or a recovery code, if two-factor authentication is on.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("username" in attrs) == ("email" in attrs):
            raise serializers.ValidationError({"username": "Send either username or email."}, code="required")
        return attrs


class RefreshInput(serializers.Serializer):
    refresh = TextField(max_length=TOKEN_MAX)


class TokenPairSerializer(serializers.Serializer):
    access = serializers.CharField()
    refresh = serializers.CharField()


class SignedInSerializer(TokenPairSerializer):
    user = UserSerializer()


class RegisteredSerializer(serializers.Serializer):
    """Both tokens are null if the address must be confirmed before the first sign-in."""

    access = serializers.CharField(allow_null=True)
    refresh = serializers.CharField(allow_null=True)
    user = UserSerializer()


class PersonalTokenSerializer(serializers.ModelSerializer[PersonalToken]):
    username = serializers.CharField(source="user.username", read_only=True, help_text="Yours, or your bot's.")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.values), read_only=True)

    class Meta:
        model = PersonalToken
        fields = ("id", "name", "username", "prefix", "scopes", "created_at", "expires_at", "last_used_at")
        read_only_fields = fields


class MadeTokenSerializer(serializers.Serializer):
    token = serializers.CharField(help_text="The token itself, shown only this once.")
    details = PersonalTokenSerializer()


class TokenInput(serializers.Serializer):
    name = TextField(max_length=TOKEN_NAME_MAX)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=Scope.values), min_length=1, max_length=len(Scope.values)
    )
    current_password = CurrentPasswordField(help_text="Required, unless you signed in recently.")
    days = NumberField(
        min_value=1, max_value=TOKEN_DAYS_MAX, required=False, help_text="How long it lives; by default, without end."
    )
    bot = UsernameField(required=False, help_text="The username of the bot that the token is for.")

    def validate_name(self, name: str) -> str:
        if not (line := one_line(name)):
            raise serializers.ValidationError("This field may not be blank.", "blank")
        return line

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        days = attrs.pop("days", None)
        expires_at = timezone.now() + timedelta(days=days) if days is not None else None
        return attrs | {"scopes": {Scope(name) for name in attrs["scopes"]}, "expires_at": expires_at}


class BotInput(serializers.Serializer):
    username = UsernameField()


class BotSerializer(serializers.ModelSerializer[User]):
    created_at = serializers.DateTimeField(source="date_joined", read_only=True)

    class Meta:
        model = User
        fields = ("id", "username", "created_at")
        read_only_fields = fields
