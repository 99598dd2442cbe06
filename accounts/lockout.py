"""One lockout over both doors: pages (adapter.py) and API (api.py) count sign-ins here."""

from __future__ import annotations

from codecrafter.http.throttles import count_or_refuse


def count_sign_in(name: str, address: str) -> None:
    """Count one attempt before its password is looked at; raise RateLimited (429) when it is one too many.

    The account is counted by what was typed, not by who it is: one counter for a person's name and address
    together would tell which address belongs to which name.
    """
    count_or_refuse("login_address", address)
    count_or_refuse("login", name.strip().lower())
