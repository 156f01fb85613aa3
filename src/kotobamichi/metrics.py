"""The numbers of the whole server: each worker writes its own into shared memory, whoever is asked adds them up (decision 0021)."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kotobamichi.mail.outbox import OutboxCounts
from kotobamichi.routing import Route
from kotobamichi.shared import SLOT_BYTES, Shared

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

STATUSES = (
    200, 201, 204, 206, 301, 302, 303, 304, 307, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 499, 500, 502, 503, 0,
)  # fmt: skip
STATUS_PLACE = {status: place for place, status in enumerate(STATUSES)}
OTHER_STATUS = len(STATUSES) - 1
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# Where a worker's numbers are in its part of the memory. The first hold for now, and
# count while the worker lives.
BEAT, IN_FLIGHT, MEMORY, POOL_SIZE, POOL_IDLE, POOL_WAITING, POOL_MOST, PIPELINES, PIPELINED, LIMITS_AWAY = range(1, 11)
# These grow, and what a dead worker has counted is counted on by the one that takes its place.
FIRST_ROUTE = 32
BUCKETS_AT = len(STATUSES)
SUM_AT = BUCKETS_AT + len(BOUNDS) + 1
ROUTE_CELLS = SUM_AT + 1
MOST_ROUTES = (SLOT_BYTES // 8 - FIRST_ROUTE) // ROUTE_CELLS

BEAT_SECONDS = 1.0
# A worker that has said nothing for so long is gone.
SILENCE_SECONDS = 5.0


class Numbers:
    """What one worker counts. `count` is on the path of every request."""

    def __init__(self, shared: Shared, routes: int) -> None:
        assert routes <= MOST_ROUTES, "the shared memory has no room for so many routes"
        self.in_flight = 0
        self.cells = shared.take_slot()
        for cell in range(1, FIRST_ROUTE):
            self.cells[cell] = 0

    def count(self, route: int, status: int, seconds: float) -> None:
        """A request that is answered."""
        cells = self.cells
        at = FIRST_ROUTE + route * ROUTE_CELLS
        cells[at + STATUS_PLACE.get(status, OTHER_STATUS)] += 1
        cells[at + BUCKETS_AT + bisect_left(BOUNDS, seconds)] += 1
        cells[at + SUM_AT] += int(seconds * 1_000_000)

    def beat(self, **now: int) -> None:
        """Says that this worker lives, and what is so now: names as the cells', in lower case."""
        for name, value in now.items():
            self.cells[PLACES[name]] = value
        self.cells[IN_FLIGHT] = self.in_flight
        self.cells[BEAT] = int(time.monotonic() * 1000)


PLACES = {
    "memory": MEMORY, "pool_size": POOL_SIZE, "pool_idle": POOL_IDLE, "pool_waiting": POOL_WAITING, "pool_most": POOL_MOST,
    "pipelines": PIPELINES, "pipelined": PIPELINED, "limits_away": LIMITS_AWAY,
}  # fmt: skip


@dataclass(frozen=True)
class DatabaseNumbers:
    """What only the database knows. `up` False: it does not answer, and the rest is not known."""

    up: bool
    expected: str | None
    actual: str | None = None
    ready: bool = False
    outbox: OutboxCounts | None = None


class Reader:
    """Adds up what all workers have written."""

    def __init__(self, shared: Shared, routes: Sequence[Route], version: str) -> None:
        self.shared = shared
        self.routes = routes
        self.version = version

    def exposition(self, database: DatabaseNumbers) -> str:
        """OpenMetrics text, 1.0.0."""
        slots = self.shared.slots()
        oldest = (time.monotonic() - SILENCE_SECONDS) * 1000
        alive = [slot for slot in slots if slot[BEAT] > max(oldest, 0)]
        lines = [
            *_family("kotobamichi_build", "info", "The version that runs."),
            f'kotobamichi_build_info{{version="{_escape(self.version)}"}} 1',
            *self._requests(slots),
            *self._durations(slots),
            *_gauges(alive),
            *_database(database),
            "# EOF",
        ]
        return "\n".join(lines) + "\n"

    def _requests(self, slots: Sequence[memoryview]) -> Iterator[str]:
        yield from _family(
            "kotobamichi_http_requests", "counter", "Requests answered; status 499: the client had gone."
        )
        for route, labels in self._labelled():
            at = FIRST_ROUTE + route.number * ROUTE_CELLS
            for place, status in enumerate(STATUSES):
                if total := sum(slot[at + place] for slot in slots):
                    name = status or "other"
                    yield f'kotobamichi_http_requests_total{{{labels},status="{name}"}} {total}'

    def _durations(self, slots: Sequence[memoryview]) -> Iterator[str]:
        name = "kotobamichi_http_request_duration_seconds"
        yield from _family(name, "histogram", "From a request's head to the end of its answer.", "seconds")
        for route, labels in self._labelled():
            at = FIRST_ROUTE + route.number * ROUTE_CELLS + BUCKETS_AT
            counts = [sum(slot[at + place] for slot in slots) for place in range(len(BOUNDS) + 1)]
            if not any(counts):
                continue
            total = 0
            for bound, count in zip([*BOUNDS, "+Inf"], counts, strict=True):
                total += count
                yield f'{name}_bucket{{{labels},le="{bound}"}} {total}'
            yield f"{name}_count{{{labels}}} {total}"
            microseconds = sum(slot[at - BUCKETS_AT + SUM_AT] for slot in slots)
            yield f"{name}_sum{{{labels}}} {microseconds / 1_000_000}"

    def _labelled(self) -> Iterator[tuple[Route, str]]:
        for route in self.routes:
            yield route, f'method="{route.method}",route="{_escape(route.template)}"'


def _gauges(alive: Sequence[memoryview]) -> Iterator[str]:
    yield from _gauge("kotobamichi_workers", "Worker processes that live.", len(alive))
    for name, cell, unit, text in (
        ("http_requests_in_flight", IN_FLIGHT, "", "Requests that are being answered."),
        ("resident_memory_bytes", MEMORY, "bytes", "Memory of all worker processes."),
        ("pool_connections", POOL_SIZE, "", "Connections to PostgreSQL in the pools."),
        ("pool_connections_idle", POOL_IDLE, "", "Those that nobody uses."),
        ("pool_connections_limit", POOL_MOST, "", "The most that the pools may have."),
        ("pool_requests_waiting", POOL_WAITING, "", "Requests that wait for a connection."),
        ("pipelines", PIPELINES, "", "Connections for the short reads of the hot path."),
        ("pipeline_statements_waiting", PIPELINED, "", "Statements on them that have no answer yet."),
        ("limits_local_workers", LIMITS_AWAY, "", "Workers that count rate limits without Redis, because it is away."),
    ):
        yield from _gauge(f"kotobamichi_{name}", text, sum(slot[cell] for slot in alive), unit)


def _database(database: DatabaseNumbers) -> Iterator[str]:
    yield from _gauge("kotobamichi_database_up", "Whether PostgreSQL answers.", int(database.up))
    yield from _gauge(
        "kotobamichi_schema_ready", "Whether the schema is one that this app can use.", int(database.ready)
    )
    yield from _family(
        "kotobamichi_schema", "info", "The newest migration: what the app expects, what the database has."
    )
    heads = f'expected="{_escape(database.expected or "")}",actual="{_escape(database.actual or "")}"'
    yield f"kotobamichi_schema_info{{{heads}}} 1"
    if (outbox := database.outbox) is not None:
        yield from _gauge("kotobamichi_outbox_waiting", "Mails to be sent.", outbox.waiting)
        yield from _gauge("kotobamichi_outbox_retrying", "Those of them that were tried in vain.", outbox.retrying)
        yield from _gauge("kotobamichi_outbox_given_up", "Mails that could not be sent.", outbox.given_up)
        yield from _gauge(
            "kotobamichi_outbox_oldest_seconds", "How long the oldest of them waits.", outbox.oldest_seconds, "seconds"
        )


def _gauge(name: str, text: str, value: float, unit: str = "") -> Iterable[str]:
    return [*_family(name, "gauge", text, unit), f"{name} {value}"]


def _family(name: str, kind: str, text: str, unit: str = "") -> list[str]:
    return [f"# TYPE {name} {kind}", *([f"# UNIT {name} {unit}"] if unit else []), f"# HELP {name} {text}"]


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
