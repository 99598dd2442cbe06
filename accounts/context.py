"""What the templates may say about the demo login."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.http import HttpRequest


def demo_login(request: HttpRequest) -> dict[str, object]:
    return {"demo_login": None}
