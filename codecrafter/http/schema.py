"""Which paths the OpenAPI schema shows: each once, without its /api/v1/ alias."""

from __future__ import annotations

from typing import Any


def each_path_once(endpoints: list[tuple[str, str, str, Any]]) -> list[tuple[str, str, str, Any]]:
    return [
        endpoint for endpoint in endpoints if not endpoint[0].startswith("/api/v1/") and not endpoint[0].endswith("/")
    ]
