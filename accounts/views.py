"""Sign-up, log-in, log-out and the profile page. The first three are django-allauth's, under our rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.account.views import LoginView, LogoutView, SignupView
from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.urls import reverse_lazy
from django.views.generic import FormView

from accounts import actions
from accounts.errors import EmailTaken, UsernameTaken
from accounts.forms import ProfileForm, SignUpForm, add_refusal
from codecrafter.http.client import counted_address
from codecrafter.http.throttles import RateLimited, count_or_refuse

if TYPE_CHECKING:
    from django.http import HttpResponse


class _Counted:
    """A form that was refused because of a rate answers 429, with the form and the reason on the page."""

    def form_invalid(self, form: Any) -> HttpResponse:
        response: HttpResponse = super().form_invalid(form)  # type: ignore[misc]
        for error in form.errors.as_data().get(NON_FIELD_ERRORS, []):
            if error.code == RateLimited.code:
                response.status_code = RateLimited.status
                response["Retry-After"] = str(error.params["retry_after"])
        return response


class LogIn(_Counted, LoginView):
    pass


class LogOut(LogoutView):
    pass


class SignUp(_Counted, SignupView):
    form_class = SignUpForm

    def form_valid(self, form: SignUpForm) -> HttpResponse:
        try:
            count_or_refuse("register", f"address:{counted_address(self.request)}")
            return super().form_valid(form)
        except RateLimited as refused:
            form.add_error(None, ValidationError(refused.detail, code=refused.code, params=refused.extra))
        except (UsernameTaken, EmailTaken) as refused:
            add_refusal(form, refused)
        return self.form_invalid(form)


class ProfileEdit(LoginRequiredMixin, FormView):
    template_name = "accounts/profile.html"
    form_class = ProfileForm
    success_url = reverse_lazy("accounts:profile-edit")

    def get_initial(self) -> dict[str, Any]:
        user = self.request.user
        assert user.is_authenticated
        return {"username": user.username, "email": user.email, "theme": user.preferences.get("theme", "system")}

    def form_valid(self, form: ProfileForm) -> HttpResponse:
        user = self.request.user
        assert user.is_authenticated
        data = form.cleaned_data
        try:
            actions.change_profile(
                user, username=data["username"], email=data["email"], preferences={"theme": data["theme"]}
            )
        except (UsernameTaken, EmailTaken) as refused:
            add_refusal(form, refused)
            return self.form_invalid(form)
        messages.success(self.request, "Profile saved.")
        return super().form_valid(form)
