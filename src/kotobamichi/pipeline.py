"""The hot path: short statements in libpq's pipeline mode, without the pool's cost per request.

A pool lends a connection to one request at a time, and each statement costs a registration with the event loop and a wait of its
own. Here the socket is registered once and answers are handed to the requests in the order in which these asked. Many reads may be
in flight on one connection; only for statements that an index answers at once: a slow one would hold up those behind it
(docs/decisions/0009). A write has a connection to itself until it is committed (docs/decisions/0022).
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult

Row = tuple[Any, ...]

# A server that has not answered for so long is taken for gone; it would have cancelled the statement itself long before.
SILENCE_SECONDS = 20.0

# What the server says of a prepared statement that has to be prepared anew: after a migration, or where its session was reset.
OUTDATED = (psycopg.errors.FeatureNotSupported, psycopg.errors.InvalidSqlStatementName)

_numbers = itertools.count(1)


@dataclass(frozen=True, eq=False)
class Statement:
    """A statement that is prepared once per connection. Parameters are `$1`, `$2`, ... and travel as text."""

    sql: LiteralString


# A statement and its parameters, as text.
Step = tuple[Statement, Sequence[bytes | None]]


@dataclass(slots=True)
class Request:
    """What is in flight up to a sync.

    `prepared` are the statements as its connection had them; those in `preparing`, in order, have no answer to their PREPARE yet.
    """

    future: asyncio.Future[list[Row]]
    sent_at: float
    prepared: dict[Statement, bytes]
    preparing: deque[Statement]


class Pipeline:
    """One connection in pipeline mode. What is sent up to a sync is one transaction, committed when its answer is handed over."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.connection = connection
        self.pgconn = connection.pgconn
        self.transformer = Transformer(connection)
        self.loop = asyncio.get_running_loop()
        self.prepared: dict[Statement, bytes] = {}
        self.waiting: deque[Request] = deque()
        self.result: PGresult | None = None
        self.writing = False
        self.pgconn.nonblocking = 1
        self.pgconn.enter_pipeline_mode()
        self.socket = self.pgconn.socket
        self.loop.add_reader(self.socket, self._on_readable)

    @property
    def usable(self) -> bool:
        if self.waiting and self.loop.time() - self.waiting[0].sent_at > SILENCE_SECONDS:
            self._fail(psycopg.OperationalError("the server does not answer"))
        return self.pgconn.status == ConnStatus.OK

    def fetch(self, *steps: Step) -> asyncio.Future[list[Row]]:
        """The rows of the last step, in time. Each step gives rows, and all are one transaction.

        The future raises psycopg's errors, OperationalError when the connection is lost; after one of OUTDATED nothing was done,
        and the statements will be prepared anew.
        """
        future: asyncio.Future[list[Row]] = self.loop.create_future()
        pgconn = self.pgconn
        prepared = self.prepared
        preparing: deque[Statement] = deque()
        try:
            for statement, parameters in steps:
                name = prepared.get(statement)
                if name is None:
                    name = b"k%d" % next(_numbers)
                    pgconn.send_prepare(name, statement.sql.encode())
                    prepared[statement] = name
                    preparing.append(statement)
                pgconn.send_query_prepared(name, parameters)
            pgconn.pipeline_sync()
            self.waiting.append(Request(future, self.loop.time(), prepared, preparing))
            self._flush()
        except psycopg.OperationalError as error:
            future.set_exception(error)
            self._fail(error)
        return future

    def _flush(self) -> None:
        blocked = self.pgconn.flush() != 0
        if blocked != self.writing:
            self.writing = blocked
            if blocked:
                self.loop.add_writer(self.socket, self._on_writable)
            else:
                self.loop.remove_writer(self.socket)

    def _on_writable(self) -> None:
        try:
            self._flush()
        except psycopg.OperationalError as error:
            self._fail(error)

    def _on_readable(self) -> None:
        pgconn = self.pgconn
        try:
            pgconn.consume_input()
            while self.waiting and not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:  # between the results of one statement
                    continue
                if result.status == ExecStatus.PIPELINE_SYNC:
                    self._hand_over()
                elif result.status == ExecStatus.COMMAND_OK:
                    self.waiting[0].preparing.popleft()
                elif result.status != ExecStatus.PIPELINE_ABORTED:
                    self.result = result
        except psycopg.OperationalError as error:
            self._fail(error)

    def _hand_over(self) -> None:
        request = self.waiting.popleft()
        result, self.result = self.result, None
        for statement in request.preparing:
            del request.prepared[statement]
        if result is None:
            return
        if result.status != ExecStatus.TUPLES_OK:
            error = psycopg.errors.error_from_result(result)
            if isinstance(error, OUTDATED) and request.prepared is self.prepared:
                self.prepared = {}
            if not request.future.done():
                request.future.set_exception(error)
        elif not request.future.done():  # or the client has gone
            self.transformer.set_pgresult(result)
            request.future.set_result(self.transformer.load_rows(0, result.ntuples, tuple))

    def _fail(self, error: psycopg.OperationalError) -> None:
        """The connection is lost: everyone waiting is told, and nobody will ask this pipeline again."""
        self.loop.remove_reader(self.socket)
        if self.writing:
            self.loop.remove_writer(self.socket)
        self.pgconn.finish()
        waiting, self.waiting = self.waiting, deque()
        for request in waiting:
            if not request.future.done():
                request.future.set_exception(error)

    def close(self) -> None:
        if self.pgconn.status == ConnStatus.OK:
            self._fail(psycopg.OperationalError("the app is stopping"))


class Writers:
    """Connections for writes, each with one transaction in flight: the next one would wait for its commit to reach the disk."""

    def __init__(self, most: int, connect: Callable[[], Awaitable[Pipeline]]) -> None:
        self.most = most
        self.connect = connect
        self.idle: list[Pipeline] = []
        self.lent = 0
        self.queue: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Pipeline]:
        """An idle connection, in the order of asking; connects where all are busy and there may be more."""
        await self._take_turn()
        try:
            pipeline = await self._pipeline()
            try:
                yield pipeline
            finally:
                # A client that went away leaves a transaction in flight, which ends well before the next one's answer.
                self.idle.append(pipeline)
        finally:
            self.lent -= 1
            self._wake()

    async def _take_turn(self) -> None:
        if self.lent < self.most and not self.queue:
            self.lent += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # given the turn just as its client went away
                self.lent -= 1
                self._wake()
            raise

    def _wake(self) -> None:
        while self.queue and self.lent < self.most:
            turn = self.queue.popleft()
            if not turn.done():
                self.lent += 1
                turn.set_result(None)

    async def _pipeline(self) -> Pipeline:
        while self.idle:
            pipeline = self.idle.pop()
            if pipeline.usable:
                return pipeline
        return await self.connect()

    def close(self) -> None:
        for pipeline in self.idle:
            pipeline.close()
