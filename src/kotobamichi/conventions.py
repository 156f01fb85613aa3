"""The outermost layer, around the framework: what holds for every request and every answer.

In this order: preflight, rate limit, whether the server can serve, foreign pages, size of the body; then the framework with its
guards, validation and handlers. Every answer gets its request id, CORS, caching and security headers, and a line in the log.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from kotobamichi.clients import Clients
from kotobamichi.errors import BodyTooLarge
from kotobamichi.freshness import weak_etag
from kotobamichi.http import NAMES, error_body
from kotobamichi.ids import new_id
from kotobamichi.incoming import Incoming
from kotobamichi.limits import Store, headers_of
from kotobamichi.logs import RequestLog
from kotobamichi.metrics import Numbers
from kotobamichi.origins import Origins
from kotobamichi.routing import UNKNOWN, Route, Routes
from kotobamichi.shared import Shared

EXPOSED_HEADERS = b"Retry-After, ETag, Link, X-Request-Id, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"
ALLOWED_METHODS = b"GET,HEAD,PUT,PATCH,POST,DELETE"
READS = frozenset({"GET", "HEAD", "OPTIONS"})
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
JSON = b"application/json; charset=utf-8"
PREPARING = "The database is being prepared. Try again in a moment."
FOREIGN = "Origin not allowed"
TOO_MANY = "ThrottlerException: Too Many Requests"
# Everything but the greeting, the health probes and the documentation.
NEEDS_DATABASE = re.compile(r"/v1/(?!health(?:/|$)|docs(?:/|$))")
LOOKED_AT = frozenset({
    b"access-control-request-headers", b"access-control-request-method", b"authorization", b"content-length", b"cookie", b"host",
    b"if-none-match", b"origin", b"sec-fetch-site", b"transfer-encoding", b"x-forwarded-for", b"x-request-id",
})  # fmt: skip
SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"vary", b"Origin, Cookie, Authorization"),
]
# What may be kept, and must be asked for again each time: tags make that cheap. Of somebody's own, by nobody on the way.
PUBLIC = (b"cache-control", b"no-cache")
PRIVATE = (b"cache-control", b"private, no-cache")
NOWHERE = (b"cache-control", b"no-store")
CLOSE = (b"connection", b"close")
# What the log and the numbers say where the client had gone before its answer.
CLIENT_GONE = 499


class Gate(Protocol):
    """Says whether the app may touch the database."""

    open: bool

    def open_with_others(self) -> bool: ...


class Refusal(NamedTuple):
    """An answer in place of the framework's: its status is the body's `statusCode`."""

    body: dict[str, Any]
    header: tuple[bytes, bytes] | None = None


class Limiter(NamedTuple):
    """Who a client is, and where its requests are counted, if they are."""

    clients: Clients
    store: Store | None


class Records(NamedTuple):
    """Where it is noted that a request was answered."""

    numbers: Numbers
    log: RequestLog


class Conventions:
    """The ASGI app that the server calls."""

    def __init__(
        self,
        app: ASGIApp,
        routes: Routes,
        origins: Origins,
        limiter: Limiter,
        gate: Gate,
        shared: Shared,
        records: Records,
    ) -> None:
        self.app = app
        self.routes = routes
        self.origins = origins
        self.clients, self.store = limiter
        self.gate = gate
        self.shared = shared
        self.numbers, self.log = records

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        self.numbers.in_flight += 1
        exchange = Exchange(scope, send, self.origins)
        exchange.route = route = self.routes.find(scope["method"], scope["path"])
        try:
            await self._answer(exchange, receive)
        finally:
            seconds = time.perf_counter() - began
            self.numbers.in_flight -= 1
            self.numbers.count(route.number, exchange.status, seconds)
            self.log.add(route, exchange.status, seconds, exchange.request_id)

    async def _answer(self, exchange: Exchange, receive: Receive) -> None:
        given, route = exchange.given, exchange.route
        if self.shared.stopping:
            exchange.added.append(CLOSE)
        if exchange.is_preflight:
            await exchange.answer_preflight()
            return
        incoming = None
        if b"transfer-encoding" in given or given.get(b"content-length", b"0") != b"0":
            incoming = Incoming(receive, route.most_body)
            receive = incoming.receive
        refusal = None
        client = self._client_of(exchange.scope, given)
        if self.store is not None and route.limit is not None:
            hit = await self.store.hit(f"{route.name} {client}")
            exchange.added += (headers := headers_of(route.limit, hit))
            if hit.number > route.limit:
                refusal = Refusal({"statusCode": 429, "message": TOO_MANY}, (b"retry-after", headers[2][1]))
        refusal = refusal or self._find_refusal(exchange)
        if refusal is None:
            await self.app(exchange.scope, receive, exchange.send)
        else:
            await exchange.refuse(refusal)
        if incoming is not None and not incoming.ended:
            await incoming.read_rest()

    def _client_of(self, scope: HTTPScope, given: Mapping[bytes, bytes]) -> str:
        """The name of the client. Where a proxy says who it is, the rest of the app is told so, too."""
        client = scope["client"]
        peer = client[0] if client else ""
        if b"x-forwarded-for" not in given or not self.clients.trusts(peer):
            return self.clients.name(peer, b"")
        forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
        name = self.clients.name(peer, forwarded)
        scope["client"] = (name, 0)
        return name

    def _find_refusal(self, exchange: Exchange) -> Refusal | None:
        """What needs no account to be refused is refused here."""
        given, scope = exchange.given, exchange.scope
        if not (self.gate.open or self.gate.open_with_others()) and NEEDS_DATABASE.match(scope["path"]):
            return Refusal(error_body(503, PREPARING, NAMES[503]), (b"retry-after", b"1"))
        if scope["method"] not in READS and self.origins.refuse_write(
            exchange.origin, given.get(b"host", b""), given.get(b"sec-fetch-site"), cookies=b"cookie" in given
        ):
            return Refusal(error_body(403, FOREIGN, NAMES[403]))
        length = given.get(b"content-length")
        if length is not None and (not length.isdigit() or int(length) > exchange.route.most_body):
            return Refusal({"statusCode": 413, "message": BodyTooLarge().message}, CLOSE)
        return None


class Exchange:
    """One request and its answer. Holds back the head of a GET's answer until its body is known, for the ETag."""

    __slots__ = (
        "added", "given", "head_only", "is_preflight", "origin", "request_id", "route", "scope", "sender", "start", "status",
        "tagged",
    )  # fmt: skip

    def __init__(self, scope: HTTPScope, send: Send, origins: Origins) -> None:
        self.scope = scope
        self.sender = send
        self.start: Any = None
        self.status = CLIENT_GONE
        self.route: Route = UNKNOWN
        self.given = given = {name: value for name, value in scope["headers"] if name in LOOKED_AT}
        self.origin: bytes | None = given.get(b"origin")
        request_id = given.get(b"x-request-id")
        if request_id is None or REQUEST_ID.fullmatch(request_id) is None:
            request_id = new_id().hex.encode()
        self.added = [(b"x-request-id", request_id), *SECURITY]
        if self.origin is not None and origins.allow(self.origin.decode("latin-1")):
            self.added += (
                (b"access-control-allow-origin", self.origin),
                (b"access-control-allow-credentials", b"true"),
                (b"access-control-expose-headers", EXPOSED_HEADERS),
            )
        self.request_id = scope["request_id"] = request_id.decode()  # type: ignore[typeddict-unknown-key]
        method = scope["method"]
        self.is_preflight = (
            method == "OPTIONS" and self.origin is not None and b"access-control-request-method" in given
        )
        self.head_only = method == "HEAD"
        self.tagged = method in {"GET", "HEAD"}
        if self.head_only:
            scope["method_asked"] = "HEAD"  # type: ignore[typeddict-unknown-key]
            scope["method"] = "GET"
        path = scope["path"]
        if len(path) > 1 and path.endswith("/"):
            scope["path"] = path.rstrip("/") or "/"

    async def answer_preflight(self) -> None:
        asked = self.given.get(b"access-control-request-headers")
        headers = [*self.added, (b"access-control-allow-methods", ALLOWED_METHODS), (b"content-length", b"0")]
        if asked:
            headers.append((b"access-control-allow-headers", asked))
        self.status = 204
        await self.sender({"type": "http.response.start", "status": 204, "headers": headers})
        await self.sender({"type": "http.response.body", "body": b"", "more_body": False})

    async def refuse(self, refusal: Refusal) -> None:
        content = msgspec.json.encode(refusal.body)
        head = [(b"content-type", JSON), (b"content-length", b"%d" % len(content))]
        if refusal.header is not None:
            head.append(refusal.header)
        await self.send({"type": "http.response.start", "status": refusal.body["statusCode"], "headers": head})
        await self.send({"type": "http.response.body", "body": content, "more_body": False})

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = headers = [*message["headers"], *self.added]
            for name, _value in headers:  # no generator: this is on the path of every answer
                if name == b"cache-control":
                    break
            else:
                headers.append(self._cache_control())
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

    def _cache_control(self) -> tuple[bytes, bytes]:
        if not self.tagged or self.route.secret:
            return NOWHERE
        return PRIVATE if b"authorization" in self.given or b"cookie" in self.given else PUBLIC

    def _tag(self, start: Any, message: Any) -> None:
        """A weak ETag over the body, unless the answer has one; 304 without a body where the client has it already."""
        tag = next((value for name, value in start["headers"] if name == b"etag"), None)
        if tag is None:
            tag = weak_etag(message["body"])
            start["headers"].append((b"etag", tag))
        known = self.given.get(b"if-none-match")
        if known is not None and matches(known, tag):
            self.status = start["status"] = 304
            start["headers"] = [
                (name, value) for name, value in start["headers"] if name not in {b"content-length", b"content-type"}
            ]
            message["body"] = b""


def matches(if_none_match: bytes, tag: bytes) -> bool:
    """RFC 9110, 13.1.2: `*`, or any of the listed tags by weak comparison."""
    opaque = tag.removeprefix(b"W/")
    return any(item.strip().removeprefix(b"W/") in {opaque, b"*"} for item in if_none_match.split(b","))
