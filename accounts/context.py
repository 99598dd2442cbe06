"""The template context processor of the demo login."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.demo import read_demo_login
from web.client import is_direct_from_loopback

if TYPE_CHECKING:
    from django.http import HttpRequest


def demo_login(request: HttpRequest) -> dict[str, object]:
    """Set `demo_login` to {"username", "other_username", "password"} for callers on this machine, else to None."""
    return {"demo_login": read_demo_login() if is_direct_from_loopback(request) else None}
