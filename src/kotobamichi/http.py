"""What every answer has in common: error bodies, request ids, CORS, ETags, HEAD."""

from __future__ import annotations

import logging
import re
from typing import Any, Protocol

import msgspec
from litestar import MediaType, Request, Response
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from kotobamichi.errors import ApiError
from kotobamichi.freshness import Answer, weak_etag
from kotobamichi.ids import new_id

log = logging.getLogger("kotobamichi.http")

EXPOSED_HEADERS = b"Retry-After, ETag, Link, X-Request-Id, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"
ALLOWED_METHODS = b"GET,HEAD,PUT,PATCH,POST,DELETE"
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
LOCALHOST = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
JSON = b"application/json; charset=utf-8"
PREPARING = "The database is being prepared. Try again in a moment."
# Everything but the greeting, the health probes and the documentation.
NEEDS_DATABASE = re.compile(r"/v1/(?!health(?:/|$)|docs(?:/|$))")
NAMES = {
    503: "Service Unavailable",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
}


def error_body(status: int, message: str | list[str], error: str | None = None) -> dict[str, Any]:
    """The body of a refusal: `message`, the name of the status where it has one, `statusCode`."""
    return {"message": message, **({"error": error} if error else {}), "statusCode": status}


def answer_api_error(_request: Request[Any, Any, Any], error: ApiError) -> Response[dict[str, Any]]:
    return Response(
        error_body(error.status, error.message, error.error),
        status_code=error.status,
        media_type=MediaType.JSON,
        headers=error.headers,
    )


def json_answer(answer: Answer) -> Response[bytes]:
    """What is known already as bytes, with the tag it has."""
    return Response(answer.body, media_type=MediaType.JSON, headers={"etag": answer.etag.decode()})


def answer_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    """The framework's own refusals in our shape. A wrong method on a known path is an unknown route, as it always was."""
    status = 404 if error.status_code == 405 else error.status_code
    if status == 404:
        body = error_body(
            404, f"Cannot {request.scope.get('method_asked', request.method)} {_asked_path(request)}", NAMES[404]
        )
    elif status == 413:
        body = {"statusCode": 413, "message": "request entity too large"}
    elif status >= 500:
        body = {"statusCode": status, "message": "Internal server error"}
    else:
        body = error_body(status, error.detail, NAMES.get(status))
    return Response(body, status_code=status, media_type=MediaType.JSON)


def _asked_path(request: Request[Any, Any, Any]) -> str:
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    query = request.scope.get("query_string", b"")
    return (raw + (b"?" + query if query else b"")).decode("latin-1")


def answer_database_away(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """No connection to PostgreSQL: nothing is wrong with the request, so a client may send it again."""
    log.warning("database away: %s [%s]", type(error).__name__, request.scope.get("request_id", "-"))
    body = error_body(503, "The database cannot be reached. Try again in a moment.", NAMES[503])
    return Response(body, status_code=503, media_type=MediaType.JSON, headers={"Retry-After": "1"})


def answer_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """The last resort: the trace goes to the log with the request's id, the client learns nothing of it."""
    log.error("unexpected %s [%s]", type(error).__name__, request.scope.get("request_id", "-"), exc_info=error)
    return Response({"statusCode": 500, "message": "Internal server error"}, status_code=500, media_type=MediaType.JSON)


class Gate(Protocol):
    """Says whether the app may touch the database."""

    open: bool


class Conventions:
    """The outermost layer, around the framework: what holds for every answer, also for those it gives itself."""

    def __init__(self, app: ASGIApp, cors_origins: tuple[str, ...] | None, gate: Gate) -> None:
        self.app = app
        self.cors_origins = cors_origins
        self.gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        exchange = Exchange(scope, send, self.cors_origins)
        if exchange.is_preflight:
            await exchange.answer_preflight()
        elif not self.gate.open and NEEDS_DATABASE.match(scope["path"]):
            await exchange.answer_unavailable()
        else:
            await self.app(scope, receive, exchange.send)


class Exchange:
    """One request and its answer. Holds back the head of a GET's answer until its body is known, for the ETag."""

    __slots__ = ("added", "head_only", "if_none_match", "is_preflight", "origin", "scope", "sender", "start", "tagged")

    def __init__(self, scope: HTTPScope, send: Send, cors_origins: tuple[str, ...] | None) -> None:
        self.scope = scope
        self.sender = send
        self.start: Any = None
        self.if_none_match: bytes | None = None
        self.origin: bytes | None = None
        request_id: bytes | None = None
        asks_method = False
        for name, value in scope["headers"]:
            if name == b"if-none-match":
                self.if_none_match = value
            elif name == b"origin":
                self.origin = value
            elif name == b"x-request-id" and REQUEST_ID.fullmatch(value):
                request_id = value
            elif name == b"access-control-request-method":
                asks_method = True
        method = scope["method"]
        self.is_preflight = method == "OPTIONS" and self.origin is not None and asks_method
        self.head_only = method == "HEAD"
        self.tagged = method in {"GET", "HEAD"}
        request_id = request_id or new_id().hex.encode()
        self.added = [(b"x-request-id", request_id), *self._cors_headers(cors_origins)]
        scope["request_id"] = request_id.decode()  # type: ignore[typeddict-unknown-key]
        if self.head_only:
            scope["method_asked"] = "HEAD"  # type: ignore[typeddict-unknown-key]
            scope["method"] = "GET"
        path = scope["path"]
        if len(path) > 1 and path.endswith("/"):
            scope["path"] = path.rstrip("/") or "/"

    def _cors_headers(self, allowed: tuple[str, ...] | None) -> list[tuple[bytes, bytes]]:
        if self.origin is None:
            return []
        origin = self.origin.decode("latin-1")
        if not (LOCALHOST.fullmatch(origin) if allowed is None else origin in allowed):
            return [(b"vary", b"Origin")]
        return [
            (b"vary", b"Origin"),
            (b"access-control-allow-origin", self.origin),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", EXPOSED_HEADERS),
        ]

    async def answer_preflight(self) -> None:
        asked = next((value for name, value in self.scope["headers"] if name == b"access-control-request-headers"), b"")
        headers = [*self.added, (b"access-control-allow-methods", ALLOWED_METHODS), (b"content-length", b"0")]
        if asked:
            headers.append((b"access-control-allow-headers", asked))
        await self.sender({"type": "http.response.start", "status": 204, "headers": headers})
        await self.sender({"type": "http.response.body", "body": b"", "more_body": False})

    async def answer_unavailable(self) -> None:
        body = msgspec.json.encode(error_body(503, PREPARING, NAMES[503]))
        headers = [
            *self.added,
            (b"content-type", JSON),
            (b"content-length", str(len(body)).encode()),
            (b"retry-after", b"1"),
        ]
        await self.sender({"type": "http.response.start", "status": 503, "headers": headers})
        await self.sender({"type": "http.response.body", "body": b"" if self.head_only else body, "more_body": False})

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *self.added]
            if self.tagged and message["status"] == 200:
                self.start = message
                return
        elif message["type"] == "http.response.body":
            if self.start is not None:
                start, self.start = self.start, None
                if not message.get("more_body"):
                    self._tag(start, message)
                await self.sender(start)
            if self.head_only:
                message["body"] = b""
        await self.sender(message)

    def _tag(self, start: Any, message: Any) -> None:
        """A weak ETag over the body, unless the answer has one; 304 without a body where the client has it already."""
        tag = next((value for name, value in start["headers"] if name == b"etag"), None)
        if tag is None:
            tag = weak_etag(message["body"])
            start["headers"].append((b"etag", tag))
        if self.if_none_match is not None and matches(self.if_none_match, tag):
            start["status"] = 304
            start["headers"] = [
                (name, value) for name, value in start["headers"] if name not in {b"content-length", b"content-type"}
            ]
            message["body"] = b""


def matches(if_none_match: bytes, tag: bytes) -> bool:
    """RFC 9110, 13.1.2: `*`, or any of the listed tags by weak comparison."""
    opaque = tag.removeprefix(b"W/")
    return any(item.strip().removeprefix(b"W/") in {opaque, b"*"} for item in if_none_match.split(b","))
