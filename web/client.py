"""Who is calling, as far as their address goes, and who can call at all."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from django.http import HttpRequest

# A proxy on this machine connects from loopback too; what it forwards carries at least one of these.
_FORWARDING_HEADERS = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via")


def serves_this_machine_only() -> bool:
    """Whether the settings say so: it listens on loopback, under loopback names, and nothing stands in front of it."""
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
    """True for a caller on this machine that no proxy stands before."""
    if any(name in request.headers for name in _FORWARDING_HEADERS):
        return False
    return _is_loopback(request.META.get("REMOTE_ADDR", ""))


def client_address(request: HttpRequest) -> str:
    """The caller's address. X-Forwarded-For is believed only as far as TRUSTED_PROXIES proxies wrote it."""
    return forwarded_address(request.META.get("REMOTE_ADDR", ""), request.META.get("HTTP_X_FORWARDED_FOR", ""))


def forwarded_address(peer: str, x_forwarded_for: str) -> str:
    """The address that the outermost trusted proxy saw, or the peer's own where too few proxies wrote one."""
    hops = settings.TRUSTED_PROXIES
    if not hops:
        return peer
    forwarded = [part.strip() for part in x_forwarded_for.split(",") if part.strip()]
    return forwarded[-hops] if len(forwarded) >= hops else peer


def counted_address(request: HttpRequest) -> str:
    """The address that rate limits count; see customer_of."""
    return customer_of(client_address(request))


def customer_of(text: str) -> str:
    """One caller as far as limits go: an IPv4 address, or the whole /64 that one IPv6 customer has."""
    try:
        address = ip_address(text)
    except ValueError:
        return text
    if address.version == 4:
        return str(address)
    return str(address.ipv4_mapped or ip_network((int(address), 64), strict=False))
