"""Authenticate sockets by bearer token, single-use ticket or session cookie, and set scope["user"].

Scope after SocketAuth: `user` (a User or AnonymousUser), `auth_expires_at` (unix seconds, None for a cookie),
`auth_failure` (None, "expired" or "invalid": what was wrong with the credential), `auth_session_key` (of the cookie, or
of the one that requested the ticket, else empty) and `auth_family` (the same for access tokens), from which
`open_sessions` and `tokens.live_families` tell later whether that sign-in has ended, `auth_token` (the id of a personal
token, else None), for which `open_tokens` tells whether it was revoked, and `auth_scopes` (what that token may be used
for; None means everything that the user may do).
An unknown Host, and a cookie sent by another site's page, are rejected with a plain HTTP response before the upgrade.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.http import HttpRequest, parse_cookie
from django.http.request import split_domain_port, validate_host
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.http import is_same_domain
from rest_framework_simplejwt.settings import api_settings

from accounts import personal_tokens, tokens
from accounts.errors import TicketsUnavailable, TokenExpired, TokenRefused
from accounts.models import PersonalToken, User, able
from accounts.models import Scope as TokenScope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, MutableMapping

    Scope = MutableMapping[str, Any]
    App = Callable[[Scope, Any, Any], Awaitable[None]]

logger = logging.getLogger(__name__)
TICKET_SECONDS = 30
_SESSION_KEY = re.compile(r"[a-z0-9]{8,64}\Z")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class Identity(NamedTuple):
    user: User | AnonymousUser
    expires_at: int | None = None
    failure: Literal["expired", "invalid"] | None = None
    session_key: str = ""
    token_id: UUID | None = None
    scopes: frozenset[str] | None = None
    family: str = ""


class SocketAuth:
    """ASGI wrapper for the WebSocket routes. After an invalid credential, no other one is tried."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        headers = _read_headers(scope)
        host = headers.get("host", "")
        if not _is_our_host(host):
            await _refuse(scope, send, 400, b"This host is not served here.")
            return
        scheme, _, credential = headers.get("authorization", "").partition(" ")
        tickets = _read_query(scope).get("ticket")
        session_key = _read_session_key(headers)
        if scheme.lower() == "bearer":
            identity = await database_sync_to_async(_by_token)(credential.strip())
        elif tickets:
            identity = await database_sync_to_async(_by_ticket)(tickets[0], str(scope.get("path", "")))
        elif session_key:
            # Browsers send the cookie with sockets of any site's page; the Origin tells whose page it is.
            if not _is_our_origin(headers.get("origin", ""), host):
                await _refuse(scope, send, 403, b"This page may not open a socket here.")
                return
            identity = await database_sync_to_async(_by_session)(session_key)
        else:
            identity = Identity(AnonymousUser())
        known = {
            "user": identity.user,
            "auth_expires_at": identity.expires_at,
            "auth_failure": identity.failure,
            "auth_session_key": identity.session_key,
            "auth_family": identity.family,
            "auth_token": identity.token_id,
            "auth_scopes": identity.scopes,
        }
        await self.app({**scope, **known}, receive, send)


async def authenticate_token(token: str) -> Identity | None:
    """Return the user, expiry and family of an access token, or None. Renews the sign-in of an open socket.

    Personal tokens are not accepted: a socket that one of them opened lives as long as the token does.
    """
    identity = await database_sync_to_async(_by_token)(token)
    return identity if identity.failure is None and identity.token_id is None else None


def issue_ticket(
    user: User, session_id: UUID, *, expires_at: int | None = None, family: str = "", session_key: str = ""
) -> tuple[str, int]:
    """Issue a ticket for one socket of this user to this session. Returns it and the seconds that it is valid for.

    The socket lives until `expires_at`, by default as long as an access token issued now, and ends with the sign-in
    (`family` of a token or `session_key` of a cookie) that requested the ticket. Raises TicketsUnavailable while the
    cache, which holds tickets, is unavailable.
    """
    ticket = secrets.token_urlsafe(32)
    ends = expires_at or int(time.time() + api_settings.ACCESS_TOKEN_LIFETIME.total_seconds())
    kept = (str(user.pk), str(session_id), ends, user.get_session_auth_hash(), family, session_key)
    try:
        cache.set(_ticket_key(ticket), kept, timeout=TICKET_SECONDS)
    except Exception as error:
        raise TicketsUnavailable from error
    return ticket, TICKET_SECONDS


def open_sessions(keys: Collection[str]) -> set[str]:
    """Return those of these cookie sessions that have neither been logged out nor expired."""
    return set(Session.objects.filter(pk__in=keys, expire_date__gt=timezone.now()).values_list("pk", flat=True))


def open_tokens(ids: Collection[UUID]) -> set[UUID]:
    """Return those of these personal tokens that can still be used."""
    return set(PersonalToken.objects.usable().filter(pk__in=ids).values_list("pk", flat=True)) if ids else set()


def _by_token(text: str) -> Identity:
    try:
        if personal_tokens.looks_like_one(text):
            return _by_personal_token(text)
        user, token = tokens.read_access(text)
    except TokenExpired:
        return Identity(AnonymousUser(), failure="expired")
    except TokenRefused:
        return Identity(AnonymousUser(), failure="invalid")
    family = str(token.get("fam", ""))
    if family and family not in tokens.live_families([user.pk]):
        return Identity(AnonymousUser(), failure="invalid")
    return Identity(user, expires_at=int(token["exp"]), family=family)


def _by_personal_token(text: str) -> Identity:
    user, token = personal_tokens.read(text)
    scopes = frozenset(token.scopes)
    if TokenScope.READ not in scopes:
        # Every socket shows the document.
        raise TokenRefused
    token.mark_used()
    ends = int(token.expires_at.timestamp()) if token.expires_at is not None else None
    return Identity(user, expires_at=ends, token_id=token.pk, scopes=scopes)


def _by_ticket(ticket: str, path: str) -> Identity:
    key = _ticket_key(ticket)
    try:
        kept = cache.get(key)
        # delete() returns True to one caller only, which makes the ticket single-use.
        is_mine = kept is not None and cache.delete(key)
    except Exception:
        logger.warning("the cache is unavailable, a ticket cannot be looked up")
        is_mine = False
    if not is_mine:
        return Identity(AnonymousUser(), failure="invalid")
    user_id, session_id, expires_at, mark, family, session_key = kept
    user = User.objects.filter(able(), pk=user_id).first()
    if (
        user is None
        or _session_of(path) != session_id
        or not constant_time_compare(mark, user.get_session_auth_hash())
        or (family and family not in tokens.live_families([user.pk]))
        or (session_key and not open_sessions([session_key]))
    ):
        return Identity(AnonymousUser(), failure="invalid")
    return Identity(user, expires_at=expires_at, session_key=session_key, family=family)


def _session_of(path: str) -> str:
    try:
        return str(UUID(path.rstrip("/").rpartition("/")[2]))
    except ValueError:
        return ""


def _by_session(session_key: str) -> Identity:
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    return Identity(user, session_key=session_key) if isinstance(user, User) else Identity(AnonymousUser())


def _ticket_key(ticket: str) -> str:
    return f"ticket:{hashlib.sha256(ticket.encode(errors='replace')).hexdigest()}"


def _read_headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope.get("headers", [])}


def _read_query(scope: Scope) -> dict[str, list[str]]:
    try:
        return parse_qs(scope.get("query_string", b"").decode("latin-1"), max_num_fields=20)
    except ValueError:
        return {}


def _read_session_key(headers: dict[str, str]) -> str:
    key = parse_cookie(headers.get("cookie", "")).get(settings.SESSION_COOKIE_NAME, "")
    return key if _SESSION_KEY.match(key) else ""


def _is_our_host(host: str) -> bool:
    domain, _port = split_domain_port(host)
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


def _is_our_origin(origin: str, host: str) -> bool:
    """Whether the origin is our own host by the Host header, FRONTEND_URL, or one of CSRF_TRUSTED_ORIGINS."""
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme not in _DEFAULT_PORTS or not parts.netloc:
        return False
    if origin.lower() in {trusted.rstrip("/").lower() for trusted in (settings.FRONTEND_URL,) if trusted}:
        return True
    for trusted in settings.CSRF_TRUSTED_ORIGINS:
        wanted = urlsplit(trusted)
        if parts.scheme == wanted.scheme and is_same_domain(parts.netloc, wanted.netloc.lstrip("*")):
            return True
    if settings.HTTPS and parts.scheme != "https":
        return False
    own_domain, own_port = split_domain_port(host)
    default = _DEFAULT_PORTS[parts.scheme]
    origin_domain, _port = split_domain_port(parts.netloc)
    return origin_domain == own_domain and str(port or default) == (own_port or default)


async def _refuse(scope: Scope, send: Any, status: int, reason: bytes) -> None:
    if "websocket.http.response" not in scope.get("extensions", {}):
        # The server then answers 403 itself.
        await send({"type": "websocket.close", "code": 4403})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(reason)).encode())]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": reason})
