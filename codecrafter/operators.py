"""Who may see how the installation is doing: /metrics and the details of /health/ready."""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from django.http import HttpRequest

# A proxy on this machine connects from loopback too; what it forwards carries at least one of these.
_FORWARDING_HEADERS = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via")


def is_operator(request: HttpRequest) -> bool:
    """True for a caller on this machine that no proxy stands before, and for the holder of METRICS_TOKEN."""
    return _is_direct_from_loopback(request) or _has_metrics_token(request)


def _is_direct_from_loopback(request: HttpRequest) -> bool:
    if any(name in request.headers for name in _FORWARDING_HEADERS):
        return False
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


def _has_metrics_token(request: HttpRequest) -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    wanted = settings.METRICS_TOKEN
    return bool(wanted) and scheme.lower() == "bearer" and hmac.compare_digest(token.encode(), wanted.encode())
