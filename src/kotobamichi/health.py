"""Alive, and ready: whether the schema is the one this app needs. The app waits for it and serves without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import msgspec
import psycopg
from litestar import MediaType, Response, Router, get
from psycopg_pool import PoolTimeout

from kotobamichi.db import Database
from kotobamichi.logs import get_log
from kotobamichi.shared import Shared
from michi.folder import Folder
from michi.ledger import EXISTS, TABLE, Ledger, attempts_from_rows, select_attempts
from michi.plan import Standing, check, compare

log = get_log("kotobamichi.health")

POLL_SECONDS = 0.5
REMIND_SECONDS = 30.0
# A probe must answer within its own timeout, so it does not queue for a connection as long as a request does.
PROBE_SECONDS = 3.0

State = Literal["ready", "pending", "too_old", "unknown"]


class SchemaState(msgspec.Struct):
    """`expected` is the newest migration this app knows, `actual` the newest that the database has."""

    expected: str | None
    actual: str | None
    state: State


class Health(msgspec.Struct):
    status: Literal["ok"]
    timestamp: str


class Readiness(msgspec.Struct):
    status: Literal["ok", "unavailable"]
    database: Literal["up", "down"]
    schema: SchemaState


class SchemaGate:
    """Knows whether the app may touch the database. Opens once the schema is there, and then stays open."""

    def __init__(self, database: Database, folder: Folder, shared: Shared) -> None:
        self.database = database
        self.folder = folder
        self.shared = shared
        self.open = False

    def open_with_others(self) -> bool:
        """Opens the gate if another worker of the server has seen the schema: who was told `ready` may ask any of them."""
        self.open = self.shared.ready
        return self.open

    async def look(self) -> Readiness:
        """One look at the database; never raises for one that is away. Opens the gate itself: what hears `ok` may ask at once."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                standing = await self._standing()
        except (psycopg.Error, PoolTimeout, TimeoutError, OSError):
            return Readiness("unavailable", "down", SchemaState(self.folder.head, None, "unknown"))
        obstacle = check(standing)
        if obstacle is None and not self.open:
            self.open = True
            self.shared.say_ready()
            log.info("schema.ready", head=standing.head)
        state: State = "ready" if obstacle is None else "too_old" if obstacle.exit_code == 4 else "pending"
        return Readiness(
            "ok" if obstacle is None else "unavailable", "up", SchemaState(self.folder.head, standing.head, state)
        )

    async def _standing(self) -> Standing:
        schema = self.database.target.schema
        async with self.database.pool.connection() as connection:
            found = await connection.execute(EXISTS, (schema, TABLE))
            if await found.fetchone() is None:
                return compare(self.folder, Ledger(False))
            cursor = await connection.execute(select_attempts(schema))
            ledger = Ledger(True, attempts_from_rows(await cursor.fetchall()))
        return compare(self.folder, ledger)

    async def wait(self, seconds: float, give_up: Callable[[str], None]) -> None:
        """Waits until the schema is there; calls `give_up` with a sentence when it never will be for this app."""
        loop = asyncio.get_running_loop()
        deadline, reminded = loop.time() + seconds, float("-inf")
        while not self.open:
            seen = await self.look()
            if seen.schema.state == "ready":
                return
            if seen.schema.state == "too_old":
                give_up(f"this app is too old for the database, which is at {seen.schema.actual}")
                return
            if loop.time() >= deadline:
                give_up(f"the database did not have {seen.schema.expected} within {seconds:g} s")
                return
            if loop.time() - reminded >= REMIND_SECONDS:
                reminded = loop.time()
                schema = seen.schema
                log.info("schema.awaited", database=seen.database, expected=schema.expected, actual=schema.actual)
            await asyncio.sleep(POLL_SECONDS)


@get("/", summary="Whether the app is alive", description="Never touches the database.")
async def show_health() -> Health:
    return Health("ok", f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z")


@get(
    "/ready",
    summary="Whether the app can serve",
    description="503 until the database has the schema this app needs, and once the server was told to stop.",
)
async def show_readiness(gate: SchemaGate) -> Response[Readiness]:
    readiness = await gate.look()
    if gate.shared.stopping:  # whoever sends requests here should stop before the server does
        readiness.status = "unavailable"
    return Response(readiness, status_code=200 if readiness.status == "ok" else 503, media_type=MediaType.JSON)


router = Router(path="/health", route_handlers=[show_health, show_readiness], tags=["Health"])
