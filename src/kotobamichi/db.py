"""The connection pool and how values travel: a read is one statement, a change is one transaction committed before the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, LiteralString

import psycopg
from psycopg.adapt import Loader
from psycopg.types.string import TextLoader
from psycopg_pool import AsyncConnectionPool

from kotobamichi.pipeline import OUTDATED, SILENCE_SECONDS, Pipeline, Row, Statement, Step, Writers
from michi.refusals import translate_connection_error
from michi.settings import Target

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
CommandConnection = psycopg.Connection[tuple[Any, ...]]

POOL_WAIT_SECONDS = 10.0
# Two, so that the server works on one while the answers of the other are read.
PIPELINES = 2
# At most so many; as many transactions reach the disk together.
WRITERS = 8
CONNECT_TIMEOUT_SECONDS = 5
# A request that PostgreSQL cannot answer in this time is given up: nobody waits for it any more.
STATEMENT_TIMEOUT = "15s"
SESSION = f"SET timezone = 'UTC'; SET statement_timeout = '{STATEMENT_TIMEOUT}'; SET idle_in_transaction_session_timeout = '30s'"

# The hot path's plans are made once per connection, maybe while a table is empty and a scan of it is cheapest; with these they stay
# right however it grows: rows are found in indexes, and joined row by row.
HOT_SESSION = (
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off;"
    " SET plan_cache_mode = force_generic_plan"
)
# A write that the server has undone as a deadlock is sent again after each of these times, longer than the one that it met needs to
# wake and take its lock.
DEADLOCK_PAUSES = (0.1, 0.3, 0.9)
Parameter = str | int | None


class InstantLoader(Loader):
    """timestamptz, in a session in UTC, as clients are given it: `2026-01-02T03:04:05.678Z`."""

    def load(self, data: Any) -> str:
        text = bytes(data).decode()
        return f"{text[:10]}T{text[11:-3]:0<12.12}Z" if len(text) > 22 else f"{text[:10]}T{text[11:19]}.000Z"


class Database:
    """The app's door to PostgreSQL. Ids and instants come out as the text that goes into JSON.

    `read` and `write` are for the hot path: prepared statements that an index answers at once. `fetch_all` and `fetch_one` are for
    all other reads, `transaction` is for all other changes.
    """

    def __init__(self, target: Target, size: int, application_name: str) -> None:
        self.target = target
        self.parameters: dict[str, Any] = {
            "connect_timeout": str(CONNECT_TIMEOUT_SECONDS),
            **target.parameters,
            "application_name": application_name,
        }
        self.pipelines: list[Pipeline] = []
        self.connecting = asyncio.Lock()
        self.writers = Writers(min(WRITERS, size), self._connect_pipeline)
        self.pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            kwargs={**self.parameters, "autocommit": True},
            min_size=min(2, size),
            max_size=size,
            timeout=POOL_WAIT_SECONDS,
            configure=self._configure,
            reconnect_timeout=30.0,
            open=False,
            name="app",
        )

    async def _configure(self, connection: Connection) -> None:
        await connection.execute(SESSION.encode())
        await connection.execute(
            psycopg.sql.SQL("SET search_path = {}").format(psycopg.sql.Identifier(self.target.schema))
        )
        connection.adapters.register_loader("uuid", TextLoader)
        connection.adapters.register_loader("timestamptz", InstantLoader)

    async def open(self) -> None:
        """Starts connecting and does not wait: the app answers its health probes before the database is there."""
        await self.pool.open(wait=False)

    async def close(self) -> None:
        for pipeline in self.pipelines:
            pipeline.close()
        self.writers.close()
        await self.pool.close()

    async def read(self, statement: Statement, *parameters: Parameter) -> list[Row]:
        """Runs a prepared statement. A lost connection is made anew, and so are plans that a migration has outdated."""
        step = _step(statement, parameters)
        pipeline = await self._pipeline()
        try:
            return await pipeline.fetch(step)
        except OUTDATED:
            return await pipeline.fetch(step)

    async def write(self, *steps: tuple[Statement, Sequence[Parameter]]) -> list[Row]:
        """Runs prepared statements in one transaction and gives the rows of the last, after the commit. Each must give rows.

        A statement sees what was committed before it began, so one that takes a lock protects those after it. A lost connection is
        an error: whether the transaction was committed is then unknown, and it is never sent again. What the server has undone is.
        """
        prepared = [_step(statement, parameters) for statement, parameters in steps]
        for pause in DEADLOCK_PAUSES:
            try:
                return await self._write(prepared)
            except psycopg.errors.DeadlockDetected:
                await asyncio.sleep(pause)
        return await self._write(prepared)

    async def _write(self, steps: list[Step]) -> list[Row]:
        async with self.writers.one() as pipeline:
            try:
                async with asyncio.timeout(SILENCE_SECONDS):
                    try:
                        return await pipeline.fetch(*steps)
                    except OUTDATED:
                        return await pipeline.fetch(*steps)
            except TimeoutError:
                pipeline.close()
                raise psycopg.OperationalError("the server does not answer") from None

    async def _connect_pipeline(self) -> Pipeline:
        connection = await psycopg.AsyncConnection.connect("", autocommit=True, **self.parameters)
        await self._configure(connection)
        await connection.execute(HOT_SESSION.encode())
        return Pipeline(connection)

    async def _pipeline(self) -> Pipeline:
        """The one with the least to do. Connects where one is lost, once for all who wait for it."""
        usable = [pipeline for pipeline in self.pipelines if pipeline.usable]
        if len(usable) < PIPELINES:
            async with self.connecting:
                self.pipelines = [pipeline for pipeline in self.pipelines if pipeline.usable]
                while len(self.pipelines) < PIPELINES:
                    self.pipelines.append(await self._connect_pipeline())
                usable = self.pipelines
        return min(usable, key=lambda pipeline: len(pipeline.waiting))

    async def fetch_all(self, statement: LiteralString, parameters: dict[str, Any] | None = None) -> list[Row]:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall()

    async def fetch_one(self, statement: LiteralString, parameters: dict[str, Any] | None = None) -> Row | None:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchone()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """All or nothing; committed when the block ends, before the answer is sent."""
        async with self.pool.connection() as connection, connection.transaction():
            yield connection


def _step(statement: Statement, parameters: Sequence[Parameter]) -> Step:
    return statement, [None if value is None else str(value).encode() for value in parameters]


def array_of(values: Iterable[str | bool]) -> str:
    """An array parameter of `read` and `write`, in PostgreSQL's text form. Texts hold no NUL."""
    return "{" + ",".join(_element(value) for value in values) + "}"


def _element(value: str | bool) -> str:
    if isinstance(value, bool):
        return "t" if value else "f"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def connect_for_command(target: Target) -> CommandConnection:
    """A synchronous connection of a command's own, on the target's schema. Raises michi's errors, such as DatabaseUnreachable."""
    parameters: dict[str, Any] = {
        "connect_timeout": str(CONNECT_TIMEOUT_SECONDS),
        **target.parameters,
        "application_name": "kotobamichi/command",
    }
    try:
        connection: CommandConnection = psycopg.connect("", **parameters)
    except psycopg.OperationalError as error:
        raise translate_connection_error(error, target) from None
    connection.execute(psycopg.sql.SQL("SET search_path = {}").format(psycopg.sql.Identifier(target.schema)))
    connection.commit()
    return connection
