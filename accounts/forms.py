"""The forms of the account pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.account.forms import ResetPasswordForm, SignupForm
from allauth.socialaccount.forms import SignupForm as ProviderSignupForm
from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator

from accounts import actions
from accounts.access import people_named
from accounts.errors import UsernameTaken
from accounts.fields import EMAIL_MAX, FONT_SIZES, KEYMAPS, PASSWORD_MAX, TAB_SIZES, THEMES, USERNAME_RULE
from accounts.models import USERNAME_PATTERN, Scope
from web.lines import one_line

if TYPE_CHECKING:
    from django.http import HttpRequest

    from accounts.models import User
    from web.problems import Invalid

TOKEN_DAYS = {"7": "7 days", "30": "30 days", "90": "90 days", "365": "One year", "": "No end"}


class SignUpForm(SignupForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password1"].max_length = PASSWORD_MAX
        self.fields["password1"].validators.append(_not_too_long)

    def validate_unique_email(self, value: str) -> str:
        """Do nothing: actions.register decides."""
        return value

    def save(self, request: HttpRequest) -> User:
        data = self.cleaned_data
        return actions.register(username=data["username"], email=data["email"], password=data["password1"])


class SocialSignUpForm(ProviderSignupForm):
    """Asks for what a social sign-in did not supply, or for a name that is free."""

    def clean_username(self) -> str:
        username: str = super().clean_username()
        if people_named(username).exists():
            raise ValidationError(UsernameTaken.detail, code=UsernameTaken.code)
        return username


class PasswordResetForm(ResetPasswordForm):
    """Sends nothing to bots and guests, who have no password. Rate limits are in the view."""

    users: list[User]

    def clean_email(self) -> str:
        email: str = super().clean_email()
        self.users = [user for user in self.users if not (user.is_bot or user.is_guest)]
        return email


def _not_too_long(password: str) -> None:
    if len(password) > PASSWORD_MAX:
        raise ValidationError(f"Use at most {PASSWORD_MAX} characters.", code="max_length")


def _username(**kwargs: Any) -> forms.CharField:
    return forms.CharField(
        max_length=30,
        validators=[RegexValidator(USERNAME_PATTERN, USERNAME_RULE, "invalid")],
        help_text=USERNAME_RULE,
        **kwargs,
    )


class ProfileForm(forms.Form):
    username = _username(widget=forms.TextInput(attrs={"autocomplete": "username"}))
    email = forms.EmailField(
        label="Email", max_length=EMAIL_MAX, widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )
    theme = forms.ChoiceField(choices=[(theme, theme.capitalize()) for theme in THEMES])
    keymap = forms.ChoiceField(choices=[(keymap, keymap.capitalize()) for keymap in KEYMAPS], required=False)
    font_size = forms.IntegerField(min_value=FONT_SIZES[0], max_value=FONT_SIZES[1], required=False)
    tab_size = forms.IntegerField(min_value=TAB_SIZES[0], max_value=TAB_SIZES[1], required=False)
    wrap = forms.ChoiceField(choices=[("true", "Wrap"), ("false", "Scroll")], required=False)
    # The version of the profile that the page showed.
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def editor_settings(self) -> dict[str, Any]:
        """Return the chosen settings in the shape of the API, without those left at their default."""
        data = self.cleaned_data
        chosen: dict[str, Any] = {name: data[name] for name in ("keymap", "font_size", "tab_size") if data[name]}
        if data["wrap"]:
            chosen["wrap"] = data["wrap"] == "true"
        return chosen


class TokenForm(forms.Form):
    name = forms.CharField(max_length=60, help_text="What the token is for, such as the name of the program.")
    scopes = forms.MultipleChoiceField(choices=Scope.choices, widget=forms.CheckboxSelectMultiple)
    days = forms.ChoiceField(label="Expires", choices=list(TOKEN_DAYS.items()), required=False)
    holder = forms.ChoiceField(label="Acts as")

    def __init__(self, *args: Any, user: User, bots: list[User], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        holders = [("", f"{user.username} (you)"), *((str(bot.pk), f"{bot.username} (bot)") for bot in bots)]
        self.fields["holder"] = forms.ChoiceField(label="Acts as", choices=holders, required=False)

    def clean_name(self) -> str:
        if not (line := one_line(self.cleaned_data["name"])):
            raise ValidationError("Use letters that can be seen.", code="blank")
        return line


class BotForm(forms.Form):
    username = _username()


def add_refusal(form: forms.BaseForm, refused: Invalid) -> None:
    """Attach the errors of a refused action to the fields that they name."""
    for name, errors in refused.errors.items():
        for error in errors:
            form.add_error(name, ValidationError(error["message"], code=error["code"]))
