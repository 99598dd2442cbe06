"""One lockout over both doors: pages (adapter.py) and API (api.py) count sign-ins here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codecrafter.http.client import counted_address
from codecrafter.http.throttles import count_or_refuse

if TYPE_CHECKING:
    from django.http import HttpRequest


def count_sign_in(name: str, request: HttpRequest) -> None:
    """Count one attempt before its password is looked at; raise RateLimited (429) when it is one too many.

    The small counter is of a name from one address, so that a stranger's guesses do not lock the right person out
    elsewhere. What it refuses is not counted for the name as a whole: filling that counter takes many addresses.
    The name is what was typed, not whom it means: one counter for a person's user name and e-mail address together
    would tell which belongs to which.
    """
    name, address = name.strip().lower(), counted_address(request)
    count_or_refuse("login_address", address)
    # An address holds no newline.
    count_or_refuse("login", f"{address}\n{name}")
    count_or_refuse("login_name", name)
