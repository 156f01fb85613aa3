"""The routes of the app: which one a request is for is known before the framework is asked, and so is what holds for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from litestar import Litestar
from litestar.exceptions import HTTPException
from litestar.routes import HTTPRoute
from litestar.utils import normalize_path

from kotobamichi.incoming import MOST_BODY_BYTES, most_body_of
from kotobamichi.limits import limit_of

HEALTH = "/v1/health"
ACCOUNTS = "/v1/auth/"


@dataclass(frozen=True, slots=True)
class Route:
    """`template` is the path with names for its variable parts. `limit` is requests per client and minute, None for any number.

    `secret`: its answers hold tokens and are stored nowhere. `quiet`: asked by machines every few seconds, so not worth a line.
    """

    number: int
    method: str
    template: str
    limit: int | None
    most_body: int
    secret: bool
    quiet: bool
    name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{self.method} {self.template}")


# What no route of ours is asked for: `Cannot GET /v1/nope`.
UNKNOWN = Route(0, "-", "-", None, MOST_BODY_BYTES, secret=False, quiet=False)


# Paths whose route was found before.
MOST_REMEMBERED = 10_000
LONGEST_REMEMBERED = 200


class Routes:
    """Finds the route of a request. The framework's own router says which one it is, so the two cannot disagree."""

    def __init__(self, app: Litestar) -> None:
        self.find_handler = app.asgi_router.handle_routing
        named = sorted(_methods_and_templates(app))
        self.all = [UNKNOWN, *(_route(number, *pair) for number, pair in enumerate(named, 1))]
        self.by_name = {(route.method, route.template): route for route in self.all}
        self.known: dict[tuple[str, str], Route] = {}

    def find(self, method: str, path: str) -> Route:
        route = self.known.get((method, path))
        if route is None:
            route = self._find(method, path)
            if len(self.known) >= MOST_REMEMBERED:
                self.known.clear()
            if len(path) < LONGEST_REMEMBERED:
                self.known[(method, path)] = route
        return route

    def _find(self, method: str, path: str) -> Route:
        try:
            template = self.find_handler(path=normalize_path(path), method=method)[4]
        except HTTPException:
            return UNKNOWN
        return self.by_name.get((method, template), UNKNOWN)


def _methods_and_templates(app: Litestar) -> Iterator[tuple[str, str]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method in route.methods:
                if method != "OPTIONS":
                    yield method, route.path_format


def _route(number: int, method: str, template: str) -> Route:
    name = f"{method} {template}"
    return Route(
        number,
        method,
        template,
        limit=limit_of(name),
        most_body=most_body_of(name),
        secret=template.startswith(ACCOUNTS),
        quiet=template == "/metrics" or template.startswith(HEALTH),
    )
