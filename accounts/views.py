"""The account pages. Most are django-allauth's with our rules; their templates are under templates/allauth."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any
from uuid import UUID

from allauth.account.decorators import reauthentication_required
from allauth.account.internal.flows.reauthentication import did_recently_reauthenticate
from allauth.account.views import (
    ConfirmEmailView,
    LoginView,
    LogoutView,
    PasswordResetView,
    ReauthenticateView,
    SignupView,
)
from allauth.core.exceptions import ReauthenticationRequired
from allauth.mfa.base.views import AuthenticateView
from allauth.mfa.base.views import ReauthenticateView as MFAReauthenticateView
from allauth.socialaccount.providers.openid_connect import views as openid_connect
from allauth.usersessions.models import UserSession
from asgiref.sync import sync_to_async
from django.contrib import messages
from django.contrib.auth import logout, update_session_auth_hash
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ValidationError
from django.http import Http404, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.http import content_disposition_header
from django.views.generic import FormView, TemplateView, View
from requests import RequestException

from accounts import access, actions, mail, privacy, tokens, unsent_forms
from accounts.errors import EmailTaken, TooMany, UsernameTaken
from accounts.forms import BotForm, ProfileForm, SignUpForm, TokenForm, add_refusal
from accounts.models import Scope
from web.client import counted_address
from web.conditional import PreconditionFailed
from web.problems import DomainError, NotFound
from web.throttles import RateLimited, count_or_refuse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from django.http import HttpRequest, HttpResponse

    from accounts.access import SignedInPageRequest
    from accounts.models import User

logger = logging.getLogger(__name__)
_HEIR = re.compile(r"heir-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


class _Counted:
    """Answers 429, with the form and the reason on the page, if a rate limit rejected the form."""

    def form_invalid(self, form: Any) -> HttpResponse:
        response: HttpResponse = super().form_invalid(form)  # type: ignore[misc]
        for error in (error for errors in form.errors.as_data().values() for error in errors):
            if error.code == RateLimited.code:
                response.status_code = RateLimited.status
                response["Retry-After"] = str(error.params["retry_after"])
        return response


class LogIn(_Counted, LoginView):
    pass


class LogOut(LogoutView):
    pass


class SecondFactor(_Counted, AuthenticateView):
    pass


class Reauthenticate(_Counted, ReauthenticateView):
    pass


class ReauthenticateByCode(_Counted, MFAReauthenticateView):
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


def _provider_may_fail(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Handle an OpenID Connect provider that is unavailable or gives an invalid answer when asked for its endpoints."""

    @wraps(view)
    def asking(request: HttpRequest, provider_id: str) -> HttpResponse:
        try:
            return view(request, provider_id)
        except (RequestException, LookupError, TypeError, AttributeError) as error:
            logger.warning("the provider %s does not say where its pages are: %r", provider_id, error)
            return render(request, "socialaccount/authentication_error.html", status=502)

    return asking


log_in_at_provider = _provider_may_fail(openid_connect.login)
come_back_from_provider = _provider_may_fail(openid_connect.callback)


class PasswordReset(_Counted, PasswordResetView):
    """Gives the same answer, and sends a mail, whether or not there is an account with the address."""

    def form_valid(self, form: Any) -> HttpResponse:
        try:
            count_or_refuse("reset", counted_address(self.request))
            count_or_refuse("reset_name", form.cleaned_data["email"].strip().lower())
        except RateLimited as refused:
            form.add_error(None, ValidationError(refused.detail, code=refused.code, params=refused.extra))
            return self.form_invalid(form)
        return super().form_valid(form)


class ConfirmEmail(ConfirmEmailView):
    """Confirms an address. Where users can sign in unconfirmed, only somebody signed in to the account can confirm it.

    The mail may have gone to a stranger whose address was mistyped; they must not vouch for that account.
    """

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not mail.is_mandatory():
            with suppress(Http404):
                self.logout_other_user(self.get_object())
            if not request.user.is_authenticated:
                messages.info(request, "Log in to confirm your address. If you did not sign up here, ignore the email.")
                return redirect_to_login(request.get_full_path())
        response: HttpResponse = super().dispatch(request, *args, **kwargs)
        return response


class ProfileEdit(LoginRequiredMixin, FormView):
    request: SignedInPageRequest
    template_name = "accounts/profile.html"
    form_class = ProfileForm
    success_url = reverse_lazy("accounts:profile-edit")

    def get_initial(self) -> dict[str, Any]:
        user = self.request.user
        chosen = user.preferences.get("editor_settings", {})
        return {
            "username": user.username,
            "email": user.email,
            "theme": user.preferences.get("theme", "system"),
            "keymap": chosen.get("keymap", "default"),
            "font_size": chosen.get("font_size"),
            "tab_size": chosen.get("tab_size"),
            "wrap": "true" if chosen.get("wrap") else "false",
            "version": user.version,
        }

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {
            "is_confirmed": mail.is_confirmed(self.request.user),
            "quotas": privacy.quotas_of(self.request.user),
        }

    def form_valid(self, form: ProfileForm) -> HttpResponse:
        user = self.request.user
        data = form.cleaned_data
        if data["email"].lower() != user.email and not did_recently_reauthenticate(self.request):
            # An open page must not be enough to take over the account by changing its address, so ask for the password.
            raise ReauthenticationRequired
        preferences: dict[str, Any] = {"theme": data["theme"]}
        if any(name in form.data for name in ("keymap", "font_size", "tab_size", "wrap")):
            preferences["editor_settings"] = form.editor_settings()

        def refuse_if_changed(version: int) -> None:
            if data["version"] not in (None, version):
                raise PreconditionFailed

        try:
            actions.change_profile(
                self.request,
                user,
                username=data["username"],
                email=data["email"],
                preferences=preferences,
                check_version=refuse_if_changed,
            )
        except PreconditionFailed:
            return self._offer_both(form)
        except (UsernameTaken, EmailTaken) as refused:
            add_refusal(form, refused)
            return self.form_invalid(form)
        messages.success(self.request, "Profile saved.")
        return super().form_valid(form)

    def _offer_both(self, form: ProfileForm) -> HttpResponse:
        """Show the form as filled in, with what another page has saved in the meantime."""
        self.request.user.refresh_from_db()
        saved = self.get_initial()
        form.data = {**dict(form.data.items()), "version": saved["version"]}
        now = [
            f"{form[name].label.lower()} {saved[name]}"
            for name in form.fields
            if name != "version" and name in form.data and str(saved[name] or "") != form.data[name]
        ]
        words = "Your profile was changed elsewhere after you opened this page, so nothing was saved."
        if now:
            words += f" It now says: {', '.join(now)}."
        form.add_error(None, f"{words} To overwrite it with the values below, save again.")
        return self.form_invalid(form)


class EmailConfirmationResend(LoginRequiredMixin, View):
    request: SignedInPageRequest
    http_method_names = ["post"]

    def post(self, request: SignedInPageRequest) -> HttpResponse:
        mail.send_confirmation(request, request.user)
        messages.info(request, "If no email was sent in the last few minutes, one is on its way to your address.")
        return redirect("accounts:profile-edit")


class SignIns(LoginRequiredMixin, TemplateView):
    """Lists where the user is signed in. Signs out one browser, or all browsers and the API."""

    request: SignedInPageRequest
    template_name = "accounts/sign_ins.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = self.request.user
        browsers = sorted(UserSession.objects.purge_and_list(user), key=lambda row: row.created_at, reverse=True)
        context = super().get_context_data(**kwargs)
        return context | {"browsers": browsers, "api_sign_ins": tokens.live_families_of(user)}

    def post(self, request: SignedInPageRequest) -> HttpResponse:
        user = request.user
        if "everywhere" in request.POST:
            actions.end_sign_ins(user)
            # This browser stays signed in, with a new session key.
            update_session_auth_hash(request, user)
            UserSession.objects.create_from_request(request)
            messages.success(request, "You are signed out everywhere else.")
        else:
            chosen = request.POST.get("browser", "")
            row = next((row for row in UserSession.objects.filter(user=user) if str(row.pk) == chosen), None)
            if row is not None:
                row.end()
                actions.note_sign_ins_ended(user)
                messages.success(request, "That browser was signed out.")
        return redirect("accounts:sign-ins")


class UnsentForm(LoginRequiredMixin, View):
    """Shows again, as filled in, the form that was posted after the last sign-in had ended."""

    http_method_names = ["get", "head"]

    def get(self, request: SignedInPageRequest) -> HttpResponse:
        form = unsent_forms.kept_form(request)
        if form is None:
            return redirect("sessions_app:session-list")
        return render(request, "accounts/unsent_form.html", {"form": form})


class Tokens(LoginRequiredMixin, TemplateView):
    """Personal tokens and bots. A new token is shown once, in the response to the form, and is not stored."""

    request: SignedInPageRequest
    template_name = "accounts/tokens.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = self.request.user
        bots = list(access.own_bots(user))
        context = {
            "tokens": list(access.own_tokens(user)),
            "bots": bots,
            "form": TokenForm(user=user, bots=bots, initial={"scopes": [Scope.READ], "days": "90"}),
            "bot_form": BotForm(prefix="bot"),
        }
        return super().get_context_data(**context | kwargs)

    def post(self, request: SignedInPageRequest) -> HttpResponse:
        form = TokenForm(request.POST, user=request.user, bots=list(access.own_bots(request.user)))
        if not form.is_valid():
            return self.render_to_response(self.get_context_data(form=form), status=400)
        if not did_recently_reauthenticate(request):
            # A token outlives this sign-in, so an open page must not be enough to create one.
            raise ReauthenticationRequired
        data = form.cleaned_data
        holder = access.own_bot(request.user, data["holder"]) if data["holder"] else request.user
        ends = timezone.now() + timedelta(days=int(data["days"])) if data["days"] else None
        try:
            token, text = actions.make_token(
                holder, name=data["name"], scopes={Scope(scope) for scope in data["scopes"]}, expires_at=ends
            )
        except TooMany as refused:
            form.add_error(None, refused.detail)
            return self.render_to_response(self.get_context_data(form=form), status=400)
        return self.render_to_response(self.get_context_data(made=token, text=text))


class TokenRevoke(LoginRequiredMixin, View):
    http_method_names = ["post"]

    def post(self, request: SignedInPageRequest, token_id: UUID) -> HttpResponse:
        try:
            actions.revoke_token(access.own_token(request.user, token_id))
            messages.success(request, "The token was revoked.")
        except NotFound:
            messages.info(request, "That token no longer exists.")
        return redirect("accounts:tokens")


class OwnData(LoginRequiredMixin, TemplateView):
    """Exports the user's data, or leads to deleting the account. Asks for the password unless it was just given."""

    request: SignedInPageRequest
    template_name = "accounts/own_data.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        owned = [owned for estate in privacy.estates for owned in estate(self.request.user)]
        return super().get_context_data(owned=owned, **kwargs)

    @method_decorator(reauthentication_required)
    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().get(request, *args, **kwargs)

    @method_decorator(reauthentication_required)
    def post(self, request: SignedInPageRequest) -> HttpResponse | StreamingHttpResponse:
        try:
            actions.note_export(request.user)
        except RateLimited as refused:
            messages.error(request, refused.detail)
            return self.render_to_response(self.get_context_data(), status=refused.status)
        name = f"codecrafter-{request.user.username}.zip"
        headers = {
            "Content-Disposition": str(content_disposition_header(as_attachment=True, filename=name)),
            # With an encoding set, the compression of pages passes the pieces on as they come.
            "Content-Encoding": "identity",
        }
        return StreamingHttpResponse(_pieces(request.user), content_type="application/zip", headers=headers)


async def _pieces(user: User) -> AsyncIterator[bytes]:
    """Yield the archive, making each piece once the last one was sent."""
    pieces = privacy.archive(user)
    while piece := await sync_to_async(lambda: next(pieces, b""))():
        yield piece


class AccountDelete(LoginRequiredMixin, View):
    request: SignedInPageRequest
    http_method_names = ["post"]

    @method_decorator(reauthentication_required)
    def post(self, request: SignedInPageRequest) -> HttpResponse:
        user = request.user
        if request.POST.get("username", "").strip().lower() != user.username.lower():
            messages.error(request, "Nothing was deleted: type your username to confirm.")
            return redirect("accounts:own-data")
        heirs = {
            UUID(name.removeprefix("heir-")): UUID(heir)
            for name, heir in request.POST.dict().items()
            if _HEIR.match(name) and _HEIR.match(f"heir-{heir}")
        }
        try:
            actions.delete_account(user, heirs)
        except DomainError as refused:
            messages.error(request, f"Nothing was deleted: {refused.detail}")
            return redirect("accounts:own-data")
        logout(request)
        messages.success(request, "Your account was deleted.")
        return redirect("home")


class BotMake(LoginRequiredMixin, View):
    http_method_names = ["post"]

    def post(self, request: SignedInPageRequest) -> HttpResponse:
        form = BotForm(request.POST, prefix="bot")
        if form.is_valid():
            try:
                actions.make_bot(request.user, form.cleaned_data["username"])
                messages.success(request, "The bot was created. Give it a token, and add it to a session by name.")
                return redirect("accounts:tokens")
            except UsernameTaken as refused:
                add_refusal(form, refused)
            except TooMany as refused:
                form.add_error(None, refused.detail)
        page = Tokens()
        page.setup(request)
        return page.render_to_response(page.get_context_data(bot_form=form), status=400)


class BotRetire(LoginRequiredMixin, View):
    http_method_names = ["post"]

    def post(self, request: SignedInPageRequest, bot_id: UUID) -> HttpResponse:
        try:
            actions.retire_bot(access.own_bot(request.user, bot_id))
            messages.success(request, "The bot was retired. What it wrote keeps its name.")
        except NotFound:
            messages.info(request, "That bot no longer exists.")
        return redirect("accounts:tokens")
