"""Decide who may see /metrics and the details of /health/ready."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from django.conf import settings

from web.client import is_direct_from_loopback

if TYPE_CHECKING:
    from django.http import HttpRequest


def is_operator(request: HttpRequest) -> bool:
    """Whether the caller is on this machine, without a proxy in between, or has METRICS_TOKEN."""
    return is_direct_from_loopback(request) or _has_metrics_token(request)


def _has_metrics_token(request: HttpRequest) -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    wanted = settings.METRICS_TOKEN
    return bool(wanted) and scheme.lower() == "bearer" and hmac.compare_digest(token.encode(), wanted.encode())
