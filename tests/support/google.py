"""Google's part of a login, as a small server in the test process: checks what Google checks, and knows the persons it is told."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from kotobamichi.settings import GoogleSettings

CLIENT_ID, CLIENT_SECRET = "client.example", "the client's secret"
CALLBACK = "http://app/v1/auth/google/callback"


@dataclass
class Google:
    """`consent` is what happens on Google's page: somebody agrees, and is sent back with a code."""

    port: int = 0
    broken: bool = False
    codes: dict[str, tuple[dict[str, str], dict[str, Any]]] = field(default_factory=dict)
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def settings(self) -> GoogleSettings:
        base = f"http://127.0.0.1:{self.port}"
        return GoogleSettings(CLIENT_ID, CLIENT_SECRET, CALLBACK, f"{base}/auth", f"{base}/token", f"{base}/userinfo")

    def consent(self, location: str, person: dict[str, Any]) -> str:
        """Path and query of the callback that the browser is sent to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(location).query, strict_parsing=True).items()}
        assert urlsplit(location).path == "/auth"
        assert asked["client_id"] == CLIENT_ID
        assert asked["redirect_uri"] == CALLBACK
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert {"openid", "email"} <= set(asked["scope"].split())
        code = secrets.token_urlsafe(16)
        self.codes[code] = (asked, person)
        return f"{urlsplit(CALLBACK).path}?{urlencode({'code': code, 'state': asked['state']})}"

    def exchange(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """RFC 6749, 4.1.3 and RFC 7636, 4.6; a code is good once."""
        asked, person = self.codes.pop(form.get("code", ""), ({}, {}))
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        good = (
            asked
            and form.get("grant_type") == "authorization_code"
            and (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
            and form.get("redirect_uri") == asked["redirect_uri"]
            and base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]
        )
        if not good:
            return 400, {"error": "invalid_grant"}
        token = secrets.token_urlsafe(16)
        self.tokens[token] = person
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": 3599}


@contextmanager
def google_running() -> Iterator[Google]:
    google = Google()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(content).items()}
            self._answer(*google.exchange(form))

        def do_GET(self) -> None:
            person = google.tokens.get((self.headers["Authorization"] or "").removeprefix("Bearer "))
            self._answer(*((200, person) if person is not None else (401, {"error": "invalid_token"})))

        def _answer(self, status: int, body: Any) -> None:
            content = b"<html>" if google.broken else json.dumps(body).encode()
            self.send_response(500 if google.broken else status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        google.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield google
        finally:
            server.shutdown()
            thread.join()
