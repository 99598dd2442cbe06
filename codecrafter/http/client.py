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
    peer: str = request.META.get("REMOTE_ADDR", "")
    hops = settings.TRUSTED_PROXIES
    if not hops:
        return peer
    forwarded = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
    return forwarded[-hops] if len(forwarded) >= hops else peer


def counted_address(request: HttpRequest) -> str:
    """Whom rate limits take for one caller: an IPv4 address, or a /64, all of which one IPv6 customer has."""
    text = client_address(request)
    try:
        address = ip_address(text)
    except ValueError:
        return text
    if address.version == 4:
        return str(address)
    return str(address.ipv4_mapped or ip_network((int(address), 64), strict=False))
