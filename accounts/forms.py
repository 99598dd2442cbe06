"""The forms of the account pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allauth.account.forms import SignupForm
from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator

from accounts import actions
from accounts.fields import EMAIL_MAX, THEMES, USERNAME_RULE
from accounts.models import USERNAME_PATTERN

if TYPE_CHECKING:
    from django.http import HttpRequest

    from accounts.models import User
    from codecrafter.http.problems import Invalid


class SignUpForm(SignupForm):
    def validate_unique_email(self, value: str) -> str:
        """Decided where it is taken, in actions.register."""
        return value

    def save(self, request: HttpRequest) -> User:
        data = self.cleaned_data
        return actions.register(username=data["username"], email=data["email"], password=data["password1"])


class ProfileForm(forms.Form):
    username = forms.CharField(
        max_length=30,
        validators=[RegexValidator(USERNAME_PATTERN, USERNAME_RULE, "invalid")],
        help_text=USERNAME_RULE,
        widget=forms.TextInput(attrs={"autocomplete": "username"}),
    )
    email = forms.EmailField(
        label="Email", max_length=EMAIL_MAX, widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )
    theme = forms.ChoiceField(choices=[(theme, theme.capitalize()) for theme in THEMES])


def add_refusal(form: forms.BaseForm, refused: Invalid) -> None:
    """Show an action's refusal at the fields it names."""
    for name, errors in refused.errors.items():
        for error in errors:
            form.add_error(name, ValidationError(error["message"], code=error["code"]))
