"""Keep forms that were posted after the sign-in had ended, and offer them again after the next sign-in.

Every form for signed-in users names the user it was made for (templates/partials/form_token.html), and is offered to
nobody else: the next user of a browser must not see what the last one typed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from asgiref.sync import sync_to_async
from django.conf import settings
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views import csrf

from web.middleware import AsyncMiddleware
from web.problems import is_api
from web.throttles import RateLimited, count_or_refuse, who_is_at

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase

KEY = "unsent_form"
OWNER_FIELD = "signed_in_as"
KEPT_SECONDS = 15 * 60
# More than any of our forms holds, yet small enough for a database row that anybody can create.
MAX_CHARACTERS = 8 * 1024
_NEVER_KEPT = ("csrfmiddlewaretoken", "password", "code")


class KeepUnsentForms(AsyncMiddleware):
    """Middleware. If a view redirects a posted form to the login page, keeps it and leads back to it after login."""

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = await self.get_response(request)
        if request.method == "POST" and response.status_code == 302 and not is_api(request):
            to = urlsplit(response["Location"])
            if to.path == settings.LOGIN_URL and to.query.startswith("next="):
                return await sync_to_async(_keep)(request) or response
        return response


def _keep(request: HttpRequest) -> HttpResponse | None:
    form = _read(request)
    if form is None:
        return None
    try:
        count_or_refuse("unsent_form", who_is_at(request))
    except RateLimited:
        return None
    request.session[KEY] = form
    return redirect(f"{settings.LOGIN_URL}?{urlencode({'next': reverse('accounts:unsent-form')})}")


def _read(request: HttpRequest) -> dict[str, Any] | None:
    """Return a posted form as it is stored; None if it names nobody or is larger than ours."""
    owner = request.POST.get(OWNER_FIELD)
    fields = [
        (name, value)
        for name, values in request.POST.lists()
        if name != OWNER_FIELD and not any(word in name for word in _NEVER_KEPT)
        for value in values
    ]
    if not owner or sum(len(name) + len(str(value)) for name, value in fields) > MAX_CHARACTERS:
        return None
    return {
        "owner": owner,
        "action": request.get_full_path(),
        "fields": fields,
        "had_file": bool(request.FILES),
        "until": time.time() + KEPT_SECONDS,
    }


def kept_form(request: HttpRequest) -> dict[str, Any] | None:
    """Return the form that this person posted too late, until its time is up: a page may be opened again.

    None where there is none, or it was another person's, who cannot see it here any more either.
    """
    form: dict[str, Any] | None = request.session.get(KEY)
    if form is not None and (form["owner"] != str(request.user.pk) or form["until"] < time.time()):
        del request.session[KEY]
        return None
    return form


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Show a form of our own page again, with a new token, if its token is from an earlier sign-in."""
    host = f"{request.scheme}://{request.get_host()}"
    form = _read(request) if request.method == "POST" and request.headers.get("Origin") == host else None
    if form is not None and form["owner"] == str(request.user.pk):
        return render(request, "accounts/unsent_form.html", {"form": form}, status=403)
    return csrf.csrf_failure(request, reason)
