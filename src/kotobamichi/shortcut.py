"""The layer just around the framework: answers that are at hand and still true go out without it (decision 0015)."""

from __future__ import annotations

import psycopg
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from kotobamichi.freshness import Answers, Target

JSON = b"application/json"


class Shortcut:
    """Gives what a handler made for the same target before, if nothing that it tells of has changed since."""

    def __init__(self, app: ASGIApp, answers: Answers) -> None:
        self.app = app
        self.answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and scope["method"] == "GET":
            try:
                answer = await self.answers.recall(Target(scope["path"], scope["query_string"]))
            except (psycopg.Error, OSError):
                answer = None  # the handler finds out for itself, and its error is answered
            if answer is not None:
                headers = [
                    (b"content-type", JSON),
                    (b"content-length", b"%d" % len(answer.body)),
                    (b"etag", answer.etag),
                    *([(b"link", answer.link.encode())] if answer.link else []),
                ]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await send({"type": "http.response.body", "body": answer.body, "more_body": False})
                return
        await self.app(scope, receive, send)


def target_of(scope: HTTPScope) -> Target:
    """The key of an answer that depends on nothing of a request but what it asks for."""
    return Target(scope["path"], scope["query_string"])
