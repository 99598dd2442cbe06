"""Authenticate REST requests by `Authorization: Bearer`, with an access token (JWT) or a personal token.

The scopes of personal tokens are enforced here, before any view: reading needs `read`, everything else the view's
`token_scope` (`edit` by default), which `token_scopes` overrides per method. No personal token can have the scope
ACCOUNT: changing passwords, tokens or the profile takes a sign-in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from drf_spectacular.contrib.rest_framework_simplejwt import SimpleJWTScheme
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import SAFE_METHODS

from accounts import personal_tokens, tokens
from accounts.errors import TokenRefused
from accounts.models import PersonalToken, Scope, User

if TYPE_CHECKING:
    from django.http import HttpRequest
    from rest_framework.request import Request

ACCOUNT = "account"


class BearerAuthentication(BaseAuthentication):
    """Verifies a token and loads its user once per request, however often it is called."""

    def authenticate(self, request: Request | HttpRequest) -> tuple[User, Any] | None:
        # The anonymous rate limit calls it with the bare request, before there is a view.
        bare: Any = getattr(request, "_request", request)
        if not hasattr(bare, "bearer"):
            bare.bearer = _authenticate(bare.META.get("HTTP_AUTHORIZATION", ""))
        found = cast("tuple[User, Any] | None", bare.bearer)
        if found is not None and isinstance(found[1], PersonalToken):
            if bare is not request:
                _check_scope(request, found[1])
            found[1].mark_used()
        return found

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


def _authenticate(header: str) -> tuple[User, Any] | None:
    kind, _, credential = header.partition(" ")
    credential = credential.strip()
    if kind.lower() != "bearer" or not credential:
        return None
    try:
        if personal_tokens.looks_like_one(credential):
            return personal_tokens.read(credential)
        return tokens.read_access(credential)
    except TokenRefused as refused:
        raise AuthenticationFailed(refused.detail, code=refused.code) from refused


def _check_scope(request: Any, token: PersonalToken) -> None:
    view = request.parser_context["view"]
    usual = Scope.READ if request.method in SAFE_METHODS else getattr(view, "token_scope", Scope.EDIT)
    method = "GET" if request.method == "HEAD" else request.method
    _require_scope(token, getattr(view, "token_scopes", {}).get(method, usual))


def require_scope(request: Request, scope: Scope) -> None:
    """Reject a personal token without this scope. For views whose scope depends on the request body."""
    if isinstance(request.auth, PersonalToken):
        _require_scope(request.auth, scope)


def _require_scope(token: PersonalToken, needed: str) -> None:
    if needed not in token.scopes:
        detail = (
            "Personal tokens cannot view or change accounts, tokens or bots, or issue tickets. Sign in to do that."
            if needed == ACCOUNT
            else f"This token does not have the {str(needed)!r} scope."
        )
        raise PermissionDenied(detail, code="scope_missing")


class BearerScheme(SimpleJWTScheme):  # type: ignore[no-untyped-call]
    """Describes the authentication in the API schema. Defining it registers it with drf-spectacular."""

    target_class = "accounts.bearer.BearerAuthentication"
