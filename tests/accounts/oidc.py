"""A small OpenID Connect provider, in which one person is signed in at a time and says yes, or no, at once.

OpenID Connect Core 1.0, the authorization code flow (3.1), with what RFC 6749 asks of it.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt

if TYPE_CHECKING:
    from collections.abc import Mapping

CLIENT_ID, CLIENT_SECRET = "codecrafter", "a secret of the two"


class Provider:
    def __init__(self) -> None:
        # The claims about who is signed in there.
        self.person: dict[str, Any] = {}
        self.says_no = False
        # "nothing": it closes the connection; "later": only when the browser was sent there; else what it answers.
        self.fails_with = ""
        self._granted: dict[str, dict[str, Any]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def configuration(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "jwks_uri": f"{self.url}/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }

    def authorize(self, asked: Mapping[str, str]) -> str:
        """Where the browser goes back to."""
        code = secrets.token_urlsafe()
        self._granted[code] = dict(self.person)
        answer = {"error": "access_denied"} if self.says_no else {"code": code}
        return f"{asked['redirect_uri']}?{urlencode({**answer, 'state': asked['state']})}"

    def exchange(self, asked: Mapping[str, str]) -> dict[str, Any]:
        assert (asked["client_id"], asked["client_secret"]) == (CLIENT_ID, CLIENT_SECRET)
        person = self._granted.pop(asked["code"])
        token = secrets.token_urlsafe()
        self._granted[token] = person
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + 60, **person}
        # Over a connection of its own the client need not look at the signature (Core, 3.1.3.7).
        return {
            "access_token": token,
            "token_type": "Bearer",
            "id_token": jwt.encode(claims, "k" * 32, "HS256"),
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                if provider.fails_with == "later":
                    if parts.path == "/authorize":
                        provider.fails_with = "nothing"
                elif provider.fails_with:
                    if provider.fails_with != "nothing":
                        self._answer(provider.fails_with)
                    return
                if parts.path == "/authorize":
                    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
                    self.send_response(302)
                    self.send_header("Location", provider.authorize(asked))
                    self.end_headers()
                elif parts.path == "/userinfo":
                    self._answer(provider._granted[self.headers["Authorization"].removeprefix("Bearer ")])
                else:
                    self._answer(provider.configuration)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self._answer(provider.exchange({name: values[0] for name, values in parse_qs(body).items()}))

            def _answer(self, body: Mapping[str, Any] | str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write((body if isinstance(body, str) else json.dumps(body)).encode())

            def log_message(self, format: str, *args: Any) -> None: ...

        return Handler
