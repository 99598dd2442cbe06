"""A client of the API as somebody would write one: paths, verbs, JSON, a bearer token, nothing of ours imported."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from rest_framework.test import APIClient

PASSWORD = "correct horse battery"
PROBLEM = {"type", "title", "status", "detail", "code"}


@dataclass
class Caller:
    """`base` is /api or /api/v1; `slash` is put after every path."""

    base: str
    slash: str = ""
    client: APIClient = field(default_factory=APIClient)

    def __call__(self, method: str, path: str, status: int, body: Any = None, **headers: str) -> Any:
        """The answer, which has this status; a refusal is a problem, whatever it is about."""
        path, mark, query = path.partition("?")
        answer = self.client.generic(
            method,
            f"{self.base}{path}{self.slash}{mark}{query}",
            "" if body is None else json.dumps(body),
            content_type="application/json",
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        assert answer.status_code == status, (method, path, answer.status_code, answer.content)
        if status >= 400:
            assert answer["Content-Type"] == "application/problem+json", (method, path)
            assert set(answer.json()) >= PROBLEM and answer.json()["status"] == status, answer.json()
        return answer

    def register(self, username: str) -> dict[str, Any]:
        """Somebody new, whose token this caller carries from now on."""
        body = {"username": username, "email": f"{username}@example.org", "password": PASSWORD}
        made = self("POST", "/auth/register", 201, body).json()
        self.carry(made["access"])
        return made

    def carry(self, access: str) -> None:
        self.client.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")

    def beside(self) -> Caller:
        """The same door for somebody else."""
        return Caller(self.base, self.slash)
