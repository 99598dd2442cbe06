"""Determine the caller's address, and whether only this machine can call."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from django.http import HttpRequest

# A proxy on this machine connects from loopback too, but its requests carry at least one of these.
_FORWARDING_HEADERS = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via")


def serves_this_machine_only() -> bool:
    """Whether, by its settings, the server listens on loopback, under loopback names, with nothing in front of it."""
    names_are_local = all(_is_loopback_name(name) for name in settings.ALLOWED_HOSTS)
    return bool(settings.LOOPBACK and names_are_local and not settings.TRUSTED_PROXIES and not settings.HTTPS)


def _is_loopback_name(name: str) -> bool:
    return name.lower() == "localhost" or _is_loopback(name.removeprefix("[").removesuffix("]"))


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def is_direct_from_loopback(request: HttpRequest) -> bool:
    """Whether the caller is on this machine, without a proxy in between."""
    if any(name in request.headers for name in _FORWARDING_HEADERS):
        return False
    return _is_loopback(request.META.get("REMOTE_ADDR", ""))


def client_address(request: HttpRequest) -> str:
    """Return the caller's address. Only the entries of X-Forwarded-For that TRUSTED_PROXIES proxies wrote count."""
    return forwarded_address(request.META.get("REMOTE_ADDR", ""), request.META.get("HTTP_X_FORWARDED_FOR", ""))


def forwarded_address(peer: str, x_forwarded_for: str) -> str:
    """Return the address that the outermost trusted proxy saw, or the peer's own if there were too few proxies."""
    hops = settings.TRUSTED_PROXIES
    if not hops:
        return peer
    forwarded = [part.strip() for part in x_forwarded_for.split(",") if part.strip()]
    return forwarded[-hops] if len(forwarded) >= hops else peer


def counted_address(request: HttpRequest) -> str:
    """Return the address that rate limits count (see customer_of)."""
    return customer_of(client_address(request))


def customer_of(text: str) -> str:
    """Reduce an address to one caller for rate limits: an IPv4 address, or the /64 of one IPv6 customer."""
    try:
        address = ip_address(text)
    except ValueError:
        return text
    if address.version == 4:
        return str(address)
    return str(address.ipv4_mapped or ip_network((int(address), 64), strict=False))
